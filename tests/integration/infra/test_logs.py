"""`infra logs` on CloudWatch Logs, as moto plays it."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import boto3
import pytest
from moto import mock_aws

from infra.cloudwatch.logs import LOOK_BACK_MS, follow, read, select

GROUP = "/aws/lambda/shop-inference"
STREAMS = ("2026/11/22/shop[1]0a", "2026/11/22/shop[2]0b")
BEGIN = int(time.time() * 1e3) - 120_000  # CloudWatch Logs takes no events that are weeks old


@pytest.fixture
def logs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Client of an account with one log group and two streams."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    with mock_aws():
        client = boto3.client("logs")
        client.create_log_group(logGroupName=GROUP)
        for stream in STREAMS:
            client.create_log_stream(logGroupName=GROUP, logStreamName=stream)
        yield client


def put(logs: Any, stream: str, lines: dict[int, str]) -> None:
    """Write lines at times (ms after BEGIN)."""
    events = [{"timestamp": BEGIN + time, "message": line} for time, line in lines.items()]
    logs.put_log_events(logGroupName=GROUP, logStreamName=stream, logEvents=events)


def test_reads_all_streams_in_the_order_of_time(logs: Any) -> None:
    # GIVEN two environments that write in turns
    put(logs, STREAMS[0], {0: "before", 10: "one", 30: "three\n"})
    put(logs, STREAMS[1], {20: "two", 40: "four"})
    # WHEN read from a time on THEN the older is left out, the others come in order
    events = list(read(logs, GROUP, BEGIN + 10))
    assert [event.line for event in events] == ["one", "two", "three", "four"]
    assert [event.stream for event in events] == [STREAMS[0], STREAMS[1], STREAMS[0], STREAMS[1]]
    assert events[0].time == BEGIN + 10


def test_reads_more_than_one_page(logs: Any) -> None:
    count = 10_050  # a page has 10,000
    for first in range(0, count, 5_000):
        put(logs, STREAMS[0], {i: str(i) for i in range(first, min(first + 5_000, count))})
    assert [event.line for event in read(logs, GROUP, BEGIN)] == [str(i) for i in range(count)]


def test_errors_are_found_by_both_filters(logs: Any) -> None:
    # GIVEN lines with and without an error
    put(
        logs,
        STREAMS[0],
        {
            0: json.dumps({"level": "INFO", "message": "ERROR is a word in this one"}),
            1: json.dumps({"level": "ERROR", "message": "internal error"}),
            2: json.dumps({"type": "platform.report", "record": {"status": "timeout"}}),
            3: "harmless",
        },
    )
    # WHEN only errors are asked for THEN nothing else is chosen
    chosen = select(read(logs, GROUP, BEGIN, errors=True), version=None, errors=True, metrics=False)
    assert [event.time - BEGIN for event, _ in chosen] == [1, 2]


def test_follows_what_comes_in(logs: Any) -> None:
    # GIVEN a follower, and lines that come in while it waits, one of them late
    put(logs, STREAMS[0], {0: "one", 5_000: "two"})
    waits: list[Callable[[], None]] = [
        lambda: put(logs, STREAMS[1], {4_000: "late", 6_000: "three"}),
        lambda: None,
        lambda: put(logs, STREAMS[0], {7_000 + LOOK_BACK_MS: "four"}),
        lambda: put(logs, STREAMS[1], {6_500: "too late"}),
    ]

    def wait() -> None:
        if not waits:
            raise KeyboardInterrupt
        waits.pop(0)()

    # WHEN it follows THEN each line comes once, if it is not older than a poll looks back
    lines = []
    with suppress(KeyboardInterrupt):
        for event in follow(logs, GROUP, BEGIN, wait):
            lines.append(event.line)  # noqa: PERF401 the loop ends by an exception
    assert lines == ["one", "two", "late", "three", "four"]
