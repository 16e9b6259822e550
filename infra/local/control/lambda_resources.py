"""Lambda's resources of a stack: functions with real environments, layers, versions, aliases."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, override
from weakref import WeakKeyDictionary

from moto.awslambda.models import LambdaBackend

from infra.local.control.archives import Archives
from infra.local.control.cloud import Cloud
from infra.local.control.code_deploy import CodeDeploy, Preference
from infra.local.control.code_deploy_api import Deployments
from infra.local.control.published_versions import PublishedVersions
from infra.local.control.resource import Change, Handler, Held, Wanted
from infra.local.errors import TemplateError, UpdateError
from infra.local.functions.hosting import Hosting
from infra.local.functions.invoker import Invoker, read_target
from infra.local.functions.versions import LATEST, HostedFunction, HostedVersion
from infra.local.stack import ALIAS, VERSION, BuiltStack, Function, read_environment

RESERVED = "ReservedConcurrentExecutions"
# The properties of a function that are done here or change nothing on this machine.
KNOWN = {
    *("Architectures", "Code", "Description", "Environment", "FunctionName", "Handler", "Layers"),
    *("LoggingConfig", "MemorySize", "Role", "Runtime", "SnapStart", "Tags", "Timeout"),
    *("TracingConfig", "DeadLetterConfig", RESERVED, "KmsKeyArn"),
    *("RecursiveLoop", "RuntimeManagementConfig", "EphemeralStorage", "PackageType"),
}


class StuckError(UpdateError):
    """A deployment failed, and so did the one that was to take it back."""


@dataclass(frozen=True)
class Content:
    """What a function is made of; of two versions that are equal in it Lambda publishes one."""

    function: Function
    code: str
    layers: tuple[str, ...]


def read_content(stack: BuiltStack, logical_id: str, archives: Archives) -> Content:
    """Return what a function of a stack is made of, by digests where that is files."""
    function = stack.functions[logical_id]
    return Content(
        replace(function, code=Path(), layers=(), environment={}),
        archives[function.code],
        tuple(archives[layer] for layer in function.layers),
    )


class Functions(Handler):
    """Functions: what they are in Lambda's API, and what they are as $LATEST on this machine."""

    def __init__(self, cloud: Cloud, invoker: Invoker, hosting: Hosting) -> None:
        self._cloud = cloud
        self._backend = cloud.functions
        self._invoker = invoker
        self._hosting = hosting

    @override
    async def put(self, wanted: Wanted, held: Held | None, change: Change) -> Held:
        if unknown := sorted(wanted.properties.keys() - KNOWN):
            raise TemplateError(
                f"the local platform does not know {', '.join(unknown)} of function "
                f"{wanted.logical_id}"
            )
        function = _complete(wanted)
        is_new = held is None or held.physical_id != function.name
        if is_new:
            self._create(function, wanted)
        else:
            self._change(function, wanted)
        digests = wanted.content.layers
        try:
            hosted = self._invoker.hosted[function.name]
            version = await hosted.add(function, change.copies.get(digests))
        except BaseException:
            if is_new:
                await self._remove(function.name)
            raise
        change.copies[digests] = version.place.opt
        attributes = {"Ref": function.name, "Arn": function.arn}
        return Held(wanted, function.name, attributes, version)

    @override
    async def restore(self, old: Held, held: Held | None, change: Change) -> Held:
        """Go back to the files that were copied then: what was built may be another by now."""
        version: HostedVersion = old.made
        self._change(version.function, old.wanted)
        await self._invoker.hosted[version.function.name].put(version)
        return old

    @override
    async def delete(self, held: Held) -> None:
        await self._remove(held.physical_id)

    async def _remove(self, name: str) -> None:
        if hosted := self._invoker.hosted.pop(name, None):
            await self._hosting.clear(hosted)
            self._backend.delete_function(name)

    def _create(self, function: Function, wanted: Wanted) -> None:
        if function.name in self._invoker.hosted:
            raise UpdateError(f"{function.name} already exists")
        self._backend.create_function(
            {
                "FunctionName": function.name,
                "Runtime": function.runtime,
                "Architectures": [function.architecture],
                "Code": {"ZipFile": wanted.content.code},
                **_configure(function, wanted),
            }
        )
        self._cloud.create_log_group(function.log_group)
        is_main = not self._invoker.hosted and wanted.stack.function.name == function.name
        hosted = self._hosting.host(function, is_main=is_main)
        hosted.reserve(wanted.properties.get(RESERVED))
        self._invoker.hosted[function.name] = hosted

    def _change(self, function: Function, wanted: Wanted) -> None:
        code = {"ZipFile": wanted.content.code}
        self._backend.update_function_code(function.name, LATEST, code)
        self._backend.update_function_configuration(
            function.name, LATEST, _configure(function, wanted)
        )
        self._invoker.hosted[function.name].reserve(wanted.properties.get(RESERVED))


