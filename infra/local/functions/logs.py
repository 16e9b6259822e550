"""The function's log: what the platform itself writes, and the way to CloudWatch Logs."""

import json
import math
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from infra.local.stack import Function

# Names of Lambda's errors whose status in a report is not just "error".
STATUSES = {"Sandbox.Timedout": "timeout", "Runtime.ExitError": "failure"}


class Logs:
    """Collects lines by log stream, and hands them over with their times (ms) when flushed."""

    def __init__(self, put: Callable[[str, list[tuple[int, str]]], None]) -> None:
        self._put = put
        self._lines: dict[str, list[tuple[int, str]]] = {}

    def add(self, stream: str, line: str) -> None:
        """Keep a line until the next flush."""
        self._lines.setdefault(stream, []).append((int(time.time() * 1e3), line))

    def flush(self) -> None:
        """Hand over everything that was added."""
        lines, self._lines = self._lines, {}
        for stream, added in lines.items():
            self._put(stream, added)


def write_start(function: Function, request_id: str, version: str) -> str:
    """Write the line with which Lambda begins an invocation."""
    if function.log_format == "JSON":
        return _write_event("start", {"requestId": request_id, "version": version})
    return f"START RequestId: {request_id} Version: {version}"


def write_report(  # noqa: PLR0913 what Lambda reports
    function: Function,
    request_id: str,
    *,
    milliseconds: float,
    cold_milliseconds: float | None,
    peak_memory_mb: int,
    error: str,
) -> str:
    """Write the line or the lines with which Lambda ends an invocation; init time is billed too.

    `error` is Lambda's name for what went wrong, or empty. Source of the JSON form:
    docs.aws.amazon.com/lambda/latest/dg/telemetry-schema-reference.html.
    """
    billed = math.ceil(milliseconds + (cold_milliseconds or 0))
    if function.log_format == "JSON":
        cold = {} if cold_milliseconds is None else {"initDurationMs": round(cold_milliseconds, 2)}
        metrics = {
            "durationMs": round(milliseconds, 2),
            "billedDurationMs": billed,
            "memorySizeMB": function.memory_mb,
            "maxMemoryUsedMB": peak_memory_mb,
        }
        status = {"status": STATUSES.get(error, "error"), "errorType": error} if error else {}
        record = {"requestId": request_id, "metrics": metrics | cold, "status": "success"} | status
        return _write_event("report", record)
    cold_text = "" if cold_milliseconds is None else f"\tInit Duration: {cold_milliseconds:.2f} ms"
    return (
        f"END RequestId: {request_id}\nREPORT RequestId: {request_id}\t"
        f"Duration: {milliseconds:.2f} ms\tBilled Duration: {billed} ms\t"
        f"Memory Size: {function.memory_mb} MB\t"
        f"Max Memory Used: {peak_memory_mb} MB{cold_text}"
    )


def _write_event(kind: str, record: Mapping[str, Any]) -> str:
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return json.dumps({"time": now, "type": f"platform.{kind}", "record": record})
