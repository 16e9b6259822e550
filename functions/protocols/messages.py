"""A request and a response, as every protocol here has them, and the one table of statuses."""

from collections.abc import Callable, Mapping

import msgspec

from serving.errors import (
    EncodingError,
    LimitError,
    RequestError,
    ServingError,
    UnknownModelError,
)
from serving.model import Measured, Model

STATUSES: dict[type[BaseException], int] = {
    EncodingError: 415,
    LimitError: 413,
    UnknownModelError: 404,
    RequestError: 400,
    ServingError: 500,
}
OUR_FAULT = 500  # and above

JSON = "application/json"
BINARY = "application/octet-stream"


class Request(msgspec.Struct, frozen=True):
    """What a caller sends: names of `headers` are lower-case, `parameters` come from the path."""

    body: bytes = b""
    headers: Mapping[str, str] = {}
    parameters: Mapping[str, str] = {}

    @property
    def media_type(self) -> str | None:
        """The Content-Type without its parameters; None if there is none."""
        value = self.headers.get("content-type")
        return None if value is None else value.partition(";")[0].strip().lower()


class Response(msgspec.Struct, frozen=True):
    """What a caller gets; names of headers are lower-case.

    For whoever counts, `measured` is there if the model has answered, and `error` is the class of
    what went wrong, if anything did.
    """

    body: bytes
    status: int = 200
    content_type: str = JSON
    extra_headers: dict[str, str] = {}
    measured: Measured | None = None
    error: type[Exception] | None = None

    @property
    def headers(self) -> dict[str, str]:
        """Every header."""
        return {
            "content-length": str(len(self.body)),
            "content-type": self.content_type,
            **self.extra_headers,
        }


type Operation = Callable[[Model, Request], Response]


def refuse(error: Exception) -> Response:
    """Answer for `error`, with its status and in the Open Inference Protocol's form."""
    status = next((STATUSES[cls] for cls in type(error).__mro__ if cls in STATUSES), OUR_FAULT)
    return error_response(status, describe(error), type(error))


def describe(error: Exception) -> str:
    """Say what went wrong, but in our own words alone: any other error may quote the request."""
    is_ours = isinstance(error, ServingError)
    return str(error) if is_ours else "internal error; see the function's log"


def error_response(status: int, message: str, error: type[Exception] | None = None) -> Response:
    """Answer with a status and what was wrong, in the Open Inference Protocol's form."""
    return Response(msgspec.json.encode({"error": message}), status, error=error)
