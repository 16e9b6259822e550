"""Puts the local run together: moto, the Runtime API, the function's versions, the front door."""

import asyncio
import contextlib
import random
import shutil
import socket
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp import web

from infra.local.clock import Clock
from infra.local.control.alarms import Watcher, connect
from infra.local.control.cloud import Cloud
from infra.local.control.cloud_formation import CloudFormation
from infra.local.control.cloud_formation_api import Read, answer_update_stack
from infra.local.control.code_deploy import CodeDeploy, ReleaseEvent, ReleaseResult
from infra.local.control.code_deploy_api import Deployments, answer_code_deploy
from infra.local.control.lambda_api import answer_invoke
from infra.local.errors import TemplateError
from infra.local.functions.logs import Logs
from infra.local.functions.runtime_api import RuntimeApi
from infra.local.functions.versions import LATEST, Call, HostedFunction
from infra.local.metrics import DELAY_SECONDS, Metrics
from infra.local.stack import BuiltStack, Function
from infra.local.triggers.http_api import FrontDoor

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch import CloudWatchClient

FLUSH_SECONDS = 1
GATE = "gate"  # its folder, and its name before what it reports


@dataclass(frozen=True)
class Platform:
    """A stack that runs here: the API's `url`, and the endpoint for boto3 and the AWS CLI."""

    url: str
    aws_endpoint_url: str
    versions: HostedFunction
    cloud: Cloud
    metrics: Metrics
    logs: Sequence[Logs]
    cloudwatch: "CloudWatchClient"
    formation: CloudFormation

    async def publish(self, stack: BuiltStack) -> str:
        """Publish what was built last as the next version; the alias stays where it is."""
        return await self.formation.publish(stack)

    async def release(
        self, stack: BuiltStack, tell: Callable[[ReleaseEvent], None] = lambda _event: None
    ) -> ReleaseResult:
        """Publish `stack` as the next version, and give it the traffic as the template says.

        `tell` gets each event as it happens. Raises UpdateError while another one is under way,
        or if the template's deployment type is not known.
        """
        return await self.formation.release(stack, tell)

    async def flush(self) -> None:
        """Bring the log of every answered request, and metrics in time, into CloudWatch."""
        await _flush(self.metrics, self.logs)


@asynccontextmanager
async def serve(  # noqa: PLR0913 most have defaults
    stack: BuiltStack,
    *,
    python: Path,
    directory: Path,
    listener: socket.socket | None = None,
    aws_port: int = 0,
    concurrency: int = 10,
    rng: random.Random | None = None,
    on_error: Callable[[str, str], None] = lambda _version, _line: None,
    on_pick: Callable[[str, str], None] = lambda _id, _version: None,
    clock: Clock = lambda time: time,
    metric_delay: float = DELAY_SECONDS,
    watch: bool = True,
    read: Read | None = None,
) -> AsyncIterator[Platform]:
    """Serve `stack` with one environment started, and leave nothing behind but `directory`/logs.

    `python` is the managed runtime's, `listener` the bound socket of the API (default: any free
    port of 127.0.0.1), `aws_port` that of AWS's own APIs (0: any free one). `clock` turns the time
    here into the time of the metrics, which come `metric_delay` seconds of it late, as on AWS; with
    `watch` the alarms get their states each minute of it.
    `read` reads the build again when UpdateStack asks for a release of it.
    `on_pick` gets the id of each request that goes to a version, and the version's number.
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
        cloudwatch = connect(aws_endpoint_url, stack.region, cloud.key)
        metrics = Metrics(cloud.put_metrics, clock, metric_delay)
        logs: list[Logs] = []
        api = RuntimeApi()
        await api.start()
        exits.push_async_callback(api.stop)
        functions: dict[str, HostedFunction] = {}

        def host(function: Function) -> HostedFunction:
            logs.append(Logs(partial(cloud.put_logs, function.log_group)))
            is_own = function.name == stack.function.name
            versions = HostedFunction(
                directory=directory if is_own else directory / GATE,
                python=python,
                api=api,
                metrics=metrics,
                logs=logs[-1],
                concurrency=concurrency,
                variables=cloud.variables(),
                on_error=on_error if is_own else lambda _version, line: on_error(GATE, line),
            )
            exits.callback(shutil.rmtree, versions.files, ignore_errors=True)
            exits.push_async_callback(versions.stop)
            return versions

        async def catch_up() -> None:
            if watch:
                await watcher.catch_up()

        watcher = Watcher(cloudwatch, clock, partial(_flush, metrics, logs))
        deployments = Deployments(cloud.code_deploy)
        code_deploy = CodeDeploy(
            cloud,
            deployments,
            lambda name, event: functions[name].invoke(LATEST, event, call=Call("")),
            catch_up,
            clock,
        )
        formation = CloudFormation(
            cloud=cloud,
            cloudwatch=cloudwatch,
            deployments=deployments,
            code_deploy=code_deploy,
            functions=functions,
            host=host,
            serve=lambda stack: door.serve(stack.api),
        )
        await formation.create(stack, url)
        function = stack.function
        versions = functions[function.name]
        await versions.warm("1")
        rng = rng or random.Random()  # noqa: S311 shares of traffic, no secrets
        door = FrontDoor(
            stack.api,
            lambda: cloud.weights(function.name, function.alias),
            versions.invoke,
            metrics,
            rng,
            on_pick=on_pick,
        )
        runner = web.AppRunner(
            door.app(), access_log=None, shutdown_timeout=1, auto_decompress=False
        )
        await runner.setup()
        exits.push_async_callback(runner.cleanup)
        await web.SockSite(runner, listener).start()
        local = Platform(
            url, aws_endpoint_url, versions, cloud, metrics, logs, cloudwatch, formation
        )
        exits.enter_context(answer_invoke(functions, cloud.weights, rng))
        exits.enter_context(answer_code_deploy(code_deploy.stop, code_deploy.report))
        exits.enter_context(answer_update_stack(formation, read or _read_nothing))
        flushing = asyncio.create_task(_flush_often(local))
        exits.push_async_callback(_cancel, flushing)
        if watch:
            exits.push_async_callback(_cancel, asyncio.create_task(watcher.watch()))
        exits.push_async_callback(formation.stop)
        yield local


def _read_nothing(_body: str | None, _parameters: Mapping[str, str]) -> BuiltStack:
    raise TemplateError("this local run was started without a build that it could release")


async def _flush(metrics: Metrics, logs: Sequence[Logs]) -> None:
    metrics.flush()
    for one in logs:
        one.flush()


async def _flush_often(local: Platform) -> None:
    while True:
        await asyncio.sleep(FLUSH_SECONDS)
        await local.flush()


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
