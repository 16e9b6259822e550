"""The load of a rehearsal against a server of the test's own."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from infra.rehearsal.load import CUSTOMERS, load
from infra.rehearsal.requests import Requests

REQUESTS = Requests("/infer", (b"one", b"two", b"three"))
RATE = 500
type Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def serving(handle: Handler) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_post("/infer", handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def test_sends_the_requests_in_turn_and_records_each_answer() -> None:
    bodies: list[bytes] = []
    enough = asyncio.Event()

    async def handle(request: web.Request) -> web.Response:
        bodies.append(await request.read())
        if len(bodies) > CUSTOMERS:
            enough.set()
        status = 500 if bodies[-1] == b"two" else 200
        return web.Response(status=status, headers={"apigw-requestid": bodies[-1].decode()})

    async with serving(handle) as url, load(url, REQUESTS, RATE, str.upper) as result:
        await enough.wait()

    assert len(result.answers) == result.sent == len(bodies)
    assert abs(bodies.count(b"one") - bodies.count(b"three")) <= 1
    assert {(one.status, one.version, one.has_failed) for one in result.answers} == {
        (200, "ONE", False),
        (500, "TWO", True),
        (200, "THREE", False),
    }
    customers = [one.customer for one in sorted(result.answers, key=lambda one: one.sent)]
    assert customers == [number % CUSTOMERS for number in range(result.sent)]


async def test_a_slow_answer_holds_up_no_request() -> None:
    waiting, all_wait = 0, asyncio.Event()

    async def handle(_: web.Request) -> web.Response:
        nonlocal waiting
        waiting += 1
        if waiting == 150:
            all_wait.set()
        await all_wait.wait()
        return web.Response()

    async with serving(handle) as url, load(url, REQUESTS, RATE, str) as result:
        # WHEN none is answered before 150 are sent
        await all_wait.wait()

    # THEN the end of the load has waited for all of them
    assert len(result.answers) == result.sent >= 150
    assert not any(one.has_failed for one in result.answers)


async def test_a_request_without_an_answer_is_recorded_too() -> None:
    hung_up = asyncio.Event()

    async def handle(request: web.Request) -> web.Response:
        assert request.transport
        request.transport.close()
        hung_up.set()
        return web.Response()

    async with serving(handle) as url, load(url, REQUESTS, RATE, str) as result:
        await hung_up.wait()

    assert len(result.answers) == result.sent >= 1
    assert {(one.status, one.version) for one in result.answers} == {(0, "")}


async def test_an_error_in_the_block_ends_the_load_at_once() -> None:
    asked = asyncio.Event()

    async def handle(_: web.Request) -> web.Response:
        asked.set()
        await asyncio.Event().wait()
        raise AssertionError

    async def fail(url: str) -> None:
        async with load(url, REQUESTS, RATE, str):
            await asked.wait()
            raise KeyError

    async with serving(handle) as url:
        with pytest.raises(KeyError):
            await fail(url)

        # THEN nothing is sent, or waits for an answer, any more
        assert not [task for task in asyncio.all_tasks() if "load.<locals>" in repr(task)]
