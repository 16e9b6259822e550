"""CodeDeploy's part of a release: the hook, the traffic, the alarms, and the rollback.

Sources: docs.aws.amazon.com/codedeploy/latest/userguide/, the pages
deployment-configurations and deployment-steps-lambda.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from infra.local.clock import Clock, pause, read
from infra.local.control.deployment_type import read_deployment_type
from infra.local.errors import UpdateError
from infra.local.functions.invoker import Invoker
from infra.local.stack import Function
from infra.local.triggers.hook import Hook

if TYPE_CHECKING:
    from infra.local.control.code_deploy_api import Deployment, Deployments
    from infra.local.control.published_versions import PublishedVersions

LOOK_SECONDS = 2  # between two looks at the alarms


@dataclass(frozen=True)
class ReleaseEvent:
    """What happened in a release, at a time in seconds since 1970 of this machine's clock.

    `kind` is created, gate-started, gate-passed, gate-refused, shifted, alarm, stopped, promoted,
    rolled-back or failed (a deployment that could not begin, or a way back); `percent` is the new
    version's share of the traffic from then on.
    """

    time: float
    kind: str
    text: str
    percent: float


@dataclass(frozen=True)
class ReleaseResult:
    """How a release ended: `status` is CodeDeploy's, Succeeded, Failed or Stopped.

    It is Failed, too, where the stack failed after the promotion, and was taken back.
    `deployment_id` is empty where the template has no deployment group, `reason` where it
    succeeded. `gate` is what the hook answered.
    """

    version: str
    deployment_id: str
    status: str
    reason: str
    events: tuple[ReleaseEvent, ...]
    gate: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_promoted(self) -> bool:
        """Return whether all traffic goes to the new version."""
        return self.status == "Succeeded"


@dataclass
class Progress:
    """What has happened so far in a function's release; `on_event` gets each event."""

    on_event: Callable[[ReleaseEvent], None]
    events: list[ReleaseEvent] = field(default_factory=list)
    percent: float = 0
    gate: Mapping[str, Any] = field(default_factory=dict)  # what the hook answered
    deployment: "Deployment | None" = None

    def note(self, kind: str, text: str, percent: float | None = None) -> None:
        """Add an event; without `percent` the traffic stays where it is."""
        self.percent = self.percent if percent is None else percent
        self.events.append(ReleaseEvent(time.time(), kind, text, self.percent))
        self.on_event(self.events[-1])


class DeploymentFailure(Exception):  # noqa: N818 it is how a deployment ends, no mistake
    """A deployment ends early, with CodeDeploy's status and error code."""

    def __init__(self, kind: str, status: str, code: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind
        self.status = status
        self.code = code


@dataclass(frozen=True)
class Preference:
    """How a version takes over the traffic, by CodeDeploy's names; `hook` is a function."""

    application: str
    group: str
    config: str
    alarms: tuple[str, ...]
    hook: str


@dataclass
class Running:
    """A deployment that is under way, its hook, and whether a person stops it."""

    deployment: "Deployment"
    hook: Hook | None
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)


def plan(config: str) -> list[tuple[float, float]]:
    """Return the steps of a deployment configuration, as (minutes from the first, percent).

    Raises UpdateError if it is none of CodeDeploy's for Lambda.
    """
    found = read_deployment_type(config)
    if found is None:
        raise UpdateError(f"the local run does not know the deployment type {config}")
    return [(time / timedelta(minutes=1), percent) for time, percent in found.steps]


