"""Answers whatever happens: the last line of defence, and the most that Lambda can return."""

from collections.abc import Callable
from pathlib import PurePath
from traceback import extract_tb

from protocols.messages import BINARY, OUR_FAULT, Response, describe, refuse
from serving.errors import LimitError
from telemetry import logger

# docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html, less room for status and headers
MAX_PAYLOAD = 6 * 2**20 - 2**14


def answer(operate: Callable[[], Response]) -> Response:
    """Return the response of `operate`, or what answers for the error that it raises."""
    try:
        response = operate()
    except Exception as error:  # every failure is an answer
        return answer_for(error)
    if len(response.body) > MAX_PAYLOAD / 2 and _payload_size(response) > MAX_PAYLOAD:
        # Lambda would count it as an error of the function, and take back a good release for it.
        return refuse(
            LimitError(
                "the answer is larger than the 6 MB that Lambda can return; ask for fewer rows or "
                "outputs, for binary_data, or with accept-encoding: gzip"
            )
        )
    return response


def answer_for(error: Exception) -> Response:
    """Return the answer for `error`; when the fault is ours, log where it came from.

    Not its own text, nor a traceback that ends in it: it may quote the request.
    """
    response = refuse(error)
    if response.status >= OUR_FAULT:
        frames = [
            f"{PurePath(frame.filename).name}:{frame.lineno} {frame.name}"
            for frame in extract_tb(error.__traceback__)
        ]
        logger.error(describe(error), exception_name=type(error).__name__, frames=frames)
    return response


def is_text(response: Response) -> bool:
    """Return whether the body can travel as a string of JSON; if not, it must be base64."""
    return response.content_type != BINARY and "content-encoding" not in response.extra_headers


def _payload_size(response: Response) -> int:
    """Return the bytes that the body takes in the JSON that Lambda returns."""
    if is_text(response):
        return len(response.body) + response.body.count(b'"') + response.body.count(b"\\")
    return -(-len(response.body) // 3) * 4
