"""CloudFormation's part of a release: what else of the stack changes with a version, and back."""

import asyncio
from collections.abc import Callable, Iterable, Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from infra.local.control.alarms import (
    ALARM_KINDS,
    delete_alarms,
    list_alarm_names,
    name_alarms,
    name_nested_alarms,
    put_alarm,
)
from infra.local.control.cloud import DASHBOARD, Archives, Cloud, archive, tell_template
from infra.local.control.code_deploy import CodeDeploy, Progress, ReleaseEvent, ReleaseResult, plan
from infra.local.errors import UpdateError
from infra.local.functions.versions import LATEST, HostedFunction, HostedVersion
from infra.local.stack import NESTED, BuiltStack, Function, NestedStack

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch import CloudWatchClient

    from infra.local.control.code_deploy_api import Deployments


@dataclass(frozen=True)
class Published:
    """A stack, the version that was published of its function, and the gate that came with it.

    `archives` are of its built folders as they were then.
    """

    stack: BuiltStack
    version: str
    archives: Archives
    gate: HostedVersion | None = None

    def has_files(self, stack: BuiltStack, archives: Archives) -> bool:
        """Tell whether the function and its layers are the same in another stack."""
        ours, theirs = self.stack.function, stack.function
        return [self.archives[folder] for folder in (ours.code, *ours.layers)] == [
            archives[folder] for folder in (theirs.code, *theirs.layers)
        ]


