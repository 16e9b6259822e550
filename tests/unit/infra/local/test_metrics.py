"""What CloudWatch extracts from a log line, and how samples are gathered."""

import json
import time
from typing import Any

import pytest

from infra.local.metrics import Metrics, Sample, Series, extended_statistic, read_emf

RECORD: dict[str, Any] = {
    "_aws": {
        "Timestamp": 1_700_000_000_500,
        "CloudWatchMetrics": [
            {
                "Namespace": "Shop",
                "Dimensions": [["service"], ["service", "function_version"], []],
                "Metrics": [{"Name": "Latency", "Unit": "Milliseconds"}, {"Name": "Rows"}],
            },
            {"Namespace": "Other", "Dimensions": [["service"]], "Metrics": [{"Name": "Rows"}]},
        ],
    },
    "service": "inference",
    "function_version": "7",
    "Latency": [1.5, 2],
    "Rows": 3,
    "customer": "not a metric",
}


def test_emf_gives_each_metric_to_each_dimension_set() -> None:
    # GIVEN a record with two directives WHEN it is read THEN there is one sample for each pair
    one = (("service", "inference"),)
    both = (*one, ("function_version", "7"))
    assert read_emf(json.dumps(RECORD)) == [
        Sample(Series(namespace, name, unit, dimensions), 1_700_000_000.5, values)
        for namespace, name, unit, dimensions, values in [
            ("Shop", "Latency", "Milliseconds", one, [1.5, 2.0]),
            ("Shop", "Latency", "Milliseconds", both, [1.5, 2.0]),
            ("Shop", "Latency", "Milliseconds", (), [1.5, 2.0]),
            ("Shop", "Rows", "None", one, [3.0]),
            ("Shop", "Rows", "None", both, [3.0]),
            ("Shop", "Rows", "None", (), [3.0]),
            ("Other", "Rows", "None", one, [3.0]),
        ]
    ]


def test_emf_drops_what_the_record_lacks() -> None:
    without = {key: value for key, value in RECORD.items() if key != "function_version"}
    samples = read_emf(json.dumps(without | {"Latency": "fast"}))
    assert samples is not None
    assert {(sample.series.name, len(sample.series.dimensions)) for sample in samples} == {
        ("Rows", 0),
        ("Rows", 1),
    }


@pytest.mark.parametrize(
    "line",
    [
        "plain text",
        '{"level": "INFO"}',
        '{"_aws": 1}',
        '{"_aws": {"CloudWatchMetrics": []}, "unfinished',
        '{"_aws": {"Timestamp": 1, "CloudWatchMetrics": [{"Namespace": "a"}]}}',
    ],
)
def test_other_lines_are_no_metrics(line: str) -> None:
    assert read_emf(line) is None


def test_flush_merges_the_values_of_a_series_by_second() -> None:
    # GIVEN samples of two series in two seconds
    put: list[Sample] = []
    metrics = Metrics(put.extend)
    a, b = (Series("Shop", name, "Count", ()) for name in "ab")
    metrics.add([Sample(a, 10.1, [1]), Sample(b, 10.2, [2]), Sample(a, 10.9, [3, 4])])
    metrics.add([Sample(a, 11.0, [5])])
    # WHEN they are flushed twice
    metrics.flush()
    metrics.flush()
    # THEN each second of each series arrives once, with all its values
    assert put == [Sample(a, 10, [1, 3, 4]), Sample(b, 10, [2]), Sample(a, 11, [5])]


def test_values_are_handed_over_when_they_are_old_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    # GIVEN a cloud whose minute lasts two seconds, and values that take it a minute and a half
    now = 1000.0
    monkeypatch.setattr(time, "time", lambda: now)
    put: list[Sample] = []
    metrics = Metrics(put.extend, lambda at: at * 30, delay=90)
    series = Series("Shop", "a", "Count", ())
    metrics.add([Sample(series, 999, [1]), Sample(series, 1000, [2])])
    # WHEN three seconds are over for one of them THEN it alone is handed over
    now = 1002.5
    metrics.flush()
    assert put == [Sample(series, 999 * 30, [1])]
    # AND the other is when it is old enough, even if nothing else comes
    now = 1003
    metrics.flush()
    assert put[1:] == [Sample(series, 1000 * 30, [2])]


@pytest.mark.parametrize(
    ("stat", "expected"),
    [
        ("PR(:300)", 60),  # a value at the upper bound is within
        ("PR(:299.9)", 40),
        ("PR(:1000)", 100),
        ("PR(:1)", 0),
        ("PR(100:300)", 40),  # one at the lower bound is not
        ("PR(300:)", 40),
        ("p50", 300),
        ("p100", 500),
    ],
)
def test_percentile_ranks_are_the_share_within_bounds(stat: str, expected: float) -> None:
    """docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/Statistics-definitions.html."""
    assert extended_statistic(stat, [500, 300, 100, 200, 400]) == expected


@pytest.mark.parametrize("stat", ["TM(2%:98%)", "PR(100)", "PR(a:b)", "IQM"])
def test_other_extended_statistics_are_not_known(stat: str) -> None:
    with pytest.raises(ValueError, match="could not convert"):
        extended_statistic(stat, [1.0])
