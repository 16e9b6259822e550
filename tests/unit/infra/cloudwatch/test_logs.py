"""Lines of the log as a person reads them."""

import json
from typing import Any

import pytest

from infra.cloudwatch.logs import (
    Entry,
    LogEvent,
    format_event,
    parse,
    parse_age,
    parse_version,
    select,
)

REQUEST_ID = "8f507cfc-4ed5-4697-b07a-ac58fc914c95"
STREAM = "2026/11/22/shop-InferenceFunction[12]0f7bd4c07d7949b6a1e0f5b6bd0bd3ab"
TIME = 1_795_354_733_788  # 2026-11-22 13:38:53.788 UTC

EMF: dict[str, Any] = {
    "_aws": {"Timestamp": TIME, "CloudWatchMetrics": []},
    "service": "inference",
    "Rows": [2.0],
    "RequestLatency": [1.23456, 1.5],
}


def event(line: str, stream: str = STREAM) -> LogEvent:
    return LogEvent("0", TIME, stream, line)


def report(**record: Any) -> str:
    metrics = {"durationMs": 4.15, "memorySizeMB": 1769}
    record = {"requestId": REQUEST_ID, "status": "success", "metrics": metrics} | record
    return json.dumps({"time": "", "type": "platform.report", "record": record})


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        pytest.param(
            json.dumps(
                {
                    "level": "ERROR",
                    "location": "failure:78",
                    "message": "internal error\nfor once",
                    "timestamp": "",
                    "service": "inference",
                    "function_request_id": REQUEST_ID,
                    "status": 500,
                    "latency_ms": 12.345678,
                    "exception_name": "ValueError",
                    "frames": ["app.py:1 f", "app.py:2 g"],
                }
            ),
            Entry(
                "ERROR",
                REQUEST_ID,
                "internal error for once status=500 latency_ms=12.35 exception_name=ValueError "
                "frames=app.py:1 f, app.py:2 g",
            ),
            id="Powertools",
        ),
        pytest.param(
            json.dumps({"level": "info", "message": "GET /docs 200", "requestId": REQUEST_ID}),
            Entry("INFO", REQUEST_ID, "GET /docs 200"),
            id="logging",
        ),
        pytest.param(
            json.dumps(
                {
                    "log_level": "ERROR",
                    "errorType": "ValueError",
                    "errorMessage": "no such customer",
                    "requestId": REQUEST_ID,
                    "stackTrace": ["one", "two"],
                }
            ),
            Entry("ERROR", REQUEST_ID, "ValueError: no such customer"),
            id="unhandled",
        ),
        pytest.param(
            json.dumps(EMF),
            Entry("INFO", "", "Rows=2 RequestLatency=1.235, 1.5", is_measurement=True),
            id="EMF",
        ),
        pytest.param(
            json.dumps(EMF | {"function_request_id": REQUEST_ID, "status": 200, "Requests": [1]}),
            Entry("INFO", REQUEST_ID, "status=200 Rows=2 RequestLatency=1.235, 1.5"),
            id="EMF of a request",
        ),
        pytest.param(
            report(),
            Entry(
                "INFO",
                REQUEST_ID,
                "report status=success durationMs=4.15 memorySizeMB=1769",
                is_measurement=True,
            ),
            id="platform",
        ),
        pytest.param(
            report(status="timeout", errorType="Sandbox.Timedout", metrics={}),
            Entry("ERROR", REQUEST_ID, "report status=timeout errorType=Sandbox.Timedout"),
            id="timeout",
        ),
        pytest.param(
            f"2026-11-22T13:38:53.788Z {REQUEST_ID} Task timed out after 3.00 seconds",
            Entry(
                "ERROR",
                REQUEST_ID,
                f"2026-11-22T13:38:53.788Z {REQUEST_ID} Task timed out after 3.00 seconds",
            ),
            id="text timeout",
        ),
        pytest.param(
            f"[ERROR] ValueError: no\rTraceback\tRequestId: {REQUEST_ID}",
            Entry("ERROR", REQUEST_ID, f"[ERROR] ValueError: no Traceback RequestId: {REQUEST_ID}"),
            id="text error",
        ),
        pytest.param(
            f"START RequestId: {REQUEST_ID} Version: 1",
            Entry("INFO", REQUEST_ID, f"START RequestId: {REQUEST_ID} Version: 1", True),
            id="text platform",
        ),
        pytest.param(
            "INIT_REPORT Init Duration: 512.11 ms\tPhase: init\tStatus: error\tError Type: x",
            Entry(
                "ERROR",
                "",
                "INIT_REPORT Init Duration: 512.11 ms Phase: init Status: error Error Type: x",
            ),
            id="text failed start",
        ),
        pytest.param(
            f"REPORT RequestId: {REQUEST_ID}\tDuration: 3000.00 ms\tStatus: timeout",
            Entry(
                "ERROR",
                REQUEST_ID,
                f"REPORT RequestId: {REQUEST_ID} Duration: 3000.00 ms Status: timeout",
            ),
            id="text report of a timeout",
        ),
        pytest.param("[1, 2]", Entry("INFO", "", "[1, 2]"), id="JSON, but no record"),
        pytest.param("Segmentation fault", Entry("INFO", "", "Segmentation fault"), id="text"),
    ],
)
def test_reads_every_kind_of_line(line: str, expected: Entry) -> None:
    assert parse(line) == expected


def test_line_for_a_person() -> None:
    shown = event("")
    assert format_event(shown, Entry("ERROR", REQUEST_ID, "internal error status=500")) == (
        "11-22 13:38:53.788  ERROR    v12  8f507cfc  internal error status=500"
    )


def test_message_cannot_steer_the_terminal() -> None:
    line = format_event(event(""), parse(json.dumps({"message": "GET /\x1b[2J\x07\u202e 404"})))
    assert line.endswith("  GET /\ufffd[2J\ufffd\ufffd 404")


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (STREAM, "12"),
        ("2026/11/22/[$LATEST]0f7bd4c07d7949b6a1e0f5b6bd0bd3ab", "$LATEST"),
        ("audit", ""),
    ],
)
def test_version_is_in_the_name_of_the_stream(stream: str, expected: str) -> None:
    assert parse_version(event("", stream)) == expected


def test_selects_what_is_asked_for() -> None:
    # GIVEN a message, an error and a measurement of version 12, and a message of version 1
    lines = [event("a"), event("[ERROR] b"), event(report()), event("d", "2026/11/22/shop[1]0")]

    def chosen(version: str | None = None, *, errors: bool = False, metrics: bool = False) -> str:
        found = select(lines, version=version, errors=errors, metrics=metrics)
        return " ".join(entry.message[-1] for _, entry in found)

    # WHEN selected THEN measurements come only when they are asked for
    assert chosen() == "a b d"
    assert chosen("12") == "a b"
    assert chosen("12", errors=True) == "b"
    assert chosen(metrics=True) == "a b 9 d"
    assert chosen("3") == ""


@pytest.mark.parametrize(
    ("text", "seconds"), [("30s", 30), ("10m", 600), (" 2h ", 7200), ("1d", 86_400)]
)
def test_reads_an_age(text: str, seconds: int) -> None:
    assert parse_age(text) == seconds


@pytest.mark.parametrize("text", ["", "10", "m", "1.5h", "-1m", "1w", "9999999s"])
def test_rejects_what_is_no_age(text: str) -> None:
    with pytest.raises(ValueError, match="is not an age such as 30s, 10m, 2h or 1d"):
        parse_age(text)
