"""Messages of moto's SQS: with the trace of who sends them, and no more than this machine can hold.

On AWS a queue has no end, and SQS keeps the trace header of a request as a message's system
attribute. Source: docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/
sqs-message-metadata.html.
"""

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any

from moto.core.responses import ActionResult
from moto.sqs.exceptions import SQSException
from moto.sqs.models import Message, SQSBackend
from moto.sqs.responses import SQSResponse

MOST_MESSAGES = 20_000  # of a queue
MOST_BYTES = 64 * 1024 * 1024  # of all bodies in a queue

_send_plain_message = SQSBackend.send_message
_trace: ContextVar[str] = ContextVar("trace", default="")


def send_message(backend: SQSBackend, queue_name: str, message_body: str, **rest: Any) -> Message:
    """Take the place of the backend's method, through which batches go as well."""
    queue = backend.get_queue(queue_name)
    held = queue._messages  # noqa: SLF001 moto has no method for it
    bytes_held = sum(len(message.body) for message in held)
    if len(held) >= MOST_MESSAGES or bytes_held + len(message_body) > MOST_BYTES:
        text = (
            f"this machine keeps at most {MOST_MESSAGES} messages and {MOST_BYTES} bytes of a queue"
        )
        raise SQSException("OverLimit", text)
    attributes = dict(rest.get("system_attributes") or {})
    if trace := _trace.get():
        header = {"DataType": "String", "StringValue": trace}
        rest["system_attributes"] = {"AWSTraceHeader": header} | attributes
    return _send_plain_message(backend, queue_name, message_body, **rest)


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
