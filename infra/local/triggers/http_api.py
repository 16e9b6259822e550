"""The HTTP API: requests from the network to the function of their route, and back.

Limits: docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html and
docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html.
"""

import asyncio
import base64
import json
import os
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import unquote

from aiohttp import web

from infra.local.callers import refuse_foreign
from infra.local.errors import FunctionError, ThrottledError
from infra.local.functions.invoker import Invoker, Target
from infra.local.functions.tracing import create_trace_id
from infra.local.functions.versions import Call
from infra.local.metrics import Metrics, platform_samples
from infra.local.triggers.event import (
    Request,
    Response,
    ResponseError,
    message,
    to_event,
    to_response,
)
from infra.local.triggers.route import Route, Stage, match
from infra.local.triggers.trigger import Trigger

MAX_BODY_BYTES = 10 * 1024 * 1024
MAX_EVENT_BYTES = 6 * 1024 * 1024
INTEGRATION_SECONDS = 30

# What an HTTP API answers by itself; the last two when Lambda fails, throttles or lets it wait.
NOT_FOUND = message(404, "Not Found")
TOO_LARGE = message(413, "Request Entity Too Large")
TOO_MANY = message(429, "Too Many Requests")
FAILED = message(500, "Internal Server Error")
UNAVAILABLE = message(503, "Service Unavailable")


class HttpApi(Trigger):
    """Serves one API on `listener`.

    `on_pick` gets the id of each request that goes to a version, and the version's number. Without
    `throttles` the stage's throttle turns nobody away.
    """

    def __init__(  # noqa: PLR0913 each is a part that a test replaces
        self,
        api_id: str,
        listener: socket.socket,
        *,
        invoker: Invoker,
        metrics: Metrics,
        on_pick: Callable[[str, str], None] = lambda _id, _version: None,
        throttles: bool = True,
    ) -> None:
        self.api_id = api_id
        self._invoker = invoker
        self._metrics = metrics
        self._listener = listener
        self._on_pick = on_pick
        self._throttles = throttles
        self._routes: Sequence[Route] = ()
        self._stage = Stage("$default")
        self.is_deployed = False
        self._tokens, self._filled = self._stage.burst, time.monotonic()
        self._runner = web.AppRunner(
            self._app(), access_log=None, shutdown_timeout=1, auto_decompress=False
        )

    @property
    def url(self) -> str:
        """Where the API answers."""
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}{self._prefix}"

    def route(self, routes: Sequence[Route]) -> None:
        """Have these routes from now on."""
        self._routes = routes

    def deploy(self, stage: Stage) -> None:
        """Have this stage from now on."""
        self._tokens = min(self._tokens, stage.burst) if self._stage == stage else stage.burst
        self._stage, self.is_deployed = stage, True

    async def start(self) -> None:
        """Begin to answer."""
        await self._runner.setup()
        await web.SockSite(self._runner, self._listener).start()

    async def stop(self) -> None:
        """Answer no more, and free the port."""
        await self._runner.cleanup()
        self._listener.close()

    @property
    def _prefix(self) -> str:
        return "" if self._stage.name == "$default" else f"/{self._stage.name}"

    def _app(self) -> web.Application:
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
        matched = match(self._routes, request.method, below) if in_stage else None
        if matched is None:
            return NOT_FOUND
        if not self._take_token():
            return TOO_MANY
        try:
            body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            return TOO_LARGE
        route, path_parameters = matched
        trace_id = create_trace_id()
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
            stage=self._stage.name,
            api_id=self.api_id,
            request_id=request_id,
            trace_id=trace_id,
        )
        payload = json.dumps(event, separators=(",", ":")).encode()
        if len(payload) >= MAX_EVENT_BYTES:
            return TOO_LARGE
        started = time.perf_counter()
        try:
            return await self._integrate(route.target, payload, request_id, trace_id)
        finally:
            milliseconds["IntegrationLatency"] = (time.perf_counter() - started) * 1e3

    async def _integrate(
        self, target: Target, payload: bytes, request_id: str, trace_id: str
    ) -> Response:
        try:
            version = self._invoker.pick(target)
            self._on_pick(request_id, version)
            hosted, call = self._invoker.hosted[target.name], Call(target.qualifier)
            # The function goes on when the API has stopped waiting for it.
            invocation = asyncio.ensure_future(hosted.invoke(version, payload, call, trace_id))
            invocation.add_done_callback(lambda done: done.cancelled() or done.exception())
            async with asyncio.timeout(INTEGRATION_SECONDS):
                return to_response(await asyncio.shield(invocation))
        except (ThrottledError, TimeoutError):
            return UNAVAILABLE
        except (FunctionError, ResponseError):
            return FAILED

    def _take_token(self) -> bool:
        """Throttle as a stage does: `burst` tokens at most, `rate` new ones a second."""
        now, stage = time.monotonic(), self._stage
        gained = (now - self._filled) * stage.rate
        self._tokens, self._filled = min(stage.burst, self._tokens + gained), now
        if self._tokens < 1 and self._throttles:
            return False
        self._tokens -= 1
        return True

    def _record(self, status: int, milliseconds: Mapping[str, float]) -> None:
        """Add the metrics of one request with the dimensions that they have on AWS.

        Source: docs.aws.amazon.com/apigateway/latest/developerguide/http-api-metrics.html.
        """
        counts = {"Count": 1, "4xx": status // 100 == 4, "5xx": status // 100 == 5}  # noqa: PLR2004 classes of HTTP status
        api = ("ApiId", self.api_id)
        sets = ((api,), (api, ("Stage", self._stage.name)))
        self._metrics.add(
            platform_samples(
                "AWS/ApiGateway", time.time(), sets, counts=counts, milliseconds=milliseconds
            )
        )


async def _hide_server(_: web.BaseRequest, response: web.StreamResponse) -> None:
    """Drop aiohttp's own header: API Gateway names no server."""
    response.headers.popall("Server", None)
