"""An HTTP answer, and the one table from errors to statuses."""

from collections.abc import Callable, Mapping
from pathlib import PurePath
from traceback import extract_tb

import msgspec

from serving.errors import (
    EncodingError,
    LimitError,
    RequestError,
    ServingError,
    UnknownModelError,
)
from serving.telemetry import logger, record

STATUSES: dict[type[BaseException], int] = {
    EncodingError: 415,
    LimitError: 413,
    UnknownModelError: 404,
    RequestError: 400,
    ServingError: 500,
}
OUR_FAULT = 500  # and above

# docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html, less room for status and headers
MAX_PAYLOAD = 6 * 2**20 - 2**14

JSON = "application/json"
BINARY = "application/octet-stream"


class Response(msgspec.Struct, frozen=True):
    """An answer, before any framework has seen it; header names are lower-case.

    `measured` holds values of metrics by name, which count if this is what the caller gets.
    """

    body: bytes
    status: int = 200
    content_type: str = JSON
    extra_headers: dict[str, str] = {}
    measured: dict[str, float] = {}

    @property
    def headers(self) -> dict[str, str]:
        """Every header, in the words that API Gateway and Starlette use."""
        return {
            "content-length": str(len(self.body)),
            "content-type": self.content_type,
            **self.extra_headers,
        }

    @property
    def is_text(self) -> bool:
        """Whether the body can travel as a string, or must be base64."""
        return self.content_type != BINARY and "content-encoding" not in self.extra_headers

    @property
    def payload_size(self) -> int:
        """Bytes that the body takes in the JSON that Lambda returns."""
        if self.is_text:
            return len(self.body) + self.body.count(b'"') + self.body.count(b"\\")
        return -(-len(self.body) // 3) * 4


def media_type(headers: Mapping[str, str]) -> str | None:
    """Return the request's Content-Type without its parameters."""
    value = headers.get("content-type")
    return None if value is None else value.partition(";")[0].strip().lower()


def answer(operation: Callable[[], Response]) -> Response:
    """Run `operation`; whatever it raises becomes the protocol's error answer."""
    try:
        response = operation()
    except Exception as error:  # the last line of defence: every failure is an answer
        return failure(error)
    if len(response.body) > MAX_PAYLOAD / 2 and response.payload_size > MAX_PAYLOAD:
        # Lambda would count it as an error of the function, and take back a good release for it.
        return failure(
            LimitError(
                "the answer is larger than the 6 MB that Lambda can return; ask for fewer rows or "
                "outputs, for binary_data, or with accept-encoding: gzip"
            )
        )
    record(**response.measured)
    return response


def failure(error: Exception) -> Response:
    """Answer for `error`, counted and, when the fault is ours, logged with where it came from.

    Not with its own text, nor a traceback that ends in it: it may quote the request.
    """
    if isinstance(error, ServingError):
        status = next(STATUSES[cls] for cls in type(error).__mro__ if cls in STATUSES)
        message = str(error)
    else:
        status = OUR_FAULT
        message = "internal error; the function's log tells more"
    if status >= OUR_FAULT:
        frames = [
            f"{PurePath(frame.filename).name}:{frame.lineno} {frame.name}"
            for frame in extract_tb(error.__traceback__)
        ]
        logger.error(message, exception_name=type(error).__name__, frames=frames)
    return error_response(status, message)


def error_response(status: int, message: str) -> Response:
    """Answer in the protocol's error form, counted by whose fault it is."""
    if status >= OUR_FAULT:
        record(ServerErrors=1)
    else:
        record(ClientErrors=1)
    return Response(msgspec.json.encode({"error": message}), status)
