"""The function's log: read from CloudWatch Logs, and written in one line for each event."""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from mypy_boto3_logs import CloudWatchLogsClient


SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}

# Events arrive late, and the streams not in one order: each poll looks back this far.
LOOK_BACK_MS = 10_000

# Every error has one of these words in its line; `Entry.level` says which lines are errors.
ERROR_WORDS = ("ERROR", "CRITICAL", "FATAL", "Traceback", "Task", "error", "failure", "timeout")
ERROR_LEVELS = {"ERROR", "CRITICAL", "FATAL"}
ERROR_TEXT = re.compile(
    r"\[(ERROR|CRITICAL)\]|^Traceback |Task timed out after |Runtime exited "
    r"|^(INIT_)?REPORT .*Status: (error|failure|timeout)"
)
PLATFORM_TEXT = (
    *("INIT_START ", "INIT_REPORT ", "START RequestId: ", "END RequestId: "),
    "REPORT RequestId: ",
)
REQUEST_ID = re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")

# What the runtime client and Powertools put into every line.
PLUMBING = {
    *("level", "log_level", "timestamp", "message", "location", "logger", "taskName", "service"),
    *("cold_start", "function_arn", "function_memory_size", "function_name", "function_request_id"),
    *("requestId", "xray_trace_id", "errorMessage", "errorType", "stackTrace"),
}


class LogEvent(NamedTuple):
    """A log event as CloudWatch Logs keeps it; `time` is in milliseconds since 1970."""

    id: str
    time: int
    stream: str
    line: str


class Entry(NamedTuple):
    """What the line of an event says."""

    level: str
    request_id: str
    message: str
    is_measurement: bool = False  # metrics alone, or the platform's report of a success


def parse_age(text: str) -> int:
    """Return the seconds of an age such as 30s, 10m, 2h or 1d; raise ValueError."""
    found = re.fullmatch(r"(\d{1,6})([smhd])", text.strip())
    if not found:
        raise ValueError(f"{text!r} is not an age such as 30s, 10m, 2h or 1d")
    return int(found[1]) * SECONDS[found[2]]


def read(
    logs: "CloudWatchLogsClient", group: str, since: int, *, errors: bool = False
) -> Iterator[LogEvent]:
    """Yield the events of a log group since a time in milliseconds, in the order of their times.

    `logs` is boto3's client. With `errors` CloudWatch Logs leaves out most of the others.
    """
    pattern = " ".join(f"?{word}" for word in ERROR_WORDS) if errors else ""
    # CloudWatch Logs orders by time in any case; moto does so only when asked.
    pages = logs.get_paginator("filter_log_events").paginate(
        logGroupName=group, startTime=since, interleaved=True, filterPattern=pattern
    )
    for page in pages:
        for event in page["events"]:
            line = event["message"].rstrip("\n")
            yield LogEvent(event["eventId"], event["timestamp"], event["logStreamName"], line)


def follow(
    logs: "CloudWatchLogsClient",
    group: str,
    since: int,
    wait: Callable[[], None],
    *,
    errors: bool = False,
) -> Iterator[LogEvent]:
    """Yield the events since a time and then, after each `wait`, those that have come in."""
    seen: dict[str, int] = {}
    while True:
        for event in read(logs, group, since, errors=errors):
            if event.id not in seen:
                seen[event.id] = event.time
                yield event
        since = max(since, max(seen.values(), default=0) - LOOK_BACK_MS)
        seen = {key: time for key, time in seen.items() if time >= since}
        wait()


def select(
    events: Iterable[LogEvent], *, version: str | None, errors: bool, metrics: bool
) -> Iterator[tuple[LogEvent, Entry]]:
    """Yield the events of a version (None: of all), with what each says.

    With `errors` there is nothing but errors; only with `metrics` is there what was measured.
    """
    for event in events:
        entry = parse(event.line)
        if (
            (version is None or version == parse_version(event))
            and (not errors or entry.level in ERROR_LEVELS)
            and (metrics or not entry.is_measurement)
        ):
            yield event, entry


def parse_version(event: LogEvent) -> str:
    """Return the function's version, which Lambda names in brackets in the name of the stream."""
    found = re.search(r"\[([^]]+)]", event.stream)
    return found[1] if found else ""


def parse(line: str) -> Entry:
    """Read a line of the function's code, of its runtime client or of the platform."""
    try:
        record = json.loads(line)
    except ValueError:
        record = None
    if not isinstance(record, dict):
        return _parse_text(line)
    if str(record.get("type")).startswith("platform."):
        return _parse_platform(record)
    if "_aws" in record:
        return _parse_metrics(record)
    level = str(record.get("level") or record.get("log_level") or "INFO").upper()
    request_id = record.get("function_request_id") or record.get("requestId") or ""
    message = record.get("message") or ": ".join(
        str(record[name]) for name in ("errorType", "errorMessage") if record.get(name)
    )
    fields = [f"{name}={_format(record[name])}" for name in record if name not in PLUMBING]
    return Entry(level, str(request_id), " ".join([_format(message), *fields]))


def format_event(event: LogEvent, entry: Entry) -> str:
    """Write an event for a person: time (UTC), level, version, request and message."""
    time = datetime.fromtimestamp(event.time / 1000, UTC).strftime("%m-%d %H:%M:%S.%f")[:-3]
    line = (
        f"{time}  {entry.level:<8} v{parse_version(event):<3} {entry.request_id[:8]:<8} "
        f" {entry.message}"
    )
    # What a client has sent may be in a message; it must not steer the terminal.
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in line)


def _parse_metrics(record: Mapping[str, Any]) -> Entry:
    """Read a record in embedded metric format, which with a status is also the line of a request.

    The count of requests is left out of such a line: it is one.
    """
    values = {name: value for name, value in record.items() if isinstance(value, list)}
    values.pop("Requests", None)
    shown = {"status": record["status"]} | values if "status" in record else values
    message = " ".join(f"{name}={_format(value)}" for name, value in shown.items())
    request_id = str(record.get("function_request_id", ""))
    return Entry("INFO", request_id, message, is_measurement="status" not in record)


def _parse_text(line: str) -> Entry:
    found = REQUEST_ID.search(line)
    level = "ERROR" if ERROR_TEXT.search(line) else "INFO"
    is_measurement = level == "INFO" and line.startswith(PLATFORM_TEXT)
    return Entry(level, found[0] if found else "", _format(line), is_measurement)


def _parse_platform(record: Mapping[str, Any]) -> Entry:
    """Read what Lambda writes about a request or an initialisation when its log format is JSON.

    Source: docs.aws.amazon.com/lambda/latest/dg/telemetry-schema-reference.html.
    """
    details = record.get("record", {})
    failed = details.get("status", "success") != "success"
    fields = {name: details[name] for name in ("status", "errorType") if name in details}
    fields |= details.get("metrics", {})
    message = " ".join(
        [
            record["type"].removeprefix("platform."),
            *(f"{k}={_format(v)}" for k, v in fields.items()),
        ]
    )
    level = "ERROR" if failed else "INFO"
    return Entry(level, str(details.get("requestId", "")), message, not failed)


def _format(value: Any) -> str:
    """Write a value in one line."""
    match value:
        case bool() | None:
            return json.dumps(value)
        case float():
            return f"{value:.4g}" if abs(value) < 10_000 else f"{value:.0f}"  # noqa: PLR2004 no exponents
        case [one]:
            return _format(one)
        case [*many]:
            return ", ".join(_format(one) for one in many)
        case dict():
            return json.dumps(value)
        case _:
            return " ".join(str(value).split())
