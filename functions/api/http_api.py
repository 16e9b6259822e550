"""Events of an HTTP API to answers: API Gateway payload 2.0 in, payload 2.0 out.

Every route of the table is answered here. The rest is FastAPI's: the pages for people, and errors
for an unknown path or method. It is imported when it is first needed, as the scoring protocol is,
since a cold start pays for every import.

Other lanes invoke the function with the same events and name themselves in `requestContext.lane`.
Callers of the API cannot: API Gateway makes the whole of `requestContext` itself.
"""

import base64
import logging
import os
import time
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec

from api import routes
from api.answers import answer, is_text
from protocols.messages import OUR_FAULT, Operation, Request, Response, refuse
from serving.errors import NonFiniteError, RequestError
from serving.model import Model
from telemetry import API, LANES, Metrics, logger

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

type Event = dict[str, Any]
type Handler = Callable[[Event, "LambdaContext"], dict[str, Any]]

CALLERS_FAULT = 400  # and above, up to OUR_FAULT
UNKNOWN = "unknown"  # of a lane

# From a string of JSON, which is twice as fast as base64.b64decode.
_decode_base64 = msgspec.json.Decoder(bytes).decode


def create_handler(model: Model) -> Handler:
    """Return the function that answers events with `model`, and writes one line for each."""
    metrics = Metrics(model.function_version)
    application = cache(lambda: create_application(model))
    _count_start(model, metrics, application)

    def respond(event: Event, context: "LambdaContext", lane: str) -> dict[str, Any]:
        if lane == UNKNOWN:
            expected = ", ".join(LANES)
            return _write(refuse(RequestError(f"requestContext.lane: Expected one of {expected}")))
        path = _path(event)
        if found := routes.find(event["requestContext"]["http"]["method"], path):
            operation, parameters = found
            return _write(_operate(model, operation, event, parameters, metrics))
        response: dict[str, Any] = application()(event, context)
        return response

    @logger.inject_lambda_context
    def handler(event: Event, context: "LambdaContext") -> dict[str, Any]:
        lane = event["requestContext"].get("lane", API)
        lane = lane if lane in LANES else UNKNOWN
        status = OUR_FAULT
        metrics.record(Requests=1)
        try:
            response = respond(event, context, lane)
            status = response["statusCode"]
            if status >= OUR_FAULT:
                metrics.record(ServerErrors=1)
            elif status >= CALLERS_FAULT:
                metrics.record(ClientErrors=1)
            return response
        finally:
            metrics.flush(
                lane,
                function_request_id=context.aws_request_id,
                xray_trace_id=os.environ.get("_X_AMZN_TRACE_ID", ""),
                model_version=model.manifest.version,
                model_sha256=model.manifest.sha256,
                status=status,
            )

    return handler


def _operate(
    model: Model,
    operation: Operation,
    event: Event,
    parameters: dict[str, str],
    metrics: Metrics,
) -> Response:
    """Answer the request in an event, and count what was measured if that is what a caller gets."""
    started = time.perf_counter()
    response = answer(lambda: operation(model, _read(event, parameters)))
    if measured := response.measured:
        metrics.record(
            Rows=measured.rows,
            InferenceLatency=measured.milliseconds,
            RequestLatency=(time.perf_counter() - started) * 1e3,
        )
        logger.debug("inputs", shapes=measured.shapes)
    elif response.error is NonFiniteError:
        metrics.record(NonFiniteOutputs=1)
    return response


def _read(event: Event, parameters: dict[str, str]) -> Request:
    """Read the request in an event; raise RequestError unless its body is what it is said to be."""
    body: bytes = (event.get("body") or "").encode()
    if event.get("isBase64Encoded"):
        try:
            body = _decode_base64(b'"%b"' % body)
        except msgspec.DecodeError as error:
            raise RequestError("body: Expected base64 in one line") from error
    headers = {name.lower(): value for name, value in (event.get("headers") or {}).items()}
    return Request(body, headers, parameters)


def _write(response: Response) -> dict[str, Any]:
    """Write a response as Lambda returns it: with the very result that Mangum would give."""
    as_text = is_text(response)
    text = response.body if as_text else base64.b64encode(response.body)
    return {
        "statusCode": response.status,
        "headers": response.headers,
        "body": text.decode(),
        "isBase64Encoded": not as_text,
    }


def _path(event: Event) -> str:
    """Return the path behind the stage, as callers mean it."""
    path: str = event["rawPath"]
    path = path.removeprefix(_stage_prefix(event))
    if "%" not in path:
        return path
    from urllib.parse import unquote

    return unquote(path)


def _stage_prefix(event: Event) -> str:
    stage = event["requestContext"]["stage"]
    return "" if stage == "$default" else f"/{stage}"


def create_application(model: Model) -> Callable[[Any, Any], Any]:
    """Return the FastAPI application as a function that answers events."""
    from mangum import Mangum

    from api.app import create_app

    # It logs errors that are already answered and logged, with text that may quote the request.
    logging.getLogger("mangum").addHandler(logging.NullHandler())
    logging.getLogger("mangum").propagate = False

    app = create_app(model)

    async def behind_stage(scope: Any, receive: Any, send: Any) -> None:
        """Give FastAPI the stage, so that its pages link to each other behind it."""
        await app(scope | {"root_path": _stage_prefix(scope["aws.event"])}, receive, send)

    # Mangum would run startup and shutdown at every invocation.
    return Mangum(behind_stage, lifespan="off")


def _count_start(model: Model, metrics: Metrics, load_application: Callable[[], object]) -> None:
    """Count the start of this execution environment; the first request writes it."""
    match os.environ.get("AWS_LAMBDA_INITIALIZATION_TYPE"):
        case "snap-start":
            from api import snapshot

            snapshot.register(metrics, load_application)
        case "provisioned-concurrency":  # nobody waits for these
            metrics.record(ModelLoadTime=model.load_milliseconds)
        case _:
            metrics.record(ColdStart=1, ModelLoadTime=model.load_milliseconds)
