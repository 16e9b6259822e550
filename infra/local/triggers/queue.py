"""A queue: messages in batches to a function, which deletes those that it has worked on.

Source: docs.aws.amazon.com/lambda/latest/dg/, the pages with-sqs, services-sqs-configure,
services-sqs-scaling and services-sqs-errorhandling.
"""

import asyncio
import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from infra.local.clock import Clock, pause, read
from infra.local.errors import FunctionError, OnError, ThrottledError, log_error
from infra.local.functions.invoker import Invoker, Target
from infra.local.functions.tracing import MOST_INVOCATIONS, count_invocations, extend_lineage
from infra.local.functions.versions import Call
from infra.local.triggers.trigger import Trigger

LOOK_SECONDS = 0.1  # of this machine, between two looks into an empty queue
THROTTLED_SECONDS = 1
FAILED_SECONDS = 1  # of this machine, after a queue could not be read
CONCURRENCY = 5  # batches at one time, where the mapping sets no number
MAX_EVENT_BYTES = 6 * 1024 * 1024  # of a batch


@dataclass(frozen=True)
class Message:
    """A received message: `record` is the one of Lambda's event, `trace_id` of who sent it."""

    receipt: str
    record: Mapping[str, Any]
    trace_id: str

    @property
    def id(self) -> str:
        """Name by which a function reports it as failed."""
        return str(self.record["messageId"])


class Queue(Protocol):
    """Where messages come from; its methods are called in any thread, and may take long."""

    def receive(self, most: int) -> Sequence[Message]:
        """Return messages that nobody else gets until their visibility timeout is over."""

    def delete(self, receipt: str) -> None:
        """Delete a message, if it is still there."""

    def release(self, receipt: str) -> None:
        """Leave a message in the queue as if nobody had received it."""

    def give_up(self, receipt: str) -> None:
        """Move a message to the dead-letter queue, or delete it where there is none."""


@dataclass(frozen=True)
class Batching:
    """How messages come together, and how many batches a function works on at one time."""

    size: int = 10
    window_seconds: float = 0
    reports_failures: bool = False
    concurrency: int = CONCURRENCY


class QueueTrigger(Trigger):
    """Invokes `target` with batches of messages of one queue, until it is stopped.

    `on_error` gets the function's name, and why its queue cannot be read or worked on.
    """

    def __init__(  # noqa: PLR0913 each is a part that a test replaces
        self,
        queue: Queue,
        target: Target,
        batching: Batching,
        invoker: Invoker,
        clock: Clock,
        *,
        on_error: OnError = log_error,
    ) -> None:
        self._queue = queue
        self._target = target
        self._batching = batching
        self._invoker = invoker
        self._clock = clock
        self._on_error = on_error
        self._polling: asyncio.Task[None] | None = None
        self._working: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Begin to receive messages."""
        self._polling = asyncio.create_task(self._poll())

    async def stop(self) -> None:
        """Receive no more; messages that a function works on come back to the queue in time."""
        tasks = [task for task in (self._polling, *self._working) if task]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _poll(self) -> None:
        while True:
            if len(self._working) >= self._batching.concurrency:
                await asyncio.wait(self._working, return_when=asyncio.FIRST_COMPLETED)
            elif batch := await self._try_to_collect():
                task = asyncio.create_task(self._work(batch))
                self._working.add(task)
                task.add_done_callback(self._end)
            else:
                await asyncio.sleep(LOOK_SECONDS)

    async def _try_to_collect(self) -> Sequence[Message]:
        """Receive a batch; where the queue fails, report it and return none after a pause."""
        try:
            return await self._collect()
        except Exception as error:
            self._report("read", error)
            await asyncio.sleep(FAILED_SECONDS)
            return ()

    def _end(self, task: asyncio.Task[None]) -> None:
        self._working.discard(task)
        if not task.cancelled() and isinstance(error := task.exception(), Exception):
            self._report("worked on", error)

    def _report(self, verb: str, error: Exception) -> None:
        cause = f"{type(error).__name__}: {error}"
        self._on_error(self._target.name, f"its queue cannot be {verb}: {cause}")

    async def _collect(self) -> Sequence[Message]:
        """Receive a batch: until it is full, or its window is over."""
        batch: list[Message] = []
        try:
            await self._receive(batch)
            end = read(self._clock) + self._batching.window_seconds
            while (
                0 < len(batch) < self._batching.size
                and _count_fitting(batch) == len(batch)
                and (left := end - read(self._clock)) > 0
            ):
                await asyncio.sleep(min(LOOK_SECONDS, pause(self._clock, left)))
                await self._receive(batch)
            fitting = _count_fitting(batch)
            await self._release(batch[fitting:])
            return batch[:fitting]
        except BaseException:
            await self._release(batch)
            raise

    async def _receive(self, batch: list[Message]) -> None:
        """Add to a batch what is in the queue; if this is cancelled, still what it has received."""
        most = self._batching.size - len(batch)
        receiving = asyncio.ensure_future(asyncio.to_thread(self._queue.receive, most))
        try:
            batch += await asyncio.shield(receiving)
        except asyncio.CancelledError:
            batch += await receiving
            raise

    async def _release(self, messages: Sequence[Message]) -> None:
        for message in messages:
            await asyncio.to_thread(self._queue.release, message.receipt)

    async def _work(self, batch: Sequence[Message]) -> None:
        """Invoke the function, and delete what it has worked on."""
        name = self._target.name
        counts = [count_invocations(message.trace_id, name) for message in batch]
        for message, count in zip(batch, counts, strict=True):
            if count >= MOST_INVOCATIONS:
                await asyncio.to_thread(self._queue.give_up, message.receipt)
        kept = [pair for pair in zip(counts, batch, strict=True) if pair[0] < MOST_INVOCATIONS]
        if not kept:
            return
        batch = [message for _, message in kept]
        _, longest = max(kept, key=lambda pair: pair[0])
        trace_id = extend_lineage(longest.trace_id, name)
        event = _write_event(batch)
        call = Call(self._target.qualifier)
        try:
            answer = await self._invoker.invoke(self._target, event, trace_id, call)
            failed = read_failures(answer, batch) if self._batching.reports_failures else set()
        except ThrottledError:
            await asyncio.sleep(THROTTLED_SECONDS)
            return
        except FunctionError:
            return
        for message in batch:
            if message.id not in failed:
                await asyncio.to_thread(self._queue.delete, message.receipt)


def _write_event(batch: Sequence[Message]) -> bytes:
    return json.dumps({"Records": [message.record for message in batch]}).encode()


def _count_fitting(batch: Sequence[Message]) -> int:
    """Return how many of the first messages fit into one event, but at least one of any."""
    free = MAX_EVENT_BYTES - len(_write_event([]))
    for count, message in enumerate(batch):
        free -= len(json.dumps(message.record)) + len(", ") * bool(count)
        if free < 0:
            return max(count, 1)
    return len(batch)


def read_failures(answer: bytes, batch: Sequence[Message]) -> set[str]:
    """Return the ids of the messages that a function reports as failed: all if it reports badly."""
    known = {message.id for message in batch}
    with contextlib.suppress(ValueError, TypeError, KeyError, AttributeError):
        content = json.loads(answer)
        failures = (content or {}).get("batchItemFailures") or []
        failed = {failure["itemIdentifier"] for failure in failures}
        if failed <= known:
            return failed
    return known