class CodeDeploy:
    """Runs deployments, at most one of a function.

    `catch_up` lets the alarms be as they are on `clock` now. As SAM's
    deployment groups ask for, it takes the traffic back whenever a deployment does not succeed:
    by a deployment of its own, whose hook runs too (assumed: AWS documents it for no rollback).
    """

    def __init__(
        self,
        versions: "PublishedVersions",
        deployments: "Deployments",
        invoker: Invoker,
        catch_up: Callable[[], Awaitable[None]],
        clock: Clock,
    ) -> None:
        self._versions = versions
        self._deployments = deployments
        self._invoker = invoker
        self._catch_up = catch_up
        self._clock = clock
        self._running: dict[str, Running] = {}  # by the deployment's id

    async def deploy(  # noqa: PLR0913, PLR0917 what moves, who watches, and who asked
        self,
        function: Function,
        preference: Preference,
        current: str,
        target: str,
        progress: Progress,
        creator: str = "CloudFormation",
    ) -> "Deployment":
        """Move the function's alias from version `current` to `target`; return how that ended."""
        deployment = self._deployments.create(function, preference, current, target, creator)
        running = self._begin(deployment, preference)
        try:
            self._check_alias(function, current)
            await self._ask_gate(running, preference, progress)
            await self._move(running, function, preference, current, target, progress)
            self._deployments.succeed(deployment)
        except DeploymentFailure as failure:
            progress.note(failure.kind, str(failure))
            self._deployments.fail(deployment, failure.status, failure.code, str(failure))
            if failure.code != "INVALID_LAMBDA_CONFIGURATION":  # there it never had the alias
                back = self._deployments.create_rollback(deployment, function, preference)
                await self._roll_back(back, function, preference, current, progress)
        finally:
            running.ended.set()
            del self._running[deployment.deployment_id]
        return deployment

    def _begin(self, deployment: "Deployment", preference: Preference) -> Running:
        identity, name = deployment.deployment_id, preference.hook
        hook = Hook(name, identity, self._invoker) if name else None
        running = self._running[identity] = Running(deployment, hook)
        return running

    async def _roll_back(
        self,
        back: "Deployment",
        function: Function,
        preference: Preference,
        current: str,
        progress: Progress,
    ) -> None:
        """Give version `current` all traffic again, if the hook lets that pass."""
        running = self._begin(back, preference)
        try:
            await self._run_hook(running, "the way back", Progress(lambda _: None))
        except DeploymentFailure as failure:
            progress.note("failed", str(failure))
            self._deployments.fail(back, failure.status, failure.code, str(failure))
            return
        finally:
            running.ended.set()
            del self._running[back.deployment_id]
        self._versions.shift(function, current, {})
        self._deployments.succeed(back)
        progress.note("rolled-back", f"all requests go to version {current}", 0)

    async def stop(self, deployment_id: str) -> None:
        """Take the traffic back from a deployment that is under way, and wait for that."""
        if running := self._running.get(deployment_id):
            running.stopping.set()
            await running.ended.wait()

    async def report(self, deployment_id: str, hook_id: str, status: str) -> bool:
        """Take what a hook found; return whether a deployment waits for it."""
        running = self._running.get(deployment_id)
        if not running or not running.hook or hook_id != running.hook.id:
            return False
        running.hook.report(status)
        return True

    def _check_alias(self, function: Function, current: str) -> None:
        shares = self._versions.weights(function.name, function.alias)
        if shares != {current: 1}:
            found = ", ".join(f"{share:.0%} to version {key}" for key, share in shares.items())
            raise DeploymentFailure(
                "failed",
                "Failed",
                "INVALID_LAMBDA_CONFIGURATION",
                f"alias {function.alias} sends {found}, not all to the current version {current}",
            )

    async def _ask_gate(self, running: Running, preference: Preference, progress: Progress) -> None:
        if not running.hook:
            return
        progress.note("gate-started", f"{running.hook.function} tries the new version")
        look = partial(self._look, running, preference)
        await self._run_hook(running, "the new version", progress, look)
        progress.note("gate-passed", "the gate let the new version pass")

    async def _run_hook(
        self,
        running: Running,
        what: str,
        progress: Progress,
        look: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """Invoke the hook, if there is one, and wait for its report.

        That it ends without one is a failure; CodeDeploy itself would wait for it for an hour.
        Meanwhile it takes a `look` time and again. Raises DeploymentFailure.
        """
        hook = running.hook
        if not hook:
            return
        await hook.start()
        while not hook.invocation.done():
            if look:
                await look()
            await self._sleep(running, hook.invocation)
        progress.gate = hook.read_answer()
        if hook.status == "Succeeded":
            return
        silent = f"{hook.function} ended without a report to CodeDeploy"
        why = progress.gate.get("reason") or "it gave no reason"
        text = f"the gate refused {what}: {why}" if hook.status else f"{silent}: {why}"
        raise DeploymentFailure("gate-refused", "Failed", "HOOK_EXECUTION_FAILURE", text)

    async def _move(  # noqa: PLR0913, PLR0917 what moves, and who watches
        self,
        running: Running,
        function: Function,
        preference: Preference,
        current: str,
        target: str,
        progress: Progress,
    ) -> None:
        begun = read(self._clock)
        for minutes, percent in plan(preference.config):
            while True:
                over = read(self._clock) >= begun + 60 * minutes
                await self._look(running, preference)  # once more when the time is over
                if over:
                    break
                await self._sleep(running)
            if percent == 100:  # noqa: PLR2004 percent
                self._versions.shift(function, target, {})
                progress.note("promoted", f"all requests go to version {target}", 100)
            else:
                self._versions.shift(function, current, {target: percent / 100})
                text = f"{percent:g} % of the requests go to version {target}"
                progress.note("shifted", text, percent)

    async def _look(self, running: Running, preference: Preference) -> None:
        """Raise DeploymentFailure if a person or an alarm stops the deployment."""
        if running.stopping.is_set():
            text = "the deployment was stopped by request"
            raise DeploymentFailure("stopped", "Stopped", "MANUAL_STOP", text)
        await self._catch_up()
        states = self._deployments.read_alarms(preference.alarms)
        if active := [name for name, state in states.items() if state == "ALARM"]:
            text = f"alarms are active: {', '.join(active)}"
            raise DeploymentFailure("alarm", "Stopped", "ALARM_ACTIVE", text)

    async def _sleep(self, running: Running, *also: asyncio.Future[bytes]) -> None:
        """Wait until the next look, or until there is something new."""
        stopping = asyncio.ensure_future(running.stopping.wait())
        news: set[asyncio.Future[Any]] = {stopping, *also}
        try:
            await asyncio.wait(
                news,
                timeout=pause(self._clock, LOOK_SECONDS),
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            stopping.cancel()
