"""The Lambda entry point: API Gateway payload 2.0 in, payload 2.0 out.

The model loads when this module is imported, in Lambda's init phase. FastAPI and Mangum, the
largest part of a cold start, are imported only when a route other than inference is asked for.
"""

import base64
import os
import re
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from api import open_inference
from api.responses import answer
from serving.model import MB_PER_VCPU, load_model
from serving.telemetry import flush, logger, record

INFER = re.compile(r"/v2/models/(?P<name>[^/%]+)(/versions/(?P<version>[^/%]+))?/infer")

model = load_model(
    Path(os.environ.get("MODEL_DIR", "/opt/model")),
    int(os.environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", MB_PER_VCPU)),
)
record(ColdStart=1, ModelLoadTime=model.load_milliseconds)  # flushed with the first request


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer one HTTP API request."""
    try:
        inference = INFER.fullmatch(_path(event))
        if inference and event["requestContext"]["http"]["method"] == "POST":
            return _infer(event, **inference.groupdict())
        response: dict[str, Any] = _application()(event, context)
        return response
    finally:
        flush()


def _infer(event: dict[str, Any], name: str, version: str | None) -> dict[str, Any]:
    """Answer an inference request with the very result that Mangum would return."""
    body = event.get("body", "")
    body = base64.b64decode(body) if event.get("isBase64Encoded") else body.encode()
    response = answer(partial(open_inference.infer, model, name, body, event["headers"], version))
    text = response.body if response.is_text else base64.b64encode(response.body)
    return {
        "statusCode": response.status,
        "headers": response.headers,
        "body": text.decode(),
        "isBase64Encoded": not response.is_text,
    }


@cache
def _application() -> Callable[[Any, Any], Any]:
    from mangum import Mangum

    from api.app import create_app

    app = create_app(model)

    async def behind_stage(scope: Any, receive: Any, send: Any) -> None:
        """Tell FastAPI the stage, so that its pages link to each other behind it."""
        await app(scope | {"root_path": _stage_prefix(scope["aws.event"])}, receive, send)

    # Mangum would run startup and shutdown at every invocation.
    return Mangum(behind_stage, lifespan="off")


def _path(event: dict[str, Any]) -> str:
    path: str = event["rawPath"]
    return path.removeprefix(_stage_prefix(event))


def _stage_prefix(event: dict[str, Any]) -> str:
    stage = event["requestContext"]["stage"]
    return "" if stage == "$default" else f"/{stage}"
