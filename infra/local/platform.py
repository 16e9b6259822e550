"""The local platform: a Lambda account on one machine, in which stacks are created."""

import asyncio
import contextlib
import random
import shutil
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infra.local.clock import Clock
from infra.local.control.alarms import Watcher
from infra.local.control.api_resources import HttpApis, Stages
from infra.local.control.cloud import Cloud
from infra.local.control.cloud_formation import CloudFormation
from infra.local.control.cloud_formation_api import Read, answer_cloud_formation
from infra.local.control.code_deploy import CodeDeploy, ReleaseEvent, ReleaseResult
from infra.local.control.code_deploy_api import Deployments, answer_code_deploy
from infra.local.control.code_deploy_resources import Applications, DeploymentGroups
from infra.local.control.destinations import Destinations
from infra.local.control.event_configs import EventConfigs, EventInvokeConfigs
from infra.local.control.event_sources import EventSourceMappings, EventSources
from infra.local.control.handlers import Handlers
from infra.local.control.lambda_api import LambdaApi
from infra.local.control.lambda_resources import Aliases, Functions, Layers, Permissions, Versions
from infra.local.control.monitoring_resources import Alarms
from infra.local.control.moto_resources import MotoResources
from infra.local.control.nested_stacks import NestedStacks
from infra.local.control.patches import Replacements, list_patches
from infra.local.control.policy_resources import (
    Policies,
    Subscriptions,
    set_bucket_policy,
    set_queue_policy,
    set_topic_policy,
)
from infra.local.control.published_versions import PublishedVersions
from infra.local.control.stack_record import Records
from infra.local.control.step_functions import sign_tasks
from infra.local.functions.asynchronous import AsynchronousInvocations
from infra.local.functions.hosting import Hosting
from infra.local.functions.invoker import Invoker
from infra.local.functions.runtime_api import RuntimeApi
from infra.local.functions.versions import HostedFunction
from infra.local.metrics import DELAY_SECONDS, Metrics
from infra.local.stack import BuiltStack
from infra.local.triggers.http_api import HttpApi

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch import CloudWatchClient

FLUSH_SECONDS = 1


@dataclass
class Platform:
    """An account that runs here, and its stacks; the first one created is the main one."""

    cloud: Cloud
    metrics: Metrics
    hosting: Hosting
    versions: PublishedVersions
    invoker: Invoker
    apis: HttpApis
    formation: CloudFormation
    cloudwatch: "CloudWatchClient"
    readers: dict[str, Read] = field(default_factory=dict)
    _main: str = ""

    async def create_stack(self, stack: BuiltStack, read: Read | None = None) -> None:
        """Create a stack, with one environment of its function started.

        `read` reads its build again when UpdateStack asks for a release of it. Raises
        TemplateError, UpdateError, or FunctionError when the function cannot start.
        """
        await self.formation.create(stack)
        if read:
            self.readers[stack.name] = read
        self._main = self._main or stack.name
        if stack.functions and stack.function.alias:
            name, alias = stack.function.name, stack.function.alias
            for version in self.versions.weights(name, alias):
                await self.invoker.hosted[name].warm(version)

    async def publish(self, stack: BuiltStack) -> str:
        """Publish what was built last as the next version; the alias stays where it is."""
        return await self.formation.publish(stack)

    async def release(
        self, stack: BuiltStack, on_event: Callable[[ReleaseEvent], None] = lambda _event: None
    ) -> ReleaseResult:
        """Publish `stack` as the next version, and give it the traffic as the template says.

        `on_event` gets each event as it happens. Raises UpdateError while another one is under way,
        or if the template's deployment type is not known.
        """
        return await self.formation.release(stack, on_event)

    async def delete_stack(self, name: str) -> None:
        """Delete a stack, but for what its template retains."""
        await self.formation.delete(name)
        self.readers.pop(name, None)

    async def flush(self) -> None:
        """Bring the log of every answered request, and metrics in time, into CloudWatch."""
        await _flush(self.metrics, self.hosting)

    @property
    def aws_endpoint_url(self) -> str:
        """The endpoint for boto3 and the AWS CLI."""
        return self.cloud.endpoint_url

    @property
    def url(self) -> str:
        """The URL of the first HTTP API; KeyError if there is none."""
        return next(iter(self.apis.running.values())).url

    @property
    def function(self) -> HostedFunction:
        """The function that the main stack is about."""
        return self.invoker.hosted[self.formation.find(self._main).stack.function.name]