def _complete(wanted: Wanted) -> Function:
    """Fill in the settings that depend on other resources."""
    properties = wanted.properties
    return replace(
        wanted.stack.functions[wanted.logical_id],
        environment=read_environment(properties),
        dead_letters=properties.get("DeadLetterConfig", {}).get("TargetArn", ""),
        log_group=properties.get("LoggingConfig", {}).get("LogGroup", f"/aws/lambda/{wanted.name}"),
    )


def _configure(function: Function, wanted: Wanted) -> dict[str, Any]:
    return {
        "Description": function.description,
        "Environment": {"Variables": dict(function.environment)},
        "Handler": function.handler,
        "Layers": wanted.properties.get("Layers", []),
        "MemorySize": function.memory_mb,
        "Role": wanted.properties["Role"],
        "Timeout": function.timeout_seconds,
    }


class Layers(Handler):
    """Layers: each change publishes a version, and the old one stays for those who have it."""

    def __init__(self, backend: LambdaBackend) -> None:
        self._backend = backend

    @override
    async def put(self, wanted: Wanted, held: Held | None, change: Change) -> Held:
        layer = self._backend.publish_layer_version(
            {
                "LayerName": wanted.properties.get("LayerName", wanted.name),
                "Description": wanted.properties.get("Description", ""),
                "Content": {"ZipFile": wanted.content},
                "CompatibleRuntimes": wanted.properties.get("CompatibleRuntimes", []),
            }
        )
        return Held(wanted, layer.arn, {"Ref": layer.arn, "LayerVersionArn": layer.arn}, layer)

    @override
    async def restore(self, old: Held, held: Held | None, change: Change) -> Held:
        """Leave it: nothing changes what was published once."""
        return old

    @override
    async def delete(self, held: Held) -> None:
        self._backend.delete_layer_version(held.made.name, str(held.made.version))


class Versions(Handler):
    """Versions: what $LATEST is now, under the next number."""

    def __init__(
        self, backend: LambdaBackend, versions: PublishedVersions, invoker: Invoker
    ) -> None:
        self._backend = backend
        self._versions = versions
        self._invoker = invoker
        # Number and content of what was published last; forgotten with its function.
        self._newest = WeakKeyDictionary[HostedFunction, tuple[str, Any]]()

    @override
    async def put(self, wanted: Wanted, held: Held | None, change: Change) -> Held:
        target = read_target(wanted.properties["FunctionName"])
        hosted = self._invoker.hosted[target.name]
        content = (wanted.content.content, hosted.latest.environment)
        newest, published = self._newest.get(hosted, ("", None))
        if content == published and not wanted.content.is_forced:
            raise UpdateError(f"A version for this Lambda function exists ( {newest} )")
        number = self._versions.publish(target.name)
        self._newest[hosted] = number, content
        hosted.publish(number)
        change.published[target.name] = number
        arn = f"{target.arn(wanted.stack.region)}:{number}"
        return Held(wanted, arn, {"Ref": arn, "Version": number})

    @override
    async def restore(self, old: Held, held: Held | None, change: Change) -> Held:
        """Leave it: nothing changes what was published once."""
        return old

    @override
    async def delete(self, held: Held) -> None:
        target = read_target(held.physical_id)
        if hosted := self._invoker.hosted.get(target.name):
            self._backend.delete_function(target.name, target.qualifier)
            await hosted.remove(target.qualifier)


