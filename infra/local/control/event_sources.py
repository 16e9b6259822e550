"""Event source mappings: moto keeps them, and the platform's triggers do what they say.

moto itself would hand each message to a function in a container, so of a queue's mappings its own
list stays empty.
"""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, override

from moto.awslambda.models import EventSourceMapping, LambdaBackend
from moto.core.exceptions import JsonRESTError
from moto.sqs.exceptions import ReceiptHandleIsInvalid
from moto.sqs.models import Message as MotoMessage
from moto.sqs.models import Queue as MotoQueue
from moto.sqs.models import SQSBackend

from infra.local.clock import Clock
from infra.local.control.resource import Change, Handler, Held, Wanted
from infra.local.control.sqs_messages import LOCK
from infra.local.errors import OnError, TemplateError, log_error
from infra.local.functions.invoker import Invoker, read_target
from infra.local.triggers.queue import CONCURRENCY, Batching, Message, QueueTrigger
from infra.local.triggers.trigger import Trigger

MOST_MESSAGES = 10_000  # in a batch
KNOWN = {
    *("BatchSize", "Enabled", "EventSourceArn", "FunctionName", "FunctionResponseTypes"),
    *("MaximumBatchingWindowInSeconds", "MetricsConfig", "ScalingConfig", "Tags"),
}
INTEGERS = {"BatchSize", "MaximumBatchingWindowInSeconds"}

_create_plain_mapping = LambdaBackend.create_event_source_mapping
_update_plain_mapping = LambdaBackend.update_event_source_mapping
_delete_plain_mapping = LambdaBackend.delete_event_source_mapping


class SqsQueue:
    """One of moto's queues, as a trigger sees it."""

    def __init__(self, backend: SQSBackend, queue: MotoQueue) -> None:
        self._backend = backend
        self._queue = queue

    def receive(self, most: int) -> list[Message]:
        """Return messages that nobody else gets until their visibility timeout is over."""
        queue: Any = self._queue
        with LOCK:
            if queue.name not in self._backend.queues:
                return []
            received = self._backend.receive_message(
                queue.name, most, 0, queue.visibility_timeout, ["All"]
            )
        return [self._read(message) for message in received]

    def delete(self, receipt: str) -> None:
        """Delete a message, if it is still there."""
        with LOCK, suppress(ReceiptHandleIsInvalid):
            self._queue.delete_message(receipt)

    def release(self, receipt: str) -> None:
        """Leave a message in the queue as if nobody had received it."""
        with LOCK:
            for message in self._find(receipt):
                message.approximate_receive_count -= 1
                message.change_visibility(0)
                self._queue.pending_messages.discard(message)

    def give_up(self, receipt: str) -> None:
        """Move a message to the dead-letter queue, or delete it where there is none."""
        with LOCK:
            held = self._find(receipt)
            self.delete(receipt)
            if self._queue.dead_letter_queue:
                for message in held:
                    self._queue.dead_letter_queue.add_message(message)

    def _find(self, receipt: str) -> list[MotoMessage]:
        return [one for one in self._queue._messages if one.had_receipt_handle(receipt)]  # noqa: SLF001 moto has no method for it

    def _read(self, message: MotoMessage) -> Message:
        trace = message.system_attributes.get("AWSTraceHeader", {}).get("StringValue", "")
        first = message.approximate_first_receive_timestamp
        attributes = {
            "ApproximateReceiveCount": str(message.approximate_receive_count),
            "SentTimestamp": str(message.sent_timestamp),
            "SenderId": message.sender_id,
            "ApproximateFirstReceiveTimestamp": str(first),
            "AWSTraceHeader": trace,
            "SequenceNumber": message.sequence_number,
            "MessageGroupId": message.group_id,
            "MessageDeduplicationId": message.deduplication_id,
        }
        record = {
            "messageId": message.id,
            "receiptHandle": message.receipt_handle,
            "body": message.body,
            "attributes": {key: value for key, value in attributes.items() if value},
            "messageAttributes": {
                key: _lower(value) for key, value in message.message_attributes.items()
            },
            "md5OfBody": message.body_md5,
            "eventSource": "aws:sqs",
            "eventSourceARN": self._queue.queue_arn,
            "awsRegion": self._queue.region,
        }
        return Message(str(message.receipt_handle), record, trace)


def _lower(attribute: Mapping[str, Any]) -> dict[str, Any]:
    """Write a message attribute as it is in an event."""
    given = {key[0].lower() + key[1:]: value for key, value in attribute.items()}
    return {"stringListValues": [], "binaryListValues": [], **given}