@asynccontextmanager
async def open_platform(  # noqa: PLR0913 most have defaults
    region: str,
    *,
    python: Path,
    directory: Path,
    listener: socket.socket | None = None,
    aws_port: int = 0,
    concurrency: int = 10,
    throttles: bool = True,
    rng: random.Random | None = None,
    on_error: Callable[[str, str], None] = lambda _version, _line: None,
    on_pick: Callable[[str, str], None] = lambda _id, _version: None,
    clock: Clock = lambda time: time,
    metric_delay: float = DELAY_SECONDS,
    watch: bool = True,
) -> AsyncIterator[Platform]:
    """Open an empty account of one Region, and leave nothing behind of it but `directory`/logs.

    `python` is the managed runtime's, `listener` the bound socket of the first API (default: any
    free port of 127.0.0.1), `aws_port` that of AWS's own APIs (0: any free one). Without
    `throttles` no API turns requests away. `clock` turns the time here into the account's. Metrics
    come `metric_delay` seconds of it late, as on AWS; with `watch` the alarms get their states each
    minute of it.
    `on_pick` gets the id of each request that goes to a version, and the version's number.
    One at a time in a process: moto's state is the process's. Raises OSError if a port is taken.
    """
    shutil.rmtree(directory, ignore_errors=True)
    rng = rng or random.Random()  # noqa: S311 shares of traffic, no secrets
    async with AsyncExitStack() as exits:
        if listener:
            exits.callback(listener.close)
        cloud = Cloud(region)
        cloud.start(aws_port)
        exits.callback(cloud.stop)
        metrics = Metrics(cloud.put_metrics, clock, metric_delay)
        runtime_api = RuntimeApi()
        await runtime_api.start()
        exits.push_async_callback(runtime_api.stop)

        hosting = Hosting(
            directory=directory,
            python=python,
            api=runtime_api,
            metrics=metrics,
            concurrency=concurrency,
            variables=cloud.variables(),
            put_logs=cloud.put_logs,
            on_error=on_error,
        )
        versions = PublishedVersions(cloud.functions)
        invoker = Invoker(versions.weights, rng)
        exits.push_async_callback(_clear, invoker, hosting)
        make_api = partial(
            HttpApi, invoker=invoker, metrics=metrics, on_pick=on_pick, throttles=throttles
        )
        apis = HttpApis(region, listener, make_api)
        exits.push_async_callback(apis.stop)

        configs = EventConfigs(region)
        destinations = Destinations(cloud.connect, invoker, region, clock)
        asynchronous = AsynchronousInvocations(
            invoker, clock, configs.read, destinations.report, on_error=on_error
        )
        exits.push_async_callback(asynchronous.stop)
        sources = EventSources(cloud.functions, cloud.queues, invoker, clock, on_error=on_error)
        exits.push_async_callback(sources.stop)

        cloudwatch = cloud.connect("cloudwatch")
        watcher = Watcher(cloudwatch, clock, partial(_flush, metrics, hosting))
        deployments = Deployments(cloud.code_deploy, cloud.alarms)
        catch_up = watcher.catch_up if watch else _do_nothing
        code_deploy = CodeDeploy(versions, deployments, invoker, catch_up, clock)

        handlers = Handlers(
            {
                "AWS::ApiGatewayV2::Api": apis,
                "AWS::ApiGatewayV2::Stage": Stages(apis),
                "AWS::CloudWatch::Alarm": Alarms(cloudwatch),
                "AWS::CloudWatch::CompositeAlarm": Alarms(cloudwatch),
                "AWS::CodeDeploy::Application": Applications(deployments),
                "AWS::CodeDeploy::DeploymentGroup": DeploymentGroups(deployments),
                "AWS::Lambda::Alias": Aliases(
                    cloud.functions, versions, invoker, deployments, code_deploy
                ),
                "AWS::Lambda::EventInvokeConfig": EventInvokeConfigs(configs),
                "AWS::Lambda::EventSourceMapping": EventSourceMappings(cloud.functions),
                "AWS::Lambda::Function": Functions(cloud, invoker, hosting),
                "AWS::Lambda::LayerVersion": Layers(cloud.functions),
                "AWS::Lambda::Permission": Permissions(),
                "AWS::Lambda::Version": Versions(cloud.functions, versions, invoker),
                "AWS::S3::BucketPolicy": Policies(set_bucket_policy),
                "AWS::SNS::Subscription": Subscriptions(),
                "AWS::SNS::TopicPolicy": Policies(set_topic_policy),
                "AWS::SQS::QueuePolicy": Policies(set_queue_policy),
            },
            MotoResources(),
        )
        formation = CloudFormation(Records(cloud.stacks), handlers, apis.addresses)
        handlers.add("AWS::CloudFormation::Stack", NestedStacks(formation.open, formation.close))
        platform = Platform(cloud, metrics, hosting, versions, invoker, apis, formation, cloudwatch)

        replacements = Replacements(
            lambda_api=LambdaApi(invoker, asynchronous),
            event_configs=configs.methods(),
            event_sources=sources.methods(),
            code_deploy=answer_code_deploy(code_deploy.stop, code_deploy.report),
            cloud_formation=answer_cloud_formation(formation, platform.readers),
            state_machines=sign_tasks(cloud.key, cloud.endpoint_url),
        )
        cloud.patch(list_patches(replacements))
        exits.push_async_callback(_cancel, asyncio.create_task(_flush_often(platform)))
        if watch:
            exits.push_async_callback(_cancel, asyncio.create_task(watcher.watch()))
        exits.push_async_callback(formation.stop)
        yield platform


@asynccontextmanager
async def serve(
    stack: BuiltStack, *, read: Read | None = None, **options: Any
) -> AsyncIterator[Platform]:
    """Open an account with one stack in it; `options` are those of open_platform.

    Raises what that and Platform.create_stack raise.
    """
    async with open_platform(stack.region, **options) as platform:
        await platform.create_stack(stack, read)
        yield platform


async def _do_nothing() -> None:
    """Leave the alarms as they are."""


async def _flush(metrics: Metrics, hosting: Hosting) -> None:
    metrics.flush()
    for logs in hosting.logs:
        logs.flush()


async def _flush_often(platform: Platform) -> None:
    while True:
        await asyncio.sleep(FLUSH_SECONDS)
        await platform.flush()


async def _clear(invoker: Invoker, hosting: Hosting) -> None:
    for hosted in invoker.hosted.values():
        await hosting.clear(hosted)


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
