"""A stack that `sam build` made, read as CloudFormation would read it."""

import base64
import hashlib
import re
import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from infra.local.dependencies import find_needs, sort_by_needs
from infra.local.errors import TemplateError
from infra.local.identifiers import ACCOUNT_ID, API_ID
from infra.local.intrinsics import Intrinsics
from infra.local.template import (
    Template,
    give_values,
    list_paths,
    list_variables,
    parse_template,
    read_template,
    translate,
)
from infra.local.variables import check_names, check_variables

FUNCTION = "AWS::Lambda::Function"
ALIAS = "AWS::Lambda::Alias"
LAYER = "AWS::Lambda::LayerVersion"
VERSION = "AWS::Lambda::Version"
NESTED = "AWS::CloudFormation::Stack"
RUNTIME = re.compile(r"python3\.\d{1,2}")  # it is in paths


@dataclass(frozen=True)
class Function:
    """A Lambda function as the template sets it, and where its built code and layers are.

    `alias` is the one that SAM publishes it with, empty if there is none. `dead_letters` is the ARN
    of the queue or topic for asynchronous events that failed, empty if there is none.
    """

    name: str
    alias: str
    handler: str
    runtime: str
    architecture: str
    memory_mb: int
    timeout_seconds: float
    environment: Mapping[str, str]
    log_group: str
    log_format: str
    log_level: str | None
    code: Path
    layers: tuple[Path, ...]
    region: str
    description: str = ""
    snap_start: bool = False
    dead_letters: str = ""

    @property
    def arn(self) -> str:
        """ARN without a qualifier."""
        return name_function_arn(self.name, self.region)


