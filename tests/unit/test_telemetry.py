"""telemetry.py: whose metrics a request counts in, and no record that CloudWatch would not read."""

import json
import subprocess
import sys
from typing import Any

import pytest

from telemetry import LATENCIES, METRICS, MOST_VALUES, Metrics


@pytest.fixture
def metrics(monkeypatch: pytest.MonkeyPatch) -> Metrics:
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", "shop")
    return Metrics("7")


def read(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def dimension_sets(line: dict[str, Any]) -> list[dict[str, str]]:
    [directive] = line["_aws"]["CloudWatchMetrics"]
    return [{name: line[name] for name in names} for names in directive["Dimensions"]]


def test_more_values_than_a_record_takes_are_written_in_several(
    metrics: Metrics, capsys: pytest.CaptureFixture[str]
) -> None:
    for latency in range(MOST_VALUES + 1):
        metrics.record(Requests=1, RequestLatency=latency)
    metrics.flush(status=200)

    lines = read(capsys)
    assert max(len(line["Requests"]) for line in lines) <= MOST_VALUES
    # THEN each value is in one record
    latencies = [latency for line in lines for latency in line["RequestLatency"]]
    assert latencies == list(range(MOST_VALUES + 1))
    assert sum(sum(line["Requests"]) for line in lines) == MOST_VALUES + 1


def test_callers_of_the_api_count_for_the_service_and_for_the_version(
    metrics: Metrics, capsys: pytest.CaptureFixture[str]
) -> None:
    metrics.record(**dict.fromkeys(METRICS, 1.0))
    metrics.flush(status=200)

    [line] = read(capsys)
    assert dimension_sets(line) == [
        {"service": "shop"},
        {"service": "shop", "function_version": "7"},
    ]
    assert METRICS.keys() <= line.keys()
    assert "lane" not in line  # each byte of each line is paid for
    assert line["status"] == 200


@pytest.mark.parametrize("lane", ["batch", "stream", "watch"])
def test_another_lane_counts_for_itself_alone_and_without_latencies(
    metrics: Metrics, capsys: pytest.CaptureFixture[str], lane: str
) -> None:
    metrics.record(**dict.fromkeys(METRICS, 1.0))
    metrics.flush(lane, status=200)

    [line] = read(capsys)
    assert dimension_sets(line) == [{"service": "shop", "lane": lane}]
    assert METRICS.keys() - line.keys() == set(LATENCIES)
    assert "function_version" not in line
    # AND the next caller of the API counts as before
    metrics.record(Requests=1)
    metrics.flush()
    [line] = read(capsys)
    assert len(dimension_sets(line)) == 2


@pytest.mark.parametrize("lane", ["gate", "nowhere"])
def test_the_gate_and_what_is_no_lane_count_nowhere_and_leave_a_line(
    metrics: Metrics, capsys: pytest.CaptureFixture[str], lane: str
) -> None:
    # GIVEN what a start has left for the first request, too
    metrics.record(ColdStart=1, ModelLoadTime=20)
    metrics.record(Requests=1, ServerErrors=1)
    metrics.flush(lane, status=500)
    metrics.flush()

    [line] = read(capsys)
    assert not {"_aws", *METRICS} & line.keys()
    assert (line["lane"], line["status"]) == (lane, 500)


def test_telemetry_imports_nothing_of_ours() -> None:
    script = "import sys, telemetry; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    process = subprocess.run(
        [sys.executable, "-c", script],
        env={"PYTHONPATH": "functions"},
        capture_output=True,
        text=True,
        check=True,
    )
    ours = {"api", "gate", "infra", "protocols", "serving", "telemetry"}
    assert ours & set(process.stdout.split()) == {"telemetry"}
