"""An HTTP answer, and the one table from errors to statuses."""

from collections.abc import Callable
from http import HTTPStatus

import msgspec

from serving.errors import LimitError, RequestError, ServingError, UnknownModelError
from serving.telemetry import logger, record

STATUSES: dict[type[BaseException], HTTPStatus] = {
    UnknownModelError: HTTPStatus.NOT_FOUND,
    LimitError: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    RequestError: HTTPStatus.BAD_REQUEST,
    ServingError: HTTPStatus.INTERNAL_SERVER_ERROR,
}


class Response(msgspec.Struct, frozen=True):
    """A JSON answer, before any framework has seen it."""

    body: bytes
    status: int = 200

    @property
    def headers(self) -> dict[str, str]:
        """Header names are lower-case, as API Gateway and Starlette write them."""
        return {"content-length": str(len(self.body)), "content-type": "application/json"}


def answer(operation: Callable[[], Response]) -> Response:
    """Run `operation`; whatever it raises becomes the protocol's error answer."""
    try:
        return operation()
    except Exception as error:  # the last line of defence: every failure is an answer
        return failure(error)


def failure(error: Exception) -> Response:
    """Answer for `error`, counted and, when the fault is ours, logged with its traceback."""
    if isinstance(error, ServingError):
        status = next(STATUSES[cls] for cls in type(error).__mro__ if cls in STATUSES)
        message = str(error)
    else:
        status = HTTPStatus.INTERNAL_SERVER_ERROR
        message = "internal error; the function's log tells more"
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        logger.exception(message)
    return error_response(status, message)


def error_response(status: int, message: str) -> Response:
    """Answer in the protocol's error form, counted by whose fault it is."""
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        record(ServerErrors=1)
    else:
        record(ClientErrors=1)
    return Response(msgspec.json.encode({"error": message}), int(status))