@dataclass(frozen=True)
class BuiltStack:
    """A template in the folder `build`, with values for its parameters.

    `template` is what SAM makes of `source`, and `values` are the parameters' by their types.
    `functions`, the folders of `layers` and the sources of `nested` stacks are by their logical
    ids.
    """

    name: str
    region: str
    parameters: Mapping[str, str]
    values: Mapping[str, Any]
    template: Template
    source: Template
    build: Path
    layers: Mapping[str, Path]
    functions: Mapping[str, Function]
    nested: Mapping[str, Template]

    @property
    def stack_id(self) -> str:
        """ARN by which CloudFormation knows the stack."""
        identity = uuid.uuid5(uuid.NAMESPACE_URL, self.name)
        return _arn("cloudformation", self.region, f"stack/{self.name}/{identity}")

    @property
    def function(self) -> Function:
        """The function that the stack is about: the first with an alias or, without one, the first.

        Raises TemplateError if there is no function.
        """
        for function in sorted(self.functions.values(), key=lambda one: not one.alias):
            return function
        raise TemplateError(f"stack {self.name} has no function")

    @property
    def hook(self) -> Function | None:
        """The function that tries a new version of `function` before it gets any traffic."""
        for resource in self.find(ALIAS).values():
            policy = resource.get("UpdatePolicy", {}).get("CodeDeployLambdaAliasUpdate", {})
            if policy.get("BeforeAllowTrafficHook"):
                name = self.predict().resolve(policy["BeforeAllowTrafficHook"])
                return next(one for one in self.functions.values() if one.name == name)
        return None

    def find(self, kind: str) -> Mapping[str, Any]:
        """Return the template's resources of one type, unresolved, by their logical ids."""
        return {
            logical_id: resource
            for logical_id, resource in self.template["Resources"].items()
            if resource["Type"] == kind
        }

    def with_function(self, function: Function) -> "BuiltStack":
        """Return the stack with another function in the place of the one of that name.

        A layer that it replaces is replaced for all functions.
        """
        [old] = [one for one in self.functions.values() if one.name == function.name]
        moved = dict(zip(old.layers, function.layers, strict=True))
        functions = {
            logical_id: function
            if one == old
            else replace(one, layers=tuple(moved.get(layer, layer) for layer in one.layers))
            for logical_id, one in self.functions.items()
        }
        layers = {key: moved.get(folder, folder) for key, folder in self.layers.items()}
        return replace(self, functions=functions, layers=layers)

    def nest(self, logical_id: str, parameters: Mapping[str, str]) -> "BuiltStack":
        """Return a stack in this one, with the parameters that this one gives it.

        Raises TemplateError.
        """
        digest = hashlib.sha256(f"{self.name}/{logical_id}".encode()).digest()
        # On AWS the last part is random; here it is the same each time.
        name = f"{self.name}-{logical_id}-{base64.b32encode(digest)[:12].decode()}"
        source = self.nested[logical_id]
        return _read(source, self.build / logical_id, name, self.region, parameters)

    def intrinsics(self, references: Mapping[str, Mapping[str, Any]]) -> Intrinsics:
        """Return what resolves the template's functions when resources are known so far."""
        return Intrinsics(self.template, self._known_values(), references)

    def predict(self, version: str = "1") -> Intrinsics:
        """Return what resolves the template as far as it is known before the stack exists.

        It is as if `version` were published of each function. What nobody knows yet stays as
        `${Name.Attribute}`. Raises TemplateError.
        """
        references: dict[str, Mapping[str, Any]] = {}
        intrinsics = Intrinsics(self.template, self._known_values(), references, lenient=True)
        resources = self.template["Resources"]
        for logical_id in sort_by_needs(find_needs(resources)):
            resource = resources[logical_id]
            properties = resource.get("Properties", {})
            if resource["Type"] == VERSION:
                arn = _name_target(intrinsics.resolve(properties["FunctionName"]), self.region)
                references[logical_id] = {"Ref": f"{arn}:{version}", "Version": version}
            elif resource["Type"] == NESTED:
                given = intrinsics.resolve(properties).get("Parameters", {})
                nested = self.nest(logical_id, given)
                outputs = nested.outputs(nested.predict())
                references[logical_id] = {"Ref": nested.stack_id} | {
                    f"Outputs.{key}": value for key, (value, _) in outputs.items()
                }
            else:
                physical = self.name_resource(logical_id, intrinsics)
                references[logical_id] = name_attributes(
                    resource["Type"], physical, self.region, intrinsics.resolve(properties)
                )
        return intrinsics

    def name_resource(self, logical_id: str, intrinsics: Intrinsics) -> str:
        """Return the name of a resource: that of the template or, as CloudFormation does, its own.

        CloudFormation adds something random, so that a resource can be replaced by another.
        """
        resource = self.template["Resources"][logical_id]
        field = NAME_FIELDS.get(resource["Type"], "")
        if field in resource.get("Properties", {}):
            return str(intrinsics.resolve(resource["Properties"][field]))
        return f"{self.name}-{logical_id}"

    def resources(self, kind: str, version: str) -> Mapping[str, Mapping[str, Any]]:
        """Return what is known beforehand of the properties of every resource of one type.

        They are by logical id, as they are once `version` is published of each function.
        """
        intrinsics = self.predict(version)
        return {
            logical_id: intrinsics.resolve(resource["Properties"])
            for logical_id, resource in self.find(kind).items()
            if intrinsics.holds(resource)
        }

    def outputs(self, intrinsics: Intrinsics) -> Mapping[str, tuple[str, str]]:
        """Return the stack's outputs as (value, description)."""
        return {
            key: (str(intrinsics.resolve(output["Value"])), output.get("Description", ""))
            for key, output in self.template.get("Outputs", {}).items()
            if intrinsics.holds(output)
        }

    def _known_values(self) -> dict[str, Any]:
        return dict(self.values) | {
            "AWS::AccountId": ACCOUNT_ID,
            "AWS::NotificationARNs": [],
            "AWS::Partition": "aws",
            "AWS::Region": self.region,
            "AWS::StackId": self.stack_id,
            "AWS::StackName": self.name,
            "AWS::URLSuffix": "amazonaws.com",
        }


# The properties that name a resource of a type whose name is known before it exists.
NAME_FIELDS = {
    "AWS::CloudWatch::Alarm": "AlarmName",
    "AWS::CloudWatch::CompositeAlarm": "AlarmName",
    "AWS::CloudWatch::Dashboard": "DashboardName",
    "AWS::CodeDeploy::Application": "ApplicationName",
    "AWS::CodeDeploy::DeploymentGroup": "DeploymentGroupName",
    "AWS::Lambda::Function": "FunctionName",
    "AWS::Logs::LogGroup": "LogGroupName",
    "AWS::SNS::Topic": "TopicName",
}