class CloudFormation:
    """Holds what the alias was given last, and releases other stacks, one at a time.

    `functions` are the stack's by their names, `host` makes the place for another one, and `serve`
    lets the API be as a stack says.
    """

    def __init__(  # noqa: PLR0913 each is one part of the local run
        self,
        *,
        cloud: Cloud,
        cloudwatch: "CloudWatchClient",
        deployments: "Deployments",
        code_deploy: CodeDeploy,
        functions: MutableMapping[str, HostedFunction],
        host: Callable[[Function], HostedFunction],
        serve: Callable[[BuiltStack], None],
    ) -> None:
        self._cloud = cloud
        self._cloudwatch = cloudwatch
        self._deployments = deployments
        self._code_deploy = code_deploy
        self._functions = functions
        self._host = host
        self._serve = serve
        self._releasing: asyncio.Task[ReleaseResult] | None = None
        self._is_busy = False

    @property
    def stack(self) -> BuiltStack:
        """The stack as the last release that succeeded left it."""
        return self._current.stack

    def tell_template(self) -> dict[str, Any]:
        """Return the template of that release, as SAM CLI would have sent it."""
        return tell_template(self._current.stack, self._current.archives)

    async def create(self, stack: BuiltStack, url: str) -> None:
        """Create the stack, whose API is at `url`, with the alias on version 1."""
        archives = await asyncio.to_thread(archive, stack)
        self._cloud.create_stack(stack, archives, url)
        self._functions[stack.function.name] = self._host(stack.function)
        published = await self._add(Published(stack, "1", archives))
        self._current = self._newest = await self._apply_all(published)

    async def publish(self, stack: BuiltStack) -> str:
        """Publish the next version, with all that does not wait for the alias, which stays."""
        return await self._publish(stack, await asyncio.to_thread(archive, stack))

    async def release(
        self, stack: BuiltStack, tell: Callable[[ReleaseEvent], None]
    ) -> ReleaseResult:
        """Publish `stack` and let CodeDeploy give it the traffic.

        Raises UpdateError, or BuildError.
        """
        archives = await _prepare(stack)
        with self._updating():
            releasing = await self._begin(stack, archives, Progress(tell))
        return await releasing

    async def update(self, stack: BuiltStack) -> None:
        """Begin what UpdateStack asks for; the files of `stack` may change when this returns.

        It publishes no version if SAM would give that the same logical id, and none if Lambda
        holds one that is the same in everything. Raises UpdateError, or BuildError.
        """
        archives = await _prepare(stack)
        with self._updating():
            current, newest = self._current, self._newest
            if stack.version_id == current.stack.version_id and current.has_files(stack, archives):
                unchanged = replace(current, stack=stack, archives=archives, gate=None)
                await self._settle(await self._apply_all(unchanged), current)
                self._end("UPDATE_COMPLETE")
            elif _settings(stack) == _settings(newest.stack) and newest.has_files(stack, archives):
                text = f"A version for this Lambda function exists ( {newest.version} )"
                self._end("UPDATE_ROLLBACK_COMPLETE", text)
            else:
                await self._begin(stack, archives, Progress(lambda _: None))

    async def stop(self) -> None:
        """Leave a release where it is."""
        if self._releasing:
            self._releasing.cancel()
            await asyncio.gather(self._releasing, return_exceptions=True)

    @contextmanager
    def _updating(self) -> Iterator[None]:
        """Refuse a second update until `_end`, which a block that fails has reached."""
        if self._is_busy:
            raise UpdateError(f"a release of stack {self.stack.name} is in progress")
        self._is_busy = True
        self._cloud.set_status(self.stack.name, "UPDATE_IN_PROGRESS")
        try:
            yield
        except BaseException as error:
            self._end("UPDATE_ROLLBACK_COMPLETE", str(error))
            raise

    async def _begin(
        self, stack: BuiltStack, archives: Archives, progress: Progress
    ) -> asyncio.Task[ReleaseResult]:
        """Publish a version of `stack`, and return the rest of its release."""
        version = await self._publish(stack, archives)
        progress.note("created", f"version {version} is published", 0)
        self._releasing = asyncio.create_task(self._release(self._newest, progress))
        return self._releasing

    async def _release(self, new: Published, progress: Progress) -> ReleaseResult:
        old, function, version = self._current, new.stack.function, new.version
        deployment_id, status, reason, is_stuck = "", "Succeeded", "", False
        try:
            if preference := new.stack.preference(version):
                deployment = await self._code_deploy.deploy(
                    function, preference, old.version, version, progress
                )
                deployment_id, status = deployment.deployment_id, deployment.status
                reason = deployment.error.get("message", "")
                back = deployment.way_back
                is_stuck = back is not None and back.status != "Succeeded"
            else:
                self._cloud.shift(function, version, {})
                progress.note("promoted", f"all requests go to version {version}", 100)
            events = tuple(progress.events)
            release = ReleaseResult(version, deployment_id, status, reason, events, progress.gate)
            if release.is_promoted:
                release = await self._finish(release, new, old, progress)
            elif not is_stuck:
                before, _ = old.stack.order()
                await self._settle(await self._apply(old, before), new)
        except BaseException as error:
            self._end("UPDATE_ROLLBACK_FAILED", str(error))
            raise
        taken_back = "UPDATE_ROLLBACK_FAILED" if is_stuck else "UPDATE_ROLLBACK_COMPLETE"
        self._end("UPDATE_COMPLETE" if release.is_promoted else taken_back, release.reason)
        return release

    async def _finish(
        self, release: ReleaseResult, new: Published, old: Published, progress: Progress
    ) -> ReleaseResult:
        """Update what comes after the alias; if that fails, take the alias back as well.

        It returns as it moved, by a deployment; that no alarm of the new version stops that one is
        assumed: CloudFormation gives the deployment group its old alarms first.
        """
        _, after = new.stack.order()
        try:
            await self._settle(await self._apply(new, after), old)
        except Exception as error:
            before, after = old.stack.order()
            old, function = await self._apply(old, before), new.stack.function
            if preference := old.stack.preference(old.version):
                back = await self._code_deploy.deploy(
                    function,
                    preference,
                    new.version,
                    old.version,
                    Progress(lambda _: None),
                    "CloudFormationRollback",
                )
                if back.status != "Succeeded":
                    raise UpdateError(f"the way back failed: {back.error['message']}") from error
            else:
                self._cloud.shift(function, old.version, {})
            progress.note("rolled-back", f"all requests go to version {old.version}", 0)
            await self._settle(await self._apply(old, after), new)
            reason = f"the stack failed after the promotion: {error}"
            return replace(release, status="Failed", reason=reason, events=tuple(progress.events))
        return release

    async def _publish(self, stack: BuiltStack, archives: Archives) -> str:
        number = self._cloud.publish(stack.function, archives)
        before, _ = stack.order()
        self._newest = await self._apply(
            await self._add(Published(stack, number, archives)), before
        )
        return number

    async def _add(self, published: Published) -> Published:
        """Give a version its files."""
        function = published.stack.function
        await self._functions[function.name].add(published.version, function)
        return published

    async def _apply_all(self, published: Published) -> Published:
        before, after = published.stack.order()
        return await self._apply(published, [*before, *after])

    async def _apply(self, published: Published, logical_ids: Iterable[str]) -> Published:
        """Make or put back resources of a version in this order, as far as they exist here."""
        stack, version = published.stack, published.version
        preference, names = stack.preference(version), name_alarms(stack, version)
        resolved = {kind: stack.resources(kind, version) for kind in (*ALARM_KINDS, DASHBOARD)}
        gate = published.gate
        for logical_id in logical_ids:
            kind = stack.template["Resources"][logical_id]["Type"]
            properties = resolved.get(kind, {}).get(logical_id)
            if kind == "AWS::Lambda::Function" and stack.is_gate(logical_id, version):
                gate = await self._put_gate(published)
            elif kind == "AWS::CodeDeploy::DeploymentGroup" and preference:
                self._deployments.put_group(preference)
            elif kind in ALARM_KINDS and properties:
                name = names[logical_id]
                await asyncio.to_thread(put_alarm, self._cloudwatch, name, properties)
            elif kind == DASHBOARD and properties:
                self._cloud.put_dashboard(properties)
            elif kind == NESTED:
                await self._put_nested(stack.nested(version)[logical_id])
        return replace(published, gate=gate)

    async def _put_nested(self, nested: NestedStack) -> None:
        """Make or put back what is in a nested stack, in its own order."""
        names = name_nested_alarms(nested)
        resolved = {kind: nested.resources(kind) for kind in (*ALARM_KINDS, DASHBOARD)}
        for logical_id in nested.order():
            kind = nested.template["Resources"][logical_id]["Type"]
            properties = resolved[kind].get(logical_id)
            if kind in ALARM_KINDS and properties:
                name = names[logical_id]
                await asyncio.to_thread(put_alarm, self._cloudwatch, name, properties)
            elif properties:
                self._cloud.put_dashboard(properties)

    async def _put_gate(self, published: Published) -> HostedVersion | None:
        function = published.stack.gate(published.version)
        if function is None:
            return None
        if function.name not in self._functions:
            self._functions[function.name] = self._host(function)
        self._cloud.put_function(function, published.archives)
        gates = self._functions[function.name]
        if published.gate:
            return await gates.put(published.gate)
        own = published.stack.function
        version = self._functions[own.name].find(published.version)
        opt = version.place.opt if function.layers == own.layers else None
        return await gates.add(LATEST, function, opt)

    async def _settle(self, kept: Published, left: Published) -> None:
        """End with one of two versions: of the other, alarms and idle environments go."""
        self._current = kept
        self._serve(kept.stack)
        if kept.version != left.version:
            await self._functions[left.stack.function.name].rest(left.version)
        names = [list_alarm_names(one.stack, one.version) for one in (left, kept)]
        await asyncio.to_thread(delete_alarms, self._cloudwatch, names[0] - names[1])
        nested = [one.stack.nested(one.version) for one in (left, kept)]
        for logical_id in nested[0].keys() - nested[1].keys():
            self._cloud.forget_stack(nested[0][logical_id].stack_id)
        self._cloud.update_stack(kept.stack, kept.version)

    def _end(self, status: str, reason: str = "") -> None:
        self._is_busy = False
        self._cloud.set_status(self.stack.name, status, reason)


async def _prepare(stack: BuiltStack) -> Archives:
    """Read the files of a stack that is to be released; raise UpdateError if it is unknown how."""
    if preference := stack.preference("1"):
        plan(preference.config)
    return await asyncio.to_thread(archive, stack)


def _settings(stack: BuiltStack) -> Function:
    """Return what Lambda compares, besides the files, of a function and its newest version."""
    return replace(stack.function, code=stack.build, layers=())
