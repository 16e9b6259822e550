"""The Lambda Runtime API, over which a runtime client takes its work.

Source: docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html. Nothing in a request tells which
execution environment sends it, so each environment has an address of its own, which only it knows:
there are 16 million loopback addresses (RFC 1122, 3.2.1.3), each with its ports. An answer must
also carry the invocation's id, which the runtime client repeats and nobody else has seen.
"""

import asyncio
import json
import secrets
import socket
from contextlib import suppress
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import Any, Protocol

from aiohttp import web

from infra.local.callers import refuse_foreign
from infra.local.errors import FunctionError

MAX_RESPONSE_BYTES = 6 * 1024 * 1024 + 100  # what Lambda names in Function.ResponseSizeTooLarge
INVOCATION_ID = "Lambda-Runtime-Invocation-Id"


@dataclass(frozen=True)
class Invocation:
    """One event for a function, and the place for its result.

    A request that Lambda retries keeps its `request_id`; `id` is of this invocation alone.
    """

    request_id: str
    event: bytes
    deadline_ms: int
    function_arn: str
    trace_id: str
    id: str = field(default_factory=secrets.token_urlsafe)
    result: asyncio.Future[bytes] = field(default_factory=asyncio.Future)


class Client(Protocol):
    """The environment whose runtime calls."""

    async def next_invocation(self) -> Invocation:
        """Wait for work; the first call ends the initialisation."""

    @property
    def invocation(self) -> Invocation | None:
        """The invocation whose answer is awaited, if there is one."""

    @property
    def is_initialising(self) -> bool:
        """Whether the runtime has not asked for work yet, nor failed."""

    def succeed(self, payload: bytes) -> None:
        """Take what the handler returned."""

    def fail(self, error: FunctionError) -> None:
        """Take the error of the invocation, or of the initialisation before the first one."""


class RuntimeApi:
    """A server with one loopback address for each environment."""

    def __init__(self) -> None:
        app = web.Application(client_max_size=MAX_RESPONSE_BYTES, middlewares=[refuse_foreign])
        prefix = "/2018-06-01/runtime"
        app.add_routes(
            [
                web.get(f"{prefix}/restore/next", self._restore, allow_head=False),
                web.get(f"{prefix}/invocation/next", self._next, allow_head=False),
                web.post(f"{prefix}/invocation/{{id}}/response", self._response),
                web.post(f"{prefix}/invocation/{{id}}/error", self._error),
                web.post(f"{prefix}/init/error", self._init_error),
                web.post(f"{prefix}/restore/error", self._init_error),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        self._clients: dict[str, tuple[Client, web.SockSite]] = {}

    async def start(self) -> None:
        """Prepare to listen."""
        await self._runner.setup()

    async def stop(self) -> None:
        """Close every address."""
        await self._runner.cleanup()

    async def listen(self, client: Client) -> str:
        """Open an address, host:port, for an environment; raise OSError if there is none left."""
        host = IPv4Address("127.0.0.0") + 2 + secrets.randbelow((1 << 24) - 3)
        listener = socket.create_server((str(host), 0))
        address = _name(listener.getsockname())
        site = web.SockSite(self._runner, listener)
        self._clients[address] = client, site
        await site.start()
        return address

    async def forget(self, address: str) -> None:
        """Close the address of an environment that has ended."""
        _, site = self._clients.pop(address)
        await site.stop()

    def _client(self, request: web.Request) -> Client:
        address = request.get_extra_info("sockname")
        try:
            return self._clients[_name(address)][0]
        except (KeyError, TypeError):  # it has ended, or hung up
            raise web.HTTPGone from None

    def _require_open(self, request: web.Request) -> Client:
        """Return the client if a request answers the invocation that it works on."""
        client = self._client(request)
        invocation = client.invocation
        if invocation is None or invocation.request_id != request.match_info["id"]:
            raise _refuse(400, "InvalidRequestID", "no invocation with this request id is open")
        stated = request.headers.get(INVOCATION_ID, "").encode(errors="surrogateescape")
        if not secrets.compare_digest(invocation.id.encode(), stated):
            text = f"the {INVOCATION_ID} header is not that of the invocation"
            raise _refuse(400, "InvalidRequestID", text)
        return client

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
            INVOCATION_ID: invocation.id,
        }
        return web.Response(body=invocation.event, headers=headers, content_type="application/json")

    async def _response(self, request: web.Request) -> web.Response:
        self._require_open(request)
        try:
            payload = await request.read()
        except web.HTTPRequestEntityTooLarge:
            text = f"the response is larger than {MAX_RESPONSE_BYTES} bytes"
            error = FunctionError("Function.ResponseSizeTooLarge", text)
            self._require_open(request).fail(error)
            raise
        self._require_open(request).succeed(payload)  # it may have timed out meanwhile
        return _accept()

    async def _error(self, request: web.Request) -> web.Response:
        self._require_open(request)
        error = await _read_error(request)
        self._require_open(request).fail(error)
        return _accept()

    async def _init_error(self, request: web.Request) -> web.Response:
        error = await _read_error(request)
        client = self._client(request)
        if not client.is_initialising:
            raise _refuse(403, "InvalidStateTransition", "the initialisation is over")
        client.fail(error)
        return _accept()

    async def _restore(self, request: web.Request) -> web.Response:
        """Go on at once: each environment here is restored from a snapshot of its own."""
        self._client(request)
        return web.Response()


async def _read_error(request: web.Request) -> FunctionError:
    with suppress(ValueError, LookupError, RecursionError):  # no JSON, no encoding, or too deep
        match error := await request.json():
            case {"errorType": str(kind), "errorMessage": str(text)}:
                return FunctionError(kind, text, error)
    raise _refuse(400, "InvalidErrorShape", "expected JSON with errorType and errorMessage")


def _accept() -> web.Response:
    return web.json_response({"status": "OK"}, status=202)


def _refuse(status: int, kind: str, text: str) -> web.HTTPException:
    error = web.HTTPForbidden if status == 403 else web.HTTPBadRequest  # noqa: PLR2004 HTTP's
    body = json.dumps({"errorType": kind, "errorMessage": text})
    return error(text=body, content_type="application/json")


def _name(address: tuple[Any, ...]) -> str:
    host, port = address
    return f"{host}:{port}"
