"""GetMetricData of the local run answers as moto's own does, only sooner."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from moto.cloudwatch.models import CloudWatchBackend

from infra.local.control import metric_data
from infra.local.control.statistics import Datum
from infra.local.metrics import Sample, Series

BEGIN = datetime(2026, 11, 22, 12, tzinfo=UTC)
DIMENSIONS = (("service", "inference"), ("function_version", "1"))


@pytest.fixture
def backend() -> CloudWatchBackend:
    """CloudWatch with some minutes of two metrics, and some values put by the API."""
    rng = random.Random(7)  # noqa: S311 a test must repeat
    backend = CloudWatchBackend("eu-west-1", "123456789012")
    for second in rng.sample(range(600), 200):
        for name, dimensions in (("Rows", DIMENSIONS), ("Rows", DIMENSIONS[:1])):
            series = Series("ServerlessOnnx", name, "Count", dimensions)
            values = [rng.random() for _ in range(rng.randint(1, 4))]
            backend.metric_data.append(Datum(Sample(series, BEGIN.timestamp() + second, values)))
    backend.put_metric_data(
        "ServerlessOnnx",
        [
            {
                "MetricName": "Rows",
                "Value": 100,
                "Timestamp": (BEGIN + timedelta(seconds=30)).replace(tzinfo=None),
                "Dimensions": [{"Name": "service", "Value": "inference"}],
                "Unit": "None",
            }
        ],
    )
    return backend


def query(stat: str, dimensions: Any = DIMENSIONS, **settings: Any) -> dict[str, Any]:
    metric = {
        "Namespace": "ServerlessOnnx",
        "MetricName": "Rows",
        "Dimensions": [{"Name": name, "Value": value} for name, value in dimensions],
    }
    asked = {"Metric": metric, "Period": 60, "Stat": stat} | settings
    return {"Id": stat.lower(), "MetricStat": asked}


@pytest.mark.parametrize("order", ["TimestampAscending", "TimestampDescending"])
@pytest.mark.parametrize("dimensions", [DIMENSIONS, DIMENSIONS[::-1], DIMENSIONS[:1]])
def test_answers_what_moto_answers(
    backend: CloudWatchBackend, order: str, dimensions: tuple[tuple[str, str], ...]
) -> None:
    # GIVEN queries of all statistics, of a unit and of a longer period
    stats = ["Sum", "Average", "Minimum", "Maximum", "SampleCount"]
    queries = [query(stat, dimensions) for stat in stats]
    queries += [query("Sum", dimensions, Unit="None") | {"Id": "unit"}]
    queries += [query("Sum", dimensions, Period=300) | {"Id": "long"}]
    begin, end = (BEGIN.replace(tzinfo=None) + timedelta(minutes=m) for m in (-1, 9))
    # WHEN both are asked THEN they give the same values in the same order
    arguments: Any = (queries, begin, end, order)
    ours = metric_data.get_metric_data(backend, *arguments)
    theirs = metric_data._get_plain_metric_data(backend, *arguments)  # noqa: SLF001 to compare with
    assert [one["id"] for one in ours] == [one["id"] for one in theirs]
    for one, other in zip(ours, theirs, strict=True):
        assert one["timestamps"] == other["timestamps"]
        assert one["values"] == pytest.approx(other["values"])
    assert len(ours[0]["values"]) == 9
    assert bool(ours[-2]["values"]) == (dimensions == DIMENSIONS[:1])


def test_returns_only_what_is_to_be_returned(backend: CloudWatchBackend) -> None:
    queries = [query("Sum") | {"ReturnData": False}, query("Average") | {"Label": "mean"}]
    begin = BEGIN.replace(tzinfo=None)
    [result] = metric_data.get_metric_data(backend, queries, begin, begin + timedelta(minutes=9))
    assert (result["id"], result["label"]) == ("average", "mean")


def test_leaves_expressions_to_moto(backend: CloudWatchBackend) -> None:
    queries = [query("Sum") | {"ReturnData": False}, {"Id": "same", "Expression": "sum"}]
    begin = BEGIN.replace(tzinfo=None)
    [result] = metric_data.get_metric_data(backend, queries, begin, begin + timedelta(minutes=9))
    assert result["id"] == "same"
    assert len(result["values"]) == 9
