"""Puts the local run together: moto, the Runtime API, the function's versions, the front door."""

import asyncio
import contextlib
import random
import shutil
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp import web
from botocore.exceptions import BotoCoreError, ClientError

from infra.local.cloud import Cloud
from infra.local.front_door import FrontDoor
from infra.local.logs import Logs
from infra.local.metrics import Metrics
from infra.local.runtime_api import RuntimeApi
from infra.local.stack import Stack
from infra.local.versions import Versions
from infra.local.watch import connect, put_alarms, update_states

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch import CloudWatchClient

FLUSH_SECONDS = 1


@dataclass(frozen=True)
class LocalStack:
    """A stack that runs here: the API's `url`, and the endpoint for boto3 and the AWS CLI."""

    url: str
    aws_endpoint_url: str
    versions: Versions
    cloud: Cloud
    metrics: Metrics
    logs: Logs
    cloudwatch: "CloudWatchClient"

    async def publish(self, stack: Stack) -> str:
        """Publish what was built last as the next version; the alias stays where it is."""
        number = await asyncio.to_thread(self.cloud.publish, stack.function)
        await self.versions.add(number, stack.function)
        await asyncio.to_thread(put_alarms, self.cloudwatch, stack, number)
        await asyncio.to_thread(self.cloud.put_dashboards, stack, number)
        return number

    async def flush(self) -> None:
        """Bring the metrics and the log of every answered request into CloudWatch."""
        self.metrics.flush()
        self.logs.flush()


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
    clock: Callable[[float], float] = lambda time: time,
    watch: bool = True,
) -> AsyncIterator[LocalStack]:
    """Serve `stack` with one environment started, and leave nothing behind but `directory`/logs.

    `python` is the managed runtime's, `listener` the bound socket of the API (default: any free
    port of 127.0.0.1), `aws_port` that of AWS's own APIs (0: any free one). `clock` turns the time
    here into the time of the metrics; with `watch` the alarms get their states each minute of it.
    One at a time in a process: moto's state is the process's. Raises FunctionError when the
    function cannot start.
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
        cloudwatch = connect(aws_endpoint_url, stack.region)
        putting = asyncio.create_task(asyncio.to_thread(put_alarms, cloudwatch, stack, "1"))
        exits.push_async_callback(asyncio.wait, [putting])
        metrics = Metrics(cloud.put_metrics, clock)
        logs = Logs(partial(cloud.put_logs, stack.function.log_group))
        api = RuntimeApi()
        await api.start()
        exits.push_async_callback(api.stop)
        versions = Versions(
            directory=directory,
            python=python,
            api=api,
            metrics=metrics,
            logs=logs,
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
        await putting
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
        local = LocalStack(url, aws_endpoint_url, versions, cloud, metrics, logs, cloudwatch)
        flushing = asyncio.create_task(_flush_often(local))
        exits.push_async_callback(_cancel, flushing)
        if watch:
            watching = asyncio.create_task(_watch(local, clock))
            exits.push_async_callback(_cancel, watching)
        yield local


async def _flush_often(local: LocalStack) -> None:
    while True:
        await asyncio.sleep(FLUSH_SECONDS)
        await local.flush()


async def _watch(local: LocalStack, clock: Callable[[float], float]) -> None:
    """Set the states of the alarms whenever a minute is over, as CloudWatch does."""
    now = clock(time.time())
    while True:
        await asyncio.sleep(FLUSH_SECONDS)
        before, now = now, clock(time.time())
        if now // 60 > before // 60:
            await local.flush()
            at = datetime.fromtimestamp(now, UTC)
            with contextlib.suppress(BotoCoreError, ClientError):  # an alarm may just be deleted
                await asyncio.to_thread(update_states, local.cloudwatch, at)


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
