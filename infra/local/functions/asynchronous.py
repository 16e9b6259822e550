"""Invocations that nobody waits for: queued, retried, and reported to a destination.

Source: docs.aws.amazon.com/lambda/latest/dg/, the pages invocation-async-error-handling,
invocation-async-configuring and invocation-async-retain-records.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from infra.local.clock import Clock, read, sleep
from infra.local.errors import (
    FunctionError,
    OnError,
    ThrottledError,
    UnknownFunctionError,
    log_error,
)
from infra.local.functions.invoker import Invoker, Target
from infra.local.functions.tracing import LoopError, extend_lineage
from infra.local.functions.versions import Call

MAX_EVENT_BYTES = 1024 * 1024
MAX_WAITING_BYTES = 256 * 1024 * 1024  # of all events; Lambda's queue has no end, this machine has
EVENT_BYTES = 8 * 1024  # that an event takes besides its payload
WAITS = 60, 120  # seconds before the first and the second retry of a function that failed
THROTTLE_SECONDS, MAX_THROTTLE_SECONDS = 1, 300  # the first wait of a throttled event, and the last


@dataclass(frozen=True)
class EventConfig:
    """How often and how long an event is tried, and the ARNs of who gets to know the result."""

    retries: int = 2
    max_age_seconds: float = 21_600
    on_success: str = ""
    on_failure: str = ""


@dataclass(frozen=True)
class Outcome:
    """How an event ended: `condition` is Lambda's name for it, `error` why a function failed."""

    condition: str
    attempts: int
    version: str = ""
    answer: bytes = b""
    error: FunctionError | None = None

    @property
    def is_success(self) -> bool:
        """Whether the function answered."""
        return self.condition == "Success"


@dataclass(frozen=True)
class Event:
    """An accepted event of a function."""

    target: Target
    payload: bytes
    request_id: str
    trace_id: str
    accepted: float


type Config = Callable[[Target], EventConfig]
type Report = Callable[[Event, Outcome, EventConfig], Awaitable[None]]


class AsynchronousInvocations:
    """Works through events; `config` returns how a target's are treated.

    `report` gets each event that has ended, with how it ended; where it fails, `on_error` gets the
    function's name, and why.
    """

    def __init__(
        self,
        invoker: Invoker,
        clock: Clock,
        config: Config,
        report: Report,
        *,
        on_error: OnError = log_error,
    ) -> None:
        self._invoker = invoker
        self._clock = clock
        self._config = config
        self._report = report
        self._on_error = on_error
        self._tasks: set[asyncio.Task[None]] = set()
        self._waiting_bytes = 0

    def accept(self, target: Target, payload: bytes, request_id: str, trace_id: str = "") -> None:
        """Queue an event.

        Raises UnknownFunctionError, and ThrottledError if no more events can wait.
        """
        self._invoker.pick(target)
        size = len(payload) + EVENT_BYTES
        if self._waiting_bytes + size > MAX_WAITING_BYTES:
            raise ThrottledError("too many events wait")
        self._waiting_bytes += size
        event = Event(target, payload, request_id, trace_id, read(self._clock))
        task = asyncio.create_task(self._work(event))
        self._tasks.add(task)

        def forget(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            self._waiting_bytes -= size

        task.add_done_callback(forget)

    async def stop(self) -> None:
        """Give up the events that have not ended."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _work(self, event: Event) -> None:
        try:
            event = replace(event, trace_id=extend_lineage(event.trace_id, event.target.name))
            outcome = await self._try(event)
        except LoopError as loop:
            outcome = Outcome("RetriesExhausted", 0, error=loop)
        try:
            await self._report(event, outcome, self._config(event.target))
        except Exception as error:
            cause = f"{type(error).__name__}: {error}"
            text = f"the result of request {event.request_id} is lost: {cause}"
            self._on_error(event.target.name, text)

    async def _try(self, event: Event) -> Outcome:
        """Invoke the function until it answers, or the event has been tried enough or too long."""
        attempts, throttle_seconds = 0, THROTTLE_SECONDS
        version, error = "", None
        while True:
            config = self._config(event.target)
            if read(self._clock) - event.accepted > config.max_age_seconds:
                return Outcome("EventAgeExceeded", attempts, version, error=error)
            call = Call(event.target.qualifier, event.request_id)
            try:
                version = self._invoker.pick(event.target)
                function = self._invoker.hosted[event.target.name]
                answer = await function.invoke(version, event.payload, call, event.trace_id)
                return Outcome("Success", attempts + 1, version, answer)
            except ThrottledError:
                await sleep(self._clock, throttle_seconds)
                throttle_seconds = min(2 * throttle_seconds, MAX_THROTTLE_SECONDS)
                continue
            except UnknownFunctionError as ended:
                return Outcome("RetriesExhausted", attempts, version, error=ended)
            except FunctionError as failed:
                attempts, error = attempts + 1, failed
            if attempts > config.retries:
                return Outcome("RetriesExhausted", attempts, version, error=error)
            await sleep(self._clock, WAITS[min(attempts, len(WAITS)) - 1])


def write_record(event: Event, outcome: Outcome, region: str, now: float) -> dict[str, Any]:
    """Return the record of an ended event that a destination gets."""
    arn = event.target.arn(region)
    time = datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds")
    record = {
        "version": "1.0",
        "timestamp": time.replace("+00:00", "Z"),
        "requestContext": {
            "requestId": event.request_id,
            "functionArn": arn if event.target.qualifier else f"{arn}:$LATEST",
            "condition": outcome.condition,
            "approximateInvokeCount": outcome.attempts,
        },
        "requestPayload": json.loads(event.payload),
    }
    if outcome.is_success or outcome.error is not None:
        failure = {} if outcome.is_success else {"functionError": "Unhandled"}
        record["responseContext"] = {
            "statusCode": 200,
            "executedVersion": outcome.version,
            **failure,
        }
        record["responsePayload"] = (
            explain_failure(outcome.error, event.request_id)
            if outcome.error is not None
            else json.loads(outcome.answer or b"null")
        )
    return record


def explain_failure(error: FunctionError, request_id: str) -> Mapping[str, Any]:
    """Return the runtime client's own words or, where it is gone, Lambda's."""
    text = f"RequestId: {request_id} Error: {error.text}"
    return error.payload or {"errorType": error.kind, "errorMessage": text}
