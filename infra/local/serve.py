"""Puts the local run together: moto, the Runtime API, the function's versions, the front door."""

import asyncio
import contextlib
import random
import shutil
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from infra.local.cloud import Cloud
from infra.local.front_door import FrontDoor
from infra.local.metrics import Metrics
from infra.local.runtime_api import RuntimeApi
from infra.local.stack import Stack
from infra.local.versions import Versions

FLUSH_SECONDS = 1


@dataclass(frozen=True)
class LocalStack:
    """A stack that runs here: the API's `url`, and the endpoint for boto3 and the AWS CLI."""

    url: str
    aws_endpoint_url: str
    versions: Versions
    cloud: Cloud
    metrics: Metrics

    async def publish(self, stack: Stack) -> str:
        """Publish what was built last as the next version; the alias stays where it is."""
        number = await asyncio.to_thread(self.cloud.publish, stack.function)
        await self.versions.add(number, stack.function)
        return number

    async def flush(self) -> None:
        """Bring the metrics of every answered request into CloudWatch."""
        self.metrics.flush()


@asynccontextmanager
async def serve(  # noqa: PLR0913 most have defaults
    stack: Stack,
    *,
    python: Path,
    directory: Path,
    listener: socket.socket | None = None,
    aws_port: int = 0,
    concurrency: int = 10,
    rng: random.Random | None = None,
    on_error: Callable[[str, str], None] = lambda _version, _line: None,
) -> AsyncIterator[LocalStack]:
    """Serve `stack` with one environment started, and leave nothing behind but `directory`/logs.

    `python` is the managed runtime's, `listener` the bound socket of the API (default: any free
    port of 127.0.0.1), `aws_port` that of AWS's own APIs (0: any free one). One at a time in a
    process: moto's state is the process's. Raises FunctionError when the function cannot start.
    """
    shutil.rmtree(directory, ignore_errors=True)
    listener = listener or socket.create_server(("127.0.0.1", 0))
    prefix = "" if stack.api.stage == "$default" else f"/{stack.api.stage}"
    url = f"http://127.0.0.1:{listener.getsockname()[1]}{prefix}"
    async with AsyncExitStack() as exits:
        exits.callback(listener.close)
        cloud = Cloud(stack.region)
        aws_endpoint_url = cloud.start(aws_port)
        exits.callback(cloud.stop)
        cloud.create_stack(stack, url)
        metrics = Metrics(cloud.put_metrics)
        api = RuntimeApi()
        await api.start()
        exits.push_async_callback(api.stop)
        versions = Versions(
            directory=directory,
            python=python,
            api=api,
            metrics=metrics,
            concurrency=concurrency,
            variables={
                "AWS_ACCESS_KEY_ID": "local",
                "AWS_SECRET_ACCESS_KEY": "local",
                "AWS_SESSION_TOKEN": "local",
                "AWS_ENDPOINT_URL": aws_endpoint_url,
            },
            on_error=on_error,
        )
        exits.callback(shutil.rmtree, directory / "versions", ignore_errors=True)
        exits.push_async_callback(versions.stop)
        await versions.add("1", stack.function)
        await versions.warm("1")
        function = stack.function
        door = FrontDoor(
            stack.api,
            lambda: cloud.weights(function.name, function.alias),
            versions.invoke,
            metrics,
            rng or random.Random(),  # noqa: S311 shares of traffic, no secrets
        )
        runner = web.AppRunner(
            door.app(), access_log=None, shutdown_timeout=1, auto_decompress=False
        )
        await runner.setup()
        exits.push_async_callback(runner.cleanup)
        await web.SockSite(runner, listener).start()
        flushing = asyncio.create_task(_flush_often(metrics))
        exits.push_async_callback(_cancel, flushing)
        yield LocalStack(url, aws_endpoint_url, versions, cloud, metrics)


async def _flush_often(metrics: Metrics) -> None:
    while True:
        await asyncio.sleep(FLUSH_SECONDS)
        metrics.flush()


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
