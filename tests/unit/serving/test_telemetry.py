"""telemetry.py: one record a request, and never one that CloudWatch would not read."""

import json

import pytest

from serving.telemetry import MOST_VALUES, flush, record


def test_values_that_nobody_flushes_are_written_before_they_are_too_many(
    capsys: pytest.CaptureFixture[str],
) -> None:
    # GIVEN an application without the handler, which flushes after each request
    for latency in range(MOST_VALUES + 1):
        record(Requests=1, RequestLatency=latency)
    flush(status=200)

    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert max(len(line["Requests"]) for line in lines) <= MOST_VALUES
    # THEN each value is in one record
    latencies = [latency for line in lines for latency in line["RequestLatency"]]
    assert latencies == list(range(MOST_VALUES + 1))
    assert sum(sum(line["Requests"]) for line in lines) == MOST_VALUES + 1