class EventSources:
    """Runs a trigger for each mapping of moto's that is enabled.

    `on_error` gets a function's name, and why its queue cannot be read.
    """

    def __init__(
        self,
        backend: LambdaBackend,
        queues: SQSBackend,
        invoker: Invoker,
        clock: Clock,
        *,
        on_error: OnError = log_error,
    ) -> None:
        self._backend = backend
        self._queues = queues
        self._invoker = invoker
        self._clock = clock
        self._on_error = on_error
        self._loop = asyncio.get_running_loop()
        self._triggers: dict[str, Trigger] = {}
        self._one_at_a_time = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    def methods(self) -> Mapping[str, Any]:
        """Return what takes the place of moto's methods, which are called in any thread."""

        def create(backend: LambdaBackend, spec: dict[str, Any]) -> EventSourceMapping:
            self._check(spec)
            mapping = _create_plain_mapping(backend, spec)
            self._find_queue(mapping.event_source_arn).lambda_event_source_mappings.clear()
            target = read_target(spec["FunctionName"])
            mapping.function_name = target.name
            mapping.function_arn = target.arn(backend.region_name)
            self._restart(mapping.uuid)
            return mapping

        def update(
            backend: LambdaBackend, uuid: str, spec: dict[str, Any]
        ) -> EventSourceMapping | None:
            if held := backend.get_event_source_mapping(uuid):
                self._check(_read_settings(held) | spec)
            mapping = _update_plain_mapping(backend, uuid, spec)
            if mapping and "FunctionName" in spec:
                target = read_target(spec["FunctionName"])
                mapping.function_name = target.name
                mapping.function_arn = target.arn(backend.region_name)
            self._restart(uuid)
            return mapping

        def delete(backend: LambdaBackend, uuid: str) -> EventSourceMapping | None:
            mapping = _delete_plain_mapping(backend, uuid)
            self._restart(uuid)
            return mapping

        return {
            "create_event_source_mapping": create,
            "update_event_source_mapping": update,
            "delete_event_source_mapping": delete,
        }

    async def stop(self) -> None:
        """Stop every trigger."""
        while self._triggers:
            _, trigger = self._triggers.popitem()
            await trigger.stop()

    def _check(self, spec: Mapping[str, Any]) -> None:
        """Raise JsonRESTError, as Lambda does, for an invalid mapping."""
        if unknown := sorted(key for key in spec.keys() - KNOWN if spec[key]):
            raise _refuse(f"the local platform does not know {', '.join(unknown)} of a queue")
        queue: Any = self._find_queue(spec.get("EventSourceArn", ""))
        function = read_target(spec.get("FunctionName", "")).name
        if function not in self._invoker.hosted:
            raise _refuse(f"there is no function {function[:64]!r}", "ResourceNotFoundException")
        timeout = self._invoker.hosted[function].latest.timeout_seconds
        if queue.visibility_timeout < timeout:
            raise _refuse(
                f"Queue visibility timeout: {queue.visibility_timeout} seconds is less than "
                f"Function timeout: {timeout} seconds"
            )
        size, window = spec.get("BatchSize") or 0, spec.get("MaximumBatchingWindowInSeconds") or 0
        if size > 10 and not window:  # noqa: PLR2004 SQS's batch
            raise _refuse("MaximumBatchingWindowInSeconds must be set for a BatchSize above 10")

    def _find_queue(self, arn: str) -> MotoQueue:
        for queue in self._queues.queues.values():
            if queue.queue_arn == arn:
                return queue
        raise _refuse(
            f"the local platform has no trigger for {arn[:128]!r}, only for queues it has"
        )

    def _restart(self, uuid: str) -> None:
        def begin() -> None:
            task = asyncio.create_task(self._follow(uuid))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

        self._loop.call_soon_threadsafe(begin)

    async def _follow(self, uuid: str) -> None:
        """Restart a mapping's trigger with its current settings."""
        async with self._one_at_a_time:
            if trigger := self._triggers.pop(uuid, None):
                await trigger.stop()
            mapping = self._backend.get_event_source_mapping(uuid)
            if mapping and mapping.enabled:
                queue = SqsQueue(self._queues, self._find_queue(mapping.event_source_arn))
                target = read_target(mapping.function_arn)
                batching = _read_batching(mapping)
                made = QueueTrigger(
                    queue, target, batching, self._invoker, self._clock, on_error=self._on_error
                )
                self._triggers[uuid] = made
                await made.start()


def _read_settings(mapping: Any) -> dict[str, Any]:
    return {
        "EventSourceArn": mapping.event_source_arn,
        "FunctionName": mapping.function_arn,
        "BatchSize": mapping.batch_size,
        "MaximumBatchingWindowInSeconds": mapping.max_batch_window,
    }


def _read_batching(mapping: Any) -> Batching:
    return Batching(
        size=min(mapping.batch_size, MOST_MESSAGES),
        window_seconds=float(mapping.max_batch_window or 0),
        reports_failures="ReportBatchItemFailures" in (mapping.function_response_types or []),
        concurrency=int((mapping.scaling_config or {}).get("MaximumConcurrency", CONCURRENCY)),
    )


def _refuse(text: str, kind: str = "InvalidParameterValueException") -> JsonRESTError:
    return JsonRESTError(kind, text)


class EventSourceMappings(Handler):
    """Event source mappings of a stack."""

    def __init__(self, backend: LambdaBackend) -> None:
        self._backend = backend

    @override
    async def put(self, wanted: Wanted, held: Held | None, change: Change) -> Held:
        spec = dict(wanted.properties)
        spec |= {key: int(spec[key]) for key in INTEGERS & spec.keys()}
        try:
            before = held.wanted.properties if held else {}
            if held and before["EventSourceArn"] == spec["EventSourceArn"]:
                spec = {"Enabled": True, **dict.fromkeys(before.keys() - spec.keys())} | spec
                del spec["EventSourceArn"]
                mapping: Any = self._backend.update_event_source_mapping(held.physical_id, spec)
            else:
                mapping = self._backend.create_event_source_mapping(spec)
        except JsonRESTError as error:
            raise TemplateError(f"{wanted.logical_id}: {error.message}") from error
        attributes = {"Ref": mapping.uuid, "Id": mapping.uuid}
        return Held(wanted, mapping.uuid, attributes, mapping)

    @override
    async def delete(self, held: Held) -> None:
        self._backend.delete_event_source_mapping(held.physical_id)
