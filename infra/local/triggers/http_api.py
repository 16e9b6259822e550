"""The HTTP API: requests from the network to the version that the alias picks, and back.

Limits: docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html and
docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html.
"""

import asyncio
import base64
import json
import os
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from urllib.parse import unquote

from aiohttp import web

from infra.local.callers import refuse_foreign
from infra.local.errors import FunctionError, ThrottledError
from infra.local.identifiers import API_ID
from infra.local.metrics import Metrics, platform_samples
from infra.local.route import match
from infra.local.stack import Api
from infra.local.triggers.event import (
    Request,
    Response,
    ResponseError,
    message,
    to_event,
    to_response,
)

MAX_BODY_BYTES = 10 * 1024 * 1024
MAX_EVENT_BYTES = 6 * 1024 * 1024
INTEGRATION_SECONDS = 30

# What an HTTP API answers by itself; the last two when Lambda fails, throttles or lets it wait.
NOT_FOUND = message(404, "Not Found")
TOO_LARGE = message(413, "Request Entity Too Large")
TOO_MANY = message(429, "Too Many Requests")
FAILED = message(500, "Internal Server Error")
UNAVAILABLE = message(503, "Service Unavailable")


class FrontDoor:
    """Serves one API; `weights` tells the versions' shares now, `invoke` asks one of them.

    `on_pick` gets the id of each request that goes to a version, and the version's number.
    """

    def __init__(  # noqa: PLR0913 each is a part that a test replaces
        self,
        api: Api,
        weights: Callable[[], Mapping[str, float]],
        invoke: Callable[[str, bytes, str], Awaitable[bytes]],
        metrics: Metrics,
        rng: random.Random,
        *,
        on_pick: Callable[[str, str], None] = lambda _id, _version: None,
    ) -> None:
        self._api = api
        self._weights = weights
        self._invoke = invoke
        self._metrics = metrics
        self._rng = rng
        self._on_pick = on_pick
        self._prefix = "" if api.stage == "$default" else f"/{api.stage}"
        self._tokens, self._filled = api.burst, time.monotonic()

    def serve(self, api: Api) -> None:
        """Serve the API as it is from now on; its stage stays."""
        self._api = api

    def app(self) -> web.Application:
        """Make the server application."""
        app = web.Application(client_max_size=MAX_BODY_BYTES + 1, middlewares=[refuse_foreign])
        app.router.add_route("*", r"/{path:[\s\S]*}", self._handle)
        app.on_response_prepare.append(_hide_server)
        return app

    async def _handle(self, request: web.Request) -> web.Response:
        started = time.perf_counter()
        request_id = base64.b64encode(os.urandom(11)).decode()
        milliseconds: dict[str, float] = {}
        response = await self._answer(request, request_id, milliseconds)
        milliseconds["Latency"] = (time.perf_counter() - started) * 1e3
        self._record(response.status, milliseconds)
        answer = web.Response(status=response.status, body=response.body)
        answer.headers.extend(response.headers)
        answer.headers["apigw-requestid"] = request_id
        return answer

    async def _answer(
        self, request: web.Request, request_id: str, milliseconds: dict[str, float]
    ) -> Response:
        path = unquote(request.raw_path.partition("?")[0])
        in_stage = f"{path}/".startswith(f"{self._prefix}/")
        below = path.removeprefix(self._prefix) or "/"
        matched = match(self._api.routes, request.method, below) if in_stage else None
        if matched is None:
            return NOT_FOUND
        if not self._take_token():
            return TOO_MANY
        try:
            body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            return TOO_LARGE
        route, path_parameters = matched
        trace_id = f"Root=1-{int(time.time()):08x}-{os.urandom(12).hex()}"
        event = to_event(
            Request(
                method=request.method,
                target=request.raw_path,
                headers=request.headers.items(),
                body=body,
                source_ip=request.remote or "",
            ),
            route_key=route.key,
            path_parameters=path_parameters,
            stage=self._api.stage,
            request_id=request_id,
            trace_id=trace_id,
        )
        payload = json.dumps(event, separators=(",", ":")).encode()
        if len(payload) >= MAX_EVENT_BYTES:
            return TOO_LARGE
        started = time.perf_counter()
        try:
            return await self._integrate(payload, request_id, trace_id)
        finally:
            milliseconds["IntegrationLatency"] = (time.perf_counter() - started) * 1e3

    async def _integrate(self, payload: bytes, request_id: str, trace_id: str) -> Response:
        try:
            weights = self._weights()
            [version] = self._rng.choices(list(weights), list(weights.values()))
            self._on_pick(request_id, version)
            # The function goes on when the API has stopped waiting for it.
            invocation = asyncio.ensure_future(self._invoke(version, payload, trace_id))
            invocation.add_done_callback(lambda done: done.cancelled() or done.exception())
            async with asyncio.timeout(INTEGRATION_SECONDS):
                return to_response(await asyncio.shield(invocation))
        except (ThrottledError, TimeoutError):
            return UNAVAILABLE
        except (FunctionError, ResponseError):
            return FAILED

    def _take_token(self) -> bool:
        """Throttle as a stage does: `burst` tokens at most, `rate` new ones a second."""
        now = time.monotonic()
        gained = (now - self._filled) * self._api.rate
        self._tokens, self._filled = min(self._api.burst, self._tokens + gained), now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def _record(self, status: int, milliseconds: Mapping[str, float]) -> None:
        """Add the metrics of one request with the dimensions that they have on AWS.

        Source: docs.aws.amazon.com/apigateway/latest/developerguide/http-api-metrics.html.
        """
        counts = {"Count": 1, "4xx": status // 100 == 4, "5xx": status // 100 == 5}  # noqa: PLR2004 classes of HTTP status
        api = ("ApiId", API_ID)
        sets = ((api,), (api, ("Stage", self._api.stage)))
        self._metrics.add(
            platform_samples(
                "AWS/ApiGateway", time.time(), sets, counts=counts, milliseconds=milliseconds
            )
        )


async def _hide_server(_: web.BaseRequest, response: web.StreamResponse) -> None:
    """Drop aiohttp's own header: API Gateway names no server."""
    response.headers.popall("Server", None)
