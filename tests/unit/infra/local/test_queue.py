"""A queue's messages on their way to a function: batches, windows, failures, concurrency."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from infra.local.errors import FunctionError, ThrottledError
from infra.local.functions.invoker import Invoker, Target
from infra.local.functions.tracing import MOST_INVOCATIONS, extend_lineage
from infra.local.triggers import queue
from infra.local.triggers.queue import Batching, Message, QueueTrigger, read_failures

FAILURE = FunctionError("ValueError", "no")


def create_message(name: str, trace_id: str = "") -> Message:
    return Message(f"receipt-{name}", {"messageId": name, "body": name}, trace_id)


class FakeQueue:
    """A queue whose messages are not seen again."""

    def __init__(self, names: str, trace_id: str = "") -> None:
        self.waiting = [create_message(name, trace_id) for name in names]
        self.taken: dict[str, Message] = {}
        self.deleted: list[str] = []
        self.given_up: list[str] = []

    def receive(self, most: int) -> Sequence[Message]:
        taken, self.waiting = self.waiting[:most], self.waiting[most:]
        self.taken |= {message.receipt: message for message in taken}
        return taken

    def release(self, receipt: str) -> None:
        self.waiting = sorted([*self.waiting, self.taken[receipt]], key=lambda one: one.id)

    def delete(self, receipt: str) -> None:
        self.deleted.append(receipt.removeprefix("receipt-"))

    def give_up(self, receipt: str) -> None:
        self.given_up.append(receipt.removeprefix("receipt-"))


class FakeInvoker:
    """Answers each batch as it is told, and says how many it had at one time."""

    def __init__(self, answer: Callable[[str], Any], seconds: float = 0) -> None:
        self.batches: list[str] = []
        self.most_at_once = 0
        self._answer = answer
        self._seconds = seconds
        self._at_once = 0

    async def invoke(self, target: Target, event: bytes, trace_id: str, call: Any) -> bytes:
        assert (target, call.qualifier) == (Target("lane", "live"), "live")
        assert "Lineage=" in trace_id
        names = "".join(record["messageId"] for record in json.loads(event)["Records"])
        self.batches.append(names)
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        await asyncio.sleep(self._seconds)
        self._at_once -= 1
        answer = self._answer(names)
        if isinstance(answer, Exception):
            raise answer
        return json.dumps(answer).encode()


@asynccontextmanager
async def running(
    messages: FakeQueue,
    invoker: FakeInvoker,
    clock: Callable[[float], float] = lambda now: now,
    **batching: Any,
) -> AsyncIterator[None]:
    target = Target("lane", "live")
    trigger = QueueTrigger(messages, target, Batching(**batching), cast("Invoker", invoker), clock)
    await trigger.start()
    yield
    await trigger.stop()


async def wait_for(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 nobody tells
            await asyncio.sleep(0.01)


async def test_batches_are_deleted_when_the_function_has_answered() -> None:
    messages, invoker = FakeQueue("abcdefg"), FakeInvoker(lambda _: None)
    async with running(messages, invoker, size=3):
        await wait_for(lambda: len(messages.deleted) == 7)
    assert invoker.batches == ["abc", "def", "g"]
    assert sorted(messages.deleted) == list("abcdefg")


async def test_of_a_batch_that_fails_nothing_is_deleted() -> None:
    messages = FakeQueue("abcd")
    invoker = FakeInvoker(lambda names: FAILURE if "a" in names else None)
    async with running(messages, invoker, size=2):
        await wait_for(lambda: len(invoker.batches) == 2)
        await wait_for(lambda: len(messages.deleted) == 2)
    assert sorted(messages.deleted) == ["c", "d"]


async def test_what_is_reported_as_failed_stays() -> None:
    messages = FakeQueue("abc")
    report = {"batchItemFailures": [{"itemIdentifier": "b"}]}
    async with running(messages, FakeInvoker(lambda _: report), size=3, reports_failures=True):
        await wait_for(lambda: len(messages.deleted) == 2)
    assert messages.deleted == ["a", "c"]


async def test_a_report_counts_only_where_it_was_asked_for() -> None:
    messages = FakeQueue("abc")
    report = {"batchItemFailures": [{"itemIdentifier": "b"}]}
    async with running(messages, FakeInvoker(lambda _: report), size=3):
        await wait_for(lambda: len(messages.deleted) == 3)


@pytest.mark.parametrize(
    ("answer", "failed"),
    [
        *((b"null", ""), (b"{}", ""), (b'{"batchItemFailures": []}', "")),
        (b'{"batchItemFailures": null}', ""),
        (b'{"batchItemFailures": [{"itemIdentifier": "a"}]}', "a"),
        *((b"", "ab"), (b"{", "ab"), (b"[1]", "ab"), (b'"x"', "ab"), (b"7", "ab")),
        (b'{"batchItemFailures": [{"itemIdentifier": ""}]}', "ab"),
        (b'{"batchItemFailures": [{"itemIdentifier": null}]}', "ab"),
        (b'{"batchItemFailures": [{"itemIdentifier": ["a"]}]}', "ab"),
        (b'{"batchItemFailures": [{"itemIdentifier": "z"}]}', "ab"),
        (b'{"batchItemFailures": [{"wrong": "a"}]}', "ab"),
        (b'{"batchItemFailures": [1]}', "ab"),
        (b'{"batchItemFailures": 1}', "ab"),
    ],
)
def test_a_report_that_cannot_be_read_fails_the_batch(answer: bytes, failed: str) -> None:
    batch = [create_message("a"), create_message("b")]
    assert read_failures(answer, batch) == set(failed)


async def test_a_batch_waits_for_more_until_its_window_is_over() -> None:
    # GIVEN a window of 20 s on a clock that runs 100 times as fast
    messages, invoker = FakeQueue("a"), FakeInvoker(lambda _: None)
    begun = time.time()

    def clock(now: float) -> float:
        return begun + (now - begun) * 100

    async with running(messages, invoker, clock, size=10, window_seconds=20):
        await asyncio.sleep(0.1)
        assert invoker.batches == []
        messages.waiting.append(create_message("b"))
        await wait_for(lambda: len(messages.deleted) == 2)
    assert invoker.batches == ["ab"]


async def test_no_more_batches_than_allowed_are_in_work() -> None:
    messages, invoker = FakeQueue("abcdef"), FakeInvoker(lambda _: None, seconds=0.05)
    async with running(messages, invoker, size=1, concurrency=2):
        await wait_for(lambda: len(messages.deleted) == 6)
    assert invoker.most_at_once == 2


async def test_a_throttled_batch_stays_in_the_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue, "THROTTLED_SECONDS", 0.01)
    messages, invoker = FakeQueue("a"), FakeInvoker(lambda _: ThrottledError("busy"))
    async with running(messages, invoker):
        await wait_for(lambda: bool(invoker.batches))
    assert (messages.deleted, messages.given_up) == ([], [])


async def test_a_message_that_its_own_function_has_sent_too_often_is_given_up() -> None:
    trace_id = ""
    for _ in range(MOST_INVOCATIONS):
        trace_id = extend_lineage(trace_id, "lane")
    messages, invoker = FakeQueue("ab", trace_id), FakeInvoker(lambda _: None)
    messages.waiting.append(create_message("c"))
    async with running(messages, invoker):
        await wait_for(lambda: bool(messages.deleted))
    assert (messages.given_up, messages.deleted) == (["a", "b"], ["c"])
    assert invoker.batches == ["c"]


async def test_a_slow_queue_does_not_hold_up_the_platform() -> None:
    # GIVEN a queue that takes long to look through
    class Slow(FakeQueue):
        def receive(self, most: int) -> Sequence[Message]:
            time.sleep(0.5)  # as the scan of many messages does
            return super().receive(most)

    begun = time.monotonic()
    async with running(Slow("a"), FakeInvoker(lambda _: None)):
        # WHEN the trigger looks into it THEN the event loop goes on
        await asyncio.sleep(0.01)
        assert time.monotonic() - begun < 0.25


async def test_a_queue_that_fails_is_reported_and_asked_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(queue, "FAILED_SECONDS", 0.01)

    class Failing(FakeQueue):
        def receive(self, most: int) -> Sequence[Message]:
            if not errors:
                raise ValueError("list changed")
            return super().receive(most)

    errors: list[tuple[str, str]] = []
    messages = Failing("ab")
    target = Target("lane", "live")
    trigger = QueueTrigger(
        messages,
        target,
        Batching(),
        cast("Invoker", FakeInvoker(lambda _: None)),
        lambda now: now,
        on_error=lambda name, line: errors.append((name, line)),
    )
    await trigger.start()
    await wait_for(lambda: sorted(messages.deleted) == ["a", "b"])
    await trigger.stop()
    assert errors == [("lane", "its queue cannot be read: ValueError: list changed")]


async def test_a_batch_is_no_larger_than_an_event_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    # GIVEN room for two messages in an event
    messages = FakeQueue("abcde")
    two = json.dumps({"Records": [message.record for message in messages.waiting[:2]]})
    monkeypatch.setattr(queue, "MAX_EVENT_BYTES", len(two))
    invoker = FakeInvoker(lambda _: None)
    # WHEN five wait THEN the others go back to the queue, and come later
    async with running(messages, invoker, size=5, window_seconds=0.2, concurrency=1):
        await wait_for(lambda: len(messages.deleted) == 5)
    assert invoker.batches == ["ab", "cd", "e"]


async def test_a_trigger_that_stops_gives_back_what_it_waits_with() -> None:
    messages = FakeQueue("ab")
    async with running(messages, FakeInvoker(lambda _: None), size=5, window_seconds=60):
        await wait_for(lambda: not messages.waiting)
    assert "".join(message.id for message in messages.waiting) == "ab"