@dataclass(frozen=True)
class VersionContent:
    """What a version is made of, and the attempt, not 0 if somebody asked for this very version."""

    content: Content
    attempt: int = 0

    @property
    def is_forced(self) -> bool:
        """Whether it is published even if it equals the newest one."""
        return self.attempt > 0


class Aliases(Handler):
    """Aliases, which move to a new version as their deployment group says, or at once."""

    def __init__(
        self,
        backend: LambdaBackend,
        versions: PublishedVersions,
        invoker: Invoker,
        deployments: Deployments,
        code_deploy: CodeDeploy,
    ) -> None:
        self._backend = backend
        self._versions = versions
        self._invoker = invoker
        self._deployments = deployments
        self._code_deploy = code_deploy

    @override
    async def put(self, wanted: Wanted, held: Held | None, change: Change) -> Held:
        name = read_target(wanted.properties["FunctionName"]).name
        alias, version = wanted.properties["Name"], str(wanted.properties["FunctionVersion"])
        function = replace(self._find_function(name), alias=alias)
        if held is None:
            self._backend.create_alias(alias, name, version, "", "")
        elif version != held.wanted.properties["FunctionVersion"]:
            await self._move(function, held, version, wanted, change)
        arn = f"{function.arn}:{alias}"
        return Held(wanted, arn, {"Ref": arn})

    @override
    async def delete(self, held: Held) -> None:
        target = read_target(held.physical_id)
        if target.name in self._invoker.hosted:
            self._backend.delete_alias(target.qualifier, target.name)

    async def _move(
        self, function: Function, held: Held, version: str, wanted: Wanted, change: Change
    ) -> None:
        before = str(held.wanted.properties["FunctionVersion"])
        progress = change.release(function.name)
        hosted = self._invoker.hosted[function.name]
        preference = _read_preference(wanted.policy, self._deployments)
        if preference is None:
            self._versions.shift(function, version, {})
            progress.note("promoted", f"all requests go to version {version}", 100)
        else:
            deployment = await self._code_deploy.deploy(
                function, preference, before, version, progress, change.creator
            )
            progress.deployment = deployment
            if deployment.status != "Succeeded":
                await hosted.rest(version)
                back, reason = deployment.way_back, deployment.error["message"]
                is_stuck = back is not None and back.status != "Succeeded"
                raise StuckError(reason) if is_stuck else UpdateError(reason)
        await hosted.rest(before)

    def _find_function(self, name: str) -> Function:
        return self._invoker.hosted[name].latest


class Permissions(Handler):
    """Permissions to invoke a function, which nobody here checks: an access key may do all."""

    @override
    async def put(self, wanted: Wanted, held: Held | None, change: Change) -> Held:
        return Held(wanted, wanted.name, {"Ref": wanted.name})

    @override
    async def delete(self, held: Held) -> None:
        """Forget it."""


def _read_preference(policy: Mapping[str, Any], deployments: Deployments) -> Preference | None:
    """Return how an alias moves to its next version; None if it does so at once."""
    update = policy.get("CodeDeployLambdaAliasUpdate")
    if not update:
        return None
    application, group = update["ApplicationName"], update["DeploymentGroupName"]
    config, alarms = deployments.read_group(application, group)
    hook = update.get("BeforeAllowTrafficHook", "")
    return Preference(application, group, config, alarms, hook)


def check_policies(stack: BuiltStack) -> None:
    """Raise TemplateError if an alias moves in a way that the local platform does not know."""
    for alias in stack.find(ALIAS).values():
        policy = alias.get("UpdatePolicy", {}).get("CodeDeployLambdaAliasUpdate", {})
        if "AfterAllowTrafficHook" in policy:
            raise TemplateError(
                "the local run does not support PostTraffic hooks: remove PostTraffic"
            )


def find_function(stack: BuiltStack, version_id: str) -> str:
    """Return the logical id of the function that a version belongs to."""
    assert stack.template["Resources"][version_id]["Type"] == VERSION  # noqa: S101 whoever asks knows
    named = stack.template["Resources"][version_id]["Properties"]["FunctionName"]
    return str(named["Ref"])
