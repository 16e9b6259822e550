"""Asynchronous invocations: attempts, waits, ages and records, on a clock that the test moves."""

import asyncio
import json
from collections.abc import Callable, Sequence
from itertools import pairwise
from types import SimpleNamespace
from typing import Any, cast

import pytest

from infra.local.errors import FunctionError, ThrottledError, UnknownFunctionError
from infra.local.functions import asynchronous
from infra.local.functions.asynchronous import (
    AsynchronousInvocations,
    Event,
    EventConfig,
    Outcome,
    write_record,
)
from infra.local.functions.invoker import Invoker, Target
from infra.local.functions.tracing import MOST_INVOCATIONS, extend_lineage

TARGET = Target("shop", "live")
FAILURE = FunctionError("ValueError", "no", {"errorType": "ValueError", "errorMessage": "no"})
THROTTLED = ThrottledError("busy")
ARN = "arn:aws:lambda:eu-west-1:123456789012:function:shop"


class Bench:
    """A function that ends as it is told, and what becomes of its events."""

    def __init__(self, results: Sequence[bytes | Exception], config: EventConfig) -> None:
        self.calls: list[tuple[float, str, str]] = []
        self.outcomes: asyncio.Queue[tuple[Event, Outcome]] = asyncio.Queue()
        self._results = list(results)
        self._config = config
        hosted = SimpleNamespace(invoke=self._invoke)
        invoker = SimpleNamespace(hosted={"shop": hosted}, pick=self._pick)
        self.invocations = AsynchronousInvocations(
            cast("Invoker", invoker), self.clock, lambda _: self._config, self._report
        )

    @staticmethod
    def clock(now: float) -> float:
        """Return a time of which an hour lasts 0.9 seconds."""
        return now * 4000

    async def run(self, trace_id: str = "") -> Outcome:
        """Queue an event, and wait for its end."""
        self.invocations.accept(TARGET, b'{"a": 1}', "id-1", trace_id)
        _, outcome = await asyncio.wait_for(self.outcomes.get(), 20)
        return outcome

    def waits(self) -> list[float]:
        """Return the seconds between calls."""
        times = [time for time, _, _ in self.calls]
        return [late - early for early, late in pairwise(times)]

    async def _invoke(self, version: str, event: bytes, call: Any, trace_id: str) -> bytes:
        assert (version, event) == ("7", b'{"a": 1}')
        self.calls.append(
            (self.clock(asyncio.get_running_loop().time()), call.request_id, trace_id)
        )
        result = self._results.pop(0)
        if isinstance(result, Exception):
            raise result
        return result

    def _pick(self, target: Target) -> str:
        if target != TARGET:
            raise UnknownFunctionError("nobody")
        return "7"

    async def _report(self, event: Event, outcome: Outcome, config: EventConfig) -> None:
        assert config == self._config
        self.outcomes.put_nowait((event, outcome))


@pytest.fixture
def bench() -> Callable[..., Bench]:
    return lambda *results, **config: Bench(results, EventConfig(**config))


async def test_an_answer_ends_it(bench: Callable[..., Bench]) -> None:
    one = bench(b'{"done": 1}')
    outcome = await one.run()
    assert (outcome.condition, outcome.attempts, outcome.version) == ("Success", 1, "7")
    assert outcome.answer == b'{"done": 1}'


async def test_a_failure_is_tried_twice_again_after_a_minute_and_after_two(
    bench: Callable[..., Bench],
) -> None:
    one = bench(FAILURE, FAILURE, FAILURE)
    outcome = await one.run()
    assert (outcome.condition, outcome.attempts) == ("RetriesExhausted", 3)
    assert outcome.error is FAILURE
    # what sleeps here for a moment sleeps for minutes there
    first, second = one.waits()
    assert 60 <= first < 400
    assert 120 <= second < 500
    # AND the request keeps its id
    assert {request_id for _, request_id, _ in one.calls} == {"id-1"}


@pytest.mark.parametrize("retries", [0, 1])
async def test_fewer_attempts_may_be_asked_for(bench: Callable[..., Bench], retries: int) -> None:
    one = bench(FAILURE, FAILURE, FAILURE, retries=retries)
    assert (await one.run()).attempts == retries + 1


async def test_a_throttled_event_waits_longer_each_time_and_is_no_attempt(
    bench: Callable[..., Bench],
) -> None:
    one = bench(*[THROTTLED] * 9, b"{}")
    outcome = await one.run()
    assert (outcome.condition, outcome.attempts) == ("Success", 1)
    assert one.waits()[-1] >= 256