def name_attributes(  # noqa: PLR0911 one for each type
    kind: str, name: str, region: str, properties: Mapping[str, Any]
) -> dict[str, str]:
    """Return what Ref and Fn::GetAtt give of a resource, as far as its name says."""
    match kind:
        case "AWS::Lambda::Function":
            return {"Ref": name, "Arn": name_function_arn(name, region)}
        case "AWS::Lambda::Alias":
            target = _name_target(properties["FunctionName"], region)
            return {"Ref": f"{target}:{properties['Name']}"}
        case "AWS::ApiGatewayV2::Api":
            return {"Ref": API_ID, **name_api_attributes(API_ID, region)}
        case "AWS::CloudWatch::Alarm" | "AWS::CloudWatch::CompositeAlarm":
            return {"Ref": name, "Arn": _arn("cloudwatch", region, f"alarm:{name}")}
        case "AWS::Logs::LogGroup":
            return {"Ref": name, "Arn": _arn("logs", region, f"log-group:{name}:*")}
        case "AWS::SNS::Topic":
            return {"Ref": _arn("sns", region, name), "TopicName": name}
        case _ if kind in NAME_FIELDS:
            return {"Ref": name}
    return {}


def name_api_attributes(api_id: str, region: str) -> dict[str, str]:
    """Return what Fn::GetAtt gives of an HTTP API; here its host stands for a local address."""
    return {"ApiId": api_id, "ApiEndpoint": f"https://{api_id}.execute-api.{region}.amazonaws.com"}


def name_function_arn(name: str, region: str) -> str:
    """Return a function's ARN without a qualifier."""
    return _arn("lambda", region, f"function:{name}")


def read_stack(
    build: Path,
    name: str,
    region: str,
    parameters: Mapping[str, str] | None = None,
    body: str | None = None,
) -> BuiltStack:
    """Translate the template in `build`, or `body` in its place, with SAM's own translator.

    Where `parameters` has no value a parameter has its default. Raises TemplateError.
    """
    path = build / "template.yaml"
    built = read_template(path)
    source = parse_template(body, path) if body else built
    try:
        stack = _read(source, build, name, region, parameters or {})
        if body:
            check_names(list_variables(source), allowed=list_variables(built))
        folders = {(build / path).resolve() for _, _, path in list_paths(built)}
        _require_files(stack, folders)
        stack.predict()
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise TemplateError(f"{path}: unexpected or missing {error}") from error
    return stack


def _read(
    source: Template, build: Path, name: str, region: str, parameters: Mapping[str, Any]
) -> BuiltStack:
    given = {key: str(value) for key, value in parameters.items()}
    values = give_values(source.get("Parameters", {}), given)
    template = translate(source, region, values)
    shown = {
        key: ",".join(value) if isinstance(value, list) else str(value)
        for key, value in values.items()
    }
    nested = _read_nested(template, build)
    layers = {
        logical_id: (build / resource["Properties"]["Content"]["S3Key"]).resolve()
        for logical_id, resource in template["Resources"].items()
        if resource["Type"] == LAYER
    }
    stack = BuiltStack(name, region, shown, values, template, source, build, layers, {}, nested)
    intrinsics = stack.predict()
    functions = {
        logical_id: _read_function(stack, logical_id, intrinsics)
        for logical_id, resource in stack.find(FUNCTION).items()
        if intrinsics.holds(resource)
    }
    return replace(stack, functions=functions)


def _read_nested(template: Template, build: Path) -> dict[str, Template]:
    """Read the templates of the nested stacks, which `sam build` puts next to that of their parent.

    Raises TemplateError for one that is anywhere else: a template may come over the network.
    """
    nested = {}
    for logical_id, resource in template["Resources"].items():
        if resource["Type"] != NESTED:
            continue
        expected = f"{logical_id}/template.yaml"
        url = resource["Properties"]["TemplateURL"]
        if url != expected or not logical_id.isalnum():
            raise TemplateError(
                f"the template of nested stack {logical_id} is {str(url)[:64]!r}, expected "
                f"{expected} as `sam build` leaves it"
            )
        nested[logical_id] = read_template(build / expected)
    return nested


