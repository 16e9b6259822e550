"""The Lambda entry point: API Gateway payload 2.0 in, payload 2.0 out.

The model loads when this module is imported, in Lambda's init phase. What the first inference does
not need is imported when it is asked for: FastAPI and Mangum, the largest part of a cold start, for
any other route, and the scoring protocol for its own.
"""

import gc

# Whatever is imported lives as long as the process. To look through it for garbage time and again
# would be a fifteenth of a cold start, and later a pause of some requests.
gc.disable()

import base64
import logging
import os
import re
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from api import open_inference
from api.responses import Response, answer
from serving.errors import RequestError, ServingError
from serving.model import MB_PER_VCPU, load_model
from serving.telemetry import flush, logger, record

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

# From a string of JSON, which is twice as fast as base64.b64decode.
_decode_base64 = msgspec.json.Decoder(bytes).decode

INFER = re.compile(r"/v2/models/(?P<name>[^/%]+)(/versions/(?P<version>[^/%]+))?/infer")

try:
    model = load_model(
        Path(os.environ.get("MODEL_DIR", "/opt/model")),
        int(os.environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", MB_PER_VCPU)),
    )
except ServingError:
    record(ModelLoadFailures=1)
    flush()
    raise
finally:
    gc.freeze()
    gc.enable()


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: "LambdaContext") -> dict[str, Any]:
    """Answer one HTTP API request, and write its one line of log and metrics."""
    record(Requests=1)
    status = 500
    try:
        response = _route(event, context)
        status = response["statusCode"]
        return response
    finally:
        flush(
            function_request_id=context.aws_request_id,
            xray_trace_id=os.environ.get("_X_AMZN_TRACE_ID", ""),
            model_version=model.manifest.version,
            model_sha256=model.manifest.sha256,
            status=status,
        )


def _route(event: dict[str, Any], context: "LambdaContext") -> dict[str, Any]:
    if event["requestContext"]["http"]["method"] == "POST":
        path = _path(event)
        if path == "/invocations":
            from api import invocations

            return _answer(event, partial(invocations.invoke, model))
        if inference := INFER.fullmatch(path):
            selected: dict[str, Any] = inference.groupdict()
            return _answer(event, partial(open_inference.infer, model, **selected))
    response: dict[str, Any] = _application()(event, context)
    return response


def _answer(event: dict[str, Any], operation: Callable[..., Response]) -> dict[str, Any]:
    """Answer an inference request with the very result that Mangum would return."""

    def operate() -> Response:
        body = _read_body(event)
        headers = {name.lower(): value for name, value in (event.get("headers") or {}).items()}
        return operation(body=body, headers=headers)

    response = answer(operate)
    text = response.body if response.is_text else base64.b64encode(response.body)
    return {
        "statusCode": response.status,
        "headers": response.headers,
        "body": text.decode(),
        "isBase64Encoded": not response.is_text,
    }


def _read_body(event: dict[str, Any]) -> bytes:
    body: bytes = (event.get("body") or "").encode()
    if not event.get("isBase64Encoded"):
        return body
    try:
        decoded: bytes = _decode_base64(b'"%b"' % body)
    except msgspec.DecodeError as error:
        raise RequestError("body: Expected base64 in one line") from error
    return decoded


@cache
def _application() -> Callable[[Any, Any], Any]:
    from mangum import Mangum

    from api.app import create_app

    # It logs errors that are already answered and logged, with text that may quote the request.
    logging.getLogger("mangum").addHandler(logging.NullHandler())
    logging.getLogger("mangum").propagate = False

    app = create_app(model)

    async def behind_stage(scope: Any, receive: Any, send: Any) -> None:
        """Tell FastAPI the stage, so that its pages link to each other behind it."""
        await app(scope | {"root_path": _stage_prefix(scope["aws.event"])}, receive, send)

    # Mangum would run startup and shutdown at every invocation.
    return Mangum(behind_stage, lifespan="off")


def _load_routes() -> None:
    """Import what would be imported when it is first asked for."""
    from api import invocations  # noqa: F401 for its effect

    _application()


def _path(event: dict[str, Any]) -> str:
    path: str = event["rawPath"]
    return path.removeprefix(_stage_prefix(event))


def _stage_prefix(event: dict[str, Any]) -> str:
    stage = event["requestContext"]["stage"]
    return "" if stage == "$default" else f"/{stage}"


match os.environ.get("AWS_LAMBDA_INITIALIZATION_TYPE"):
    case "snap-start":
        from api import snapshot

        snapshot.register(_load_routes)
    case "provisioned-concurrency":  # nobody waits for these
        record(ModelLoadTime=model.load_milliseconds)
    case _:  # flushed with the first request
        record(ColdStart=1, ModelLoadTime=model.load_milliseconds)