async def test_an_event_that_is_too_old_is_given_up(bench: Callable[..., Bench]) -> None:
    one = bench(*[THROTTLED] * 50, max_age_seconds=900)
    outcome = await one.run()
    assert (outcome.condition, outcome.attempts, outcome.error) == ("EventAgeExceeded", 0, None)
    two = bench(FAILURE, FAILURE, FAILURE, max_age_seconds=60)
    outcome = await two.run()
    assert (outcome.condition, outcome.error) == ("EventAgeExceeded", FAILURE)
    assert outcome.attempts < 3


async def test_a_function_that_invokes_itself_is_stopped(bench: Callable[..., Bench]) -> None:
    trace_id = ""
    for _ in range(MOST_INVOCATIONS - 1):
        trace_id = extend_lineage(trace_id, "shop")
    one = bench(b"{}", b"{}")
    assert (await one.run(trace_id)).is_success
    [(_, _, next_trace_id)] = one.calls
    outcome = await one.run(next_trace_id)
    assert (outcome.condition, outcome.attempts) == ("RetriesExhausted", 0)
    assert outcome.error
    assert outcome.error.kind == "Lambda.RecursiveInvocation"
    # AND another function that is in the chain is not
    assert extend_lineage(next_trace_id, "other").startswith("Root=1-")


async def test_no_more_events_wait_than_this_machine_can_hold(
    bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asynchronous, "MAX_WAITING_BYTES", 20_000)
    one = bench(*[FAILURE] * 9)
    for _ in range(2):
        one.invocations.accept(TARGET, b'{"a": 1}', "id", "")
    with pytest.raises(ThrottledError, match="too many events wait"):
        one.invocations.accept(TARGET, b'{"a": 1}', "id", "")
    await one.invocations.stop()
    assert one.outcomes.empty()
    one.invocations.accept(TARGET, b'{"a": 1}', "id", "")  # there is room again
    await one.invocations.stop()


async def test_nobody_is_no_target(bench: Callable[..., Bench]) -> None:
    with pytest.raises(UnknownFunctionError):
        bench().invocations.accept(Target("absent"), b"{}", "id")


@pytest.mark.parametrize(
    ("target", "arn"), [(Target("shop"), f"{ARN}:$LATEST"), (TARGET, f"{ARN}:live")]
)
def test_a_record_is_as_aws_documents_it(target: Target, arn: str) -> None:
    event = Event(target, b'{"a": 1}', "id-1", "", 0)
    context = {"requestId": "id-1", "functionArn": arn}
    plain = {"version": "1.0", "timestamp": "2026-11-22T12:00:00.250Z", "requestPayload": {"a": 1}}
    now = 1795348800.25
    failed = Outcome("RetriesExhausted", 3, "7", error=FAILURE)
    assert write_record(event, failed, "eu-west-1", now) == plain | {
        "requestContext": context | {"condition": "RetriesExhausted", "approximateInvokeCount": 3},
        "responseContext": {
            "statusCode": 200,
            "executedVersion": "7",
            "functionError": "Unhandled",
        },
        "responsePayload": {"errorType": "ValueError", "errorMessage": "no"},
    }
    done = Outcome("Success", 1, "7", b'{"done": true}')
    assert write_record(event, done, "eu-west-1", now) == plain | {
        "requestContext": context | {"condition": "Success", "approximateInvokeCount": 1},
        "responseContext": {"statusCode": 200, "executedVersion": "7"},
        "responsePayload": {"done": True},
    }
    # AND of an event that never ran there is no answer
    old = write_record(event, Outcome("EventAgeExceeded", 0), "eu-west-1", now)
    assert "responseContext" not in old
    json.dumps(old)


async def test_a_result_that_cannot_be_delivered_is_reported() -> None:
    # GIVEN a destination that is gone
    async def fail(*_: object) -> None:
        raise ValueError("the queue does not exist")

    errors: list[tuple[str, str]] = []
    bench = Bench([b"1"], EventConfig())
    invocations = AsynchronousInvocations(
        bench.invocations._invoker,  # noqa: SLF001 the same function
        bench.clock,
        lambda _: EventConfig(),
        fail,
        on_error=lambda name, line: errors.append((name, line)),
    )
    # WHEN the function has answered THEN it is said of which event the record is lost
    invocations.accept(TARGET, b'{"a": 1}', "id-1")
    async with asyncio.timeout(10):
        while not errors:  # noqa: ASYNC110 nobody tells
            await asyncio.sleep(0.01)
    text = "the result of request id-1 is lost: ValueError: the queue does not exist"
    assert errors == [("shop", text)]