def _read_function(stack: BuiltStack, logical_id: str, intrinsics: Intrinsics) -> Function:
    resource = stack.template["Resources"][logical_id]["Properties"]
    name = stack.name_resource(logical_id, intrinsics)
    properties = intrinsics.resolve(resource)
    runtime = str(properties["Runtime"])
    if not RUNTIME.fullmatch(runtime):
        raise TemplateError(f"Runtime is {runtime[:64]!r}, expected one of Python")
    logs = properties.get("LoggingConfig", {})
    return Function(
        name=name,
        alias=_find_alias(stack, name, intrinsics),
        handler=properties["Handler"],
        runtime=runtime,
        architecture=properties.get("Architectures", ["x86_64"])[0],
        memory_mb=properties.get("MemorySize", 128),
        timeout_seconds=properties.get("Timeout", 3),
        environment=read_environment(properties),
        log_group=logs.get("LogGroup", f"/aws/lambda/{name}"),
        log_format=logs.get("LogFormat", "Text"),
        log_level=logs.get("ApplicationLogLevel"),
        code=(stack.build / properties["Code"]["S3Key"]).resolve(),
        layers=tuple(_list_layers(stack, logical_id)),
        region=stack.region,
        description=str(properties.get("Description", "")),
        snap_start=properties.get("SnapStart", {}).get("ApplyOn") == "PublishedVersions",
    )


def read_environment(properties: Mapping[str, Any]) -> dict[str, str]:
    """Return the environment variables of a function's properties; raise TemplateError."""
    variables = properties.get("Environment", {}).get("Variables", {})
    environment = {str(key): str(value) for key, value in variables.items()}
    check_variables(environment)
    return environment


def _list_layers(stack: BuiltStack, logical_id: str) -> Sequence[Path]:
    """Return the folders of a function's layers."""
    folders = []
    for layer in stack.template["Resources"][logical_id]["Properties"].get("Layers", []):
        match layer:
            case {"Ref": str(name)} if name in stack.layers:
                folders.append(stack.layers[name])
            case _:
                raise TemplateError(
                    f"function {logical_id} takes a layer that is not of its own stack"
                )
    return folders


def _find_alias(stack: BuiltStack, name: str, intrinsics: Intrinsics) -> str:
    for alias in stack.find(ALIAS).values():
        properties = intrinsics.resolve(alias["Properties"])
        if _name_target(properties["FunctionName"], stack.region).endswith(f":{name}"):
            return str(properties["Name"])
    return ""


def _name_target(function: str, region: str) -> str:
    """Return the ARN of a function that is named by itself or by its ARN."""
    return function if function.startswith("arn:") else name_function_arn(function, region)


def _arn(service: str, region: str, resource: str) -> str:
    return f"arn:aws:{service}:{region}:{ACCOUNT_ID}:{resource}"


def _require_files(stack: BuiltStack, folders: Collection[Path]) -> None:
    """Raise TemplateError unless everything is built now: a later build may take it away again.

    `folders` are those of the built template, which another template cannot add to.
    """
    for function in stack.functions.values():
        for folder in (function.code, *function.layers):
            if folder not in folders:
                raise TemplateError(
                    f"the template takes code from a folder named {folder.name[:64]!r}: expected "
                    "one that the template in the build has"
                )
            if not folder.is_dir():
                raise TemplateError(
                    f"{stack.build / folder.name} is missing: run `sam build` first"
                )
        if not _has_handler(function):
            raise TemplateError(
                f"the template's Handler is {function.handler[:64]!r}: expected module.function, "
                "with a module that is in the built code or a layer"
            )


def _has_handler(function: Function) -> bool:
    """Return whether the handler's module is among what was built: Python has many others."""
    module, dot, name = function.handler.rpartition(".")
    parts = module.replace("/", ".").split(".")
    if not (dot and all(part.isidentifier() for part in (*parts, name))):
        return False
    packages = "python", f"python/lib/{function.runtime}/site-packages"
    roots: Iterable[Path] = (
        function.code,
        *(layer / one for layer in function.layers for one in packages),
    )
    places = [root.joinpath(*parts) for root in roots]
    return any(
        one.with_suffix(".py").is_file() or (one / "__init__.py").is_file() for one in places
    )
