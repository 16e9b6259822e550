"""The Lambda Runtime API, over which a runtime client takes its work.

Source: docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html. Nothing in a request tells which
execution environment sends it, so each environment has a port of its own.
"""

import asyncio
import socket
from dataclasses import dataclass, field
from typing import Protocol

from aiohttp import web

from infra.local.errors import FunctionError

MAX_RESPONSE_BYTES = 6 * 1024 * 1024 + 100  # what Lambda names in Function.ResponseSizeTooLarge


@dataclass(frozen=True)
class Invocation:
    """One event for a function, and the place for what comes of it."""

    request_id: str
    event: bytes
    deadline_ms: int
    function_arn: str
    trace_id: str
    result: asyncio.Future[bytes] = field(default_factory=asyncio.Future)


class Client(Protocol):
    """The environment whose runtime calls."""

    async def next_invocation(self) -> Invocation:
        """Wait for work; the first call ends the initialisation."""

    def succeed(self, payload: bytes) -> None:
        """Take what the handler returned."""

    def fail(self, error: FunctionError) -> None:
        """Take the error of the invocation, or of the initialisation before the first one."""


class RuntimeApi:
    """A server with one loopback port for each environment."""

    def __init__(self) -> None:
        app = web.Application(client_max_size=MAX_RESPONSE_BYTES)
        prefix = "/2018-06-01/runtime"
        app.add_routes(
            [
                web.get(f"{prefix}/restore/next", _restore),
                web.get(f"{prefix}/invocation/next", self._next),
                web.post(f"{prefix}/invocation/{{id}}/response", self._response),
                web.post(f"{prefix}/invocation/{{id}}/error", self._error),
                web.post(f"{prefix}/init/error", self._error),
                web.post(f"{prefix}/restore/error", self._error),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        self._clients: dict[int, tuple[Client, web.SockSite]] = {}

    async def start(self) -> None:
        """Prepare to listen."""
        await self._runner.setup()

    async def stop(self) -> None:
        """Close every port."""
        await self._runner.cleanup()

    async def listen(self, client: Client) -> int:
        """Open a port for an environment."""
        listener = socket.create_server(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        site = web.SockSite(self._runner, listener)
        self._clients[port] = client, site
        await site.start()
        return port

    async def forget(self, port: int) -> None:
        """Close the port of an environment that has ended."""
        _, site = self._clients.pop(port)
        await site.stop()

    def _client(self, request: web.Request) -> Client:
        address = request.get_extra_info("sockname")
        try:
            return self._clients[address[1]][0]
        except (KeyError, TypeError):  # it has ended, or hung up
            raise web.HTTPGone from None

    async def _next(self, request: web.Request) -> web.Response:
        try:
            invocation = await self._client(request).next_invocation()
        except asyncio.QueueShutDown:  # the environment has ended
            raise web.HTTPGone from None
        headers = {
            "Lambda-Runtime-Aws-Request-Id": invocation.request_id,
            "Lambda-Runtime-Deadline-Ms": str(invocation.deadline_ms),
            "Lambda-Runtime-Invoked-Function-Arn": invocation.function_arn,
            "Lambda-Runtime-Trace-Id": invocation.trace_id,
        }
        return web.Response(body=invocation.event, headers=headers, content_type="application/json")

    async def _response(self, request: web.Request) -> web.Response:
        try:
            payload = await request.read()
        except web.HTTPRequestEntityTooLarge:
            text = f"the response is larger than {MAX_RESPONSE_BYTES} bytes"
            self._client(request).fail(FunctionError("Function.ResponseSizeTooLarge", text))
            raise
        self._client(request).succeed(payload)
        return web.json_response({"status": "OK"}, status=202)

    async def _error(self, request: web.Request) -> web.Response:
        error = await request.json()
        kind, text = error.get("errorType", ""), error.get("errorMessage", "")
        self._client(request).fail(FunctionError(kind, text, error))
        return web.json_response({"status": "OK"}, status=202)


async def _restore(_: web.Request) -> web.Response:
    """Go on at once: each environment here is restored from a snapshot of its own."""
    return web.Response()
