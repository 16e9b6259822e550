"""A steady load of requests. It is an open loop: a slow answer delays no other request."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus

import aiohttp

from infra.rehearsal.requests import Requests

CUSTOMERS = 100
JSON = {"Content-Type": "application/json"}
SECONDS = 60  # timeout of a request: twice how long an HTTP API waits for Lambda


@dataclass(frozen=True)
class Answer:
    """The answer to one request.

    `status` is 0 if there was none, and `version` is empty if the request reached no version.
    """

    sent: float  # seconds since 1970
    seconds: float
    customer: int
    status: int
    version: str

    @property
    def has_failed(self) -> bool:
        """Whether the customer saw an error. All requests of the load are valid."""
        return self.status != HTTPStatus.OK

    @property
    def received(self) -> float:
        """When the answer came, in seconds since 1970."""
        return self.sent + self.seconds


@dataclass
class LoadResult:
    """How many requests were sent, and their answers; in the end there are as many."""

    sent: int = 0
    answers: list[Answer] = field(default_factory=list)


@asynccontextmanager
async def load(
    url: str, requests: Requests, rate: float, version_of: Callable[[str], str]
) -> AsyncIterator[LoadResult]:
    """Send `rate` requests a second until the block ends, then wait for their answers.

    Customers take turns. `version_of` returns the version that got a request, by the id that API
    Gateway gave it.
    """
    result, stopped = LoadResult(), asyncio.Event()
    address = url + requests.path

    async def ask(number: int) -> None:
        sent, started = time.time(), time.perf_counter()
        status, request_id = 0, ""
        body = requests.bodies[number % len(requests.bodies)]
        with suppress(aiohttp.ClientError, TimeoutError):
            async with session.post(address, data=body, headers=JSON) as answer:
                request_id = answer.headers.get("apigw-requestid", "")
                await answer.read()
                status = answer.status
        seconds = time.perf_counter() - started
        version = version_of(request_id)
        result.answers.append(Answer(sent, seconds, number % CUSTOMERS, status, version))

    async def send() -> None:
        started = asyncio.get_running_loop().time()
        async with asyncio.TaskGroup() as asking:
            for number in itertools.count():
                with suppress(TimeoutError):
                    async with asyncio.timeout_at(started + number / rate):
                        await stopped.wait()
                if stopped.is_set():
                    return
                result.sent += 1
                asking.create_task(ask(number))

    timeout = aiohttp.ClientTimeout(total=SECONDS)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        sending = asyncio.create_task(send())
        try:
            yield result
            stopped.set()
            await sending
        finally:
            sending.cancel()
            with suppress(asyncio.CancelledError):
                await sending
