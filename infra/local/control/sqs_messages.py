"""Messages of moto's SQS: with the trace of who sends them, and no more than this machine can hold.

On AWS a queue has no end, and SQS keeps the trace header of a request as a message's system
attribute. Source: docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/
sqs-message-metadata.html.
"""

import threading
import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any

from moto.core.responses import ActionResult
from moto.sqs.exceptions import SQSException
from moto.sqs.models import Message, Queue, SQSBackend
from moto.sqs.responses import SQSResponse

MOST_MESSAGES = 20_000  # of a queue
MOST_BYTES = 64 * 1024 * 1024  # of all bodies in a queue
LOCK = threading.RLock()  # of all messages: moto has none, though it works in many threads

_send_plain_message = SQSBackend.send_message
_trace: ContextVar[str] = ContextVar("trace", default="")


def send_message(backend: SQSBackend, queue_name: str, message_body: str, **rest: Any) -> Message:
    """Take the place of the backend's method, through which batches go as well."""
    with LOCK:
        _require_room(backend.get_queue(queue_name), message_body)
        attributes = dict(rest.get("system_attributes") or {})
        if trace := _trace.get():
            header = {"DataType": "String", "StringValue": trace}
            rest["system_attributes"] = {"AWSTraceHeader": header} | attributes
        return _send_plain_message(backend, queue_name, message_body, **rest)


def _require_room(queue: Queue, body: str) -> None:
    held = queue._messages  # noqa: SLF001 moto has no method for it
    bytes_held = sum(len(message.body) for message in held)
    if len(held) >= MOST_MESSAGES or bytes_held + len(body) > MOST_BYTES:
        text = (
            f"this machine keeps at most {MOST_MESSAGES} messages and {MOST_BYTES} bytes of a queue"
        )
        raise SQSException("OverLimit", text)


def is_kept(backend: SQSBackend, queue_name: str, message: Message) -> bool:
    """Take the place of the backend's method that asks for a message's age.

    For one attribute of a queue moto computes all, which takes three scans of its messages.
    """
    queue: Any = backend.get_queue(queue_name)
    sent: Any = message.sent_timestamp
    return bool(sent / 1000 + queue.message_retention_period > time.time())


def keep_trace(plain: Callable[[SQSResponse], ActionResult]) -> Callable[..., ActionResult]:
    """Return a method of moto's SQSResponse that remembers the trace of its request."""

    def send(response: SQSResponse) -> ActionResult:
        token = _trace.set(response.headers.get("X-Amzn-Trace-Id", ""))
        try:
            return plain(response)
        finally:
            _trace.reset(token)

    return send


def methods() -> Mapping[str, Any]:
    """Return what takes the place of the methods of moto's SQSResponse."""
    return {
        "send_message": keep_trace(SQSResponse.send_message),
        "send_message_batch": keep_trace(SQSResponse.send_message_batch),
    }
