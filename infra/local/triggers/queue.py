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
from infra.local.errors import FunctionError, ThrottledError
from infra.local.functions.invoker import Invoker, Target
from infra.local.functions.tracing import MOST_INVOCATIONS, count_invocations, extend_lineage
from infra.local.functions.versions import Call
from infra.local.triggers.trigger import Trigger

LOOK_SECONDS = 0.1  # of this machine, between two looks into an empty queue
THROTTLED_SECONDS = 1
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
    """Where messages come from."""

    def receive(self, most: int) -> Sequence[Message]:
        """Return messages that nobody else gets until their visibility timeout is over."""

    def delete(self, receipt: str) -> None:
        """Delete a message, if it is still there."""

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
    """Invokes `target` with batches of messages of one queue, until it is stopped."""

    def __init__(
        self, queue: Queue, target: Target, batching: Batching, invoker: Invoker, clock: Clock
    ) -> None:
        self._queue = queue
        self._target = target
        self._batching = batching
        self._invoker = invoker
        self._clock = clock
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
            elif batch := await self._collect():
                task = asyncio.create_task(self._work(batch))
                self._working.add(task)
                task.add_done_callback(self._working.discard)
            else:
                await asyncio.sleep(LOOK_SECONDS)

    async def _collect(self) -> list[Message]:
        """Receive a batch: until it is full, or its window is over."""
        batch = list(self._queue.receive(self._batching.size))
        if not batch:
            return batch
        end = read(self._clock) + self._batching.window_seconds
        while len(batch) < self._batching.size and (left := end - read(self._clock)) > 0:
            await asyncio.sleep(min(LOOK_SECONDS, pause(self._clock, left)))
            batch += self._queue.receive(self._batching.size - len(batch))
        return batch

    async def _work(self, batch: Sequence[Message]) -> None:
        """Invoke the function, and delete what it has worked on."""
        name = self._target.name
        counts = [count_invocations(message.trace_id, name) for message in batch]
        for message, count in zip(batch, counts, strict=True):
            if count >= MOST_INVOCATIONS:
                self._queue.give_up(message.receipt)
        kept = [pair for pair in zip(counts, batch, strict=True) if pair[0] < MOST_INVOCATIONS]
        if not kept:
            return
        batch = [message for _, message in kept]
        _, longest = max(kept, key=lambda pair: pair[0])
        trace_id = extend_lineage(longest.trace_id, name)
        event = json.dumps({"Records": [message.record for message in batch]}).encode()
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
                self._queue.delete(message.receipt)


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
