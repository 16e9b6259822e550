"""What `sam build` made, read as CloudFormation would read it."""

import base64
import hashlib
import logging
import re
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import yaml
from samcli.lib.intrinsic_resolver.intrinsic_property_resolver import IntrinsicResolver
from samcli.lib.intrinsic_resolver.intrinsics_symbol_table import IntrinsicsSymbolTable
from samtranslator.model.exceptions import InvalidDocumentException
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator
from samtranslator.yaml_helper import yaml_parse

from infra.local.dependencies import order_around
from infra.local.errors import TemplateError
from infra.local.identifiers import ACCOUNT_ID, API_ID
from infra.local.route import Route
from infra.local.variables import check_names, check_variables

NESTED = "AWS::CloudFormation::Stack"
NESTED_KINDS = (  # what a nested stack may hold
    "AWS::CloudWatch::Alarm",
    "AWS::CloudWatch::CompositeAlarm",
    "AWS::CloudWatch::Dashboard",
)
RUNTIME = re.compile(r"python3\.\d{1,2}")  # it is in paths


@dataclass(frozen=True)
class Api:
    """An HTTP API: its stage, its routes, and the stage's throttle (requests a second, burst)."""

    stage: str
    routes: tuple[Route, ...]
    rate: float
    burst: float


@dataclass(frozen=True)
class Function:
    """A Lambda function as the template sets it, and where its built code and layers are."""

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

    @property
    def arn(self) -> str:
        """ARN without a qualifier."""
        return f"arn:aws:lambda:{self.region}:{ACCOUNT_ID}:function:{self.name}"


@dataclass(frozen=True)
class Preference:
    """How a version takes over the traffic: the names of CodeDeploy's parts; `hook` is a function.

    `properties` are the deployment group's.
    """

    application: str
    group: str
    config: str
    alarms: tuple[str, ...]
    hook: str | None
    properties: Mapping[str, Any]


@dataclass(frozen=True)
class BuiltStack:
    """One API, the function behind it, and what depends on the version that is published.

    `version_id` is the logical id of that version: SAM changes it when a setting of the function
    changes, so that CloudFormation publishes one. `template` is what SAM makes of `source`, the
    template in `build`, from whose folder the paths in it start. `resolvers` turns a version's
    number into what resolves properties as they are once it is published.
    """

    name: str
    region: str
    parameters: Mapping[str, str]
    api: Api
    function: Function
    version_id: str
    template: Mapping[str, Any]
    build: Path
    resolvers: Callable[[str], Callable[[Any], Any]]
    source: Mapping[str, Any] = field(default_factory=dict)
    nested: Callable[[str], Mapping[str, "NestedStack"]] = lambda _version: {}

    @property
    def stack_id(self) -> str:
        """ARN by which CloudFormation knows the stack."""
        return _stack_id(self.name, self.region)

    def list_resources(self, version: str) -> Iterator[tuple[str, str, str]]:
        """Yield logical id, physical id and type of every resource whose condition holds."""
        yield from _list_resources(self.template, self.resolvers(version))

    def resources(self, kind: str, version: str) -> Mapping[str, Mapping[str, Any]]:
        """Return the properties of every resource of one type, by its logical id."""
        return _resources(self.template, kind, self.resolvers(version))

    def order(self) -> tuple[Sequence[str], Sequence[str]]:
        """Return the logical ids that CloudFormation changes before the alias, and those after."""
        [alias] = _find(self.template["Resources"], "AWS::Lambda::Alias")
        return order_around(self.template["Resources"], alias)

    def outputs(self, version: str) -> Mapping[str, tuple[str, str]]:
        """Return the stack's outputs as (value, description)."""
        return _outputs(self.template, self.resolvers(version))

    def preference(self, version: str) -> Preference | None:
        """Return how a version takes over the traffic; None if the alias just moves."""
        [alias] = _find(self.template["Resources"], "AWS::Lambda::Alias").values()
        policy = alias.get("UpdatePolicy", {}).get("CodeDeployLambdaAliasUpdate")
        if not policy:
            return None
        if "AfterAllowTrafficHook" in policy:
            raise TemplateError("the local run knows no hook after the traffic: remove PostTraffic")
        policy = self.resolvers(version)(policy)
        [group] = self.resources("AWS::CodeDeploy::DeploymentGroup", version).values()
        alarms = group.get("AlarmConfiguration", {}).get("Alarms", [])
        return Preference(
            application=policy["ApplicationName"],
            group=policy["DeploymentGroupName"],
            config=group["DeploymentConfigName"],
            alarms=tuple(alarm["Name"] for alarm in alarms),
            hook=policy.get("BeforeAllowTrafficHook"),
            properties=group,
        )

    def is_gate(self, logical_id: str, version: str) -> bool:
        """Tell whether a function is the hook that is deployed with a version."""
        preference = self.preference(version)
        name = self.resolvers(version)({"Ref": logical_id})
        return preference is not None and preference.hook == name

    def gate(self, version: str) -> Function | None:
        """Return the hook that is deployed with a version; layers they share are the same files."""
        preference = self.preference(version)
        if preference is None or preference.hook is None:
            return None
        resolve = self.resolvers(version)
        functions = _find(self.template["Resources"], "AWS::Lambda::Function")
        own, gate = (
            next(
                one["Properties"] for key, one in functions.items() if resolve({"Ref": key}) == name
            )
            for name in (self.function.name, preference.hook)
        )
        shared = dict(zip(_layer_ids(own), self.function.layers, strict=True))
        function = _function(self.template, self.build, preference.hook, "", gate, resolve)
        layers = (
            shared.get(logical_id, layer)
            for logical_id, layer in zip(_layer_ids(gate), function.layers, strict=True)
        )
        return replace(function, layers=tuple(layers))


@dataclass(frozen=True)
class NestedStack:
    """A stack that another one holds as a resource, with its parameters as that one gives them.

    `template` is what SAM makes of `source`.
    """

    name: str
    region: str
    parameters: Mapping[str, str]
    template: Mapping[str, Any]
    source: Mapping[str, Any]
    resolve: Callable[[Any], Any]

    @property
    def stack_id(self) -> str:
        """ARN by which CloudFormation knows the stack; a Ref to it in the parent is this."""
        return _stack_id(self.name, self.region)

    def list_resources(self) -> Iterator[tuple[str, str, str]]:
        """Yield logical id, physical id and type of every resource whose condition holds."""
        yield from _list_resources(self.template, self.resolve)

    def resources(self, kind: str) -> Mapping[str, Mapping[str, Any]]:
        """Return the properties of every resource of one type, by its logical id."""
        return _resources(self.template, kind, self.resolve)

    def order(self) -> Sequence[str]:
        """Return the logical ids in an order in which CloudFormation can change them."""
        return order_around(self.template["Resources"], "")[0]

    def outputs(self) -> Mapping[str, tuple[str, str]]:
        """Return the stack's outputs as (value, description)."""
        return _outputs(self.template, self.resolve)


class Resolver(IntrinsicResolver):  # type: ignore[misc]  # SAM CLI ships no types
    """SAM CLI's resolver of intrinsic functions, but with Fn::Sub's own variables as they are.

    SAM CLI takes the value of such a variable for the name of something else, up to a dot in it,
    and knows no output of a nested stack there.
    """

    def handle_fn_sub(self, intrinsic_value: Any, ignore_errors: bool) -> Any:  # noqa: FBT001 SAM CLI's
        """Replace the variables that are given with the text, then everything else."""
        if isinstance(intrinsic_value, list):
            text, variables = intrinsic_value
            for name, value in variables.items():
                resolved = self.intrinsic_property_resolver(value, ignore_errors)
                text = text.replace(f"${{{name}}}", str(resolved))
            intrinsic_value = text

        def take_output(found: re.Match[str]) -> str:
            return str(self.handle_fn_getatt([found[1], found[2]], ignore_errors))

        intrinsic_value = re.sub(r"\$\{(\w+)\.(Outputs\.\w+)\}", take_output, intrinsic_value)
        return super().handle_fn_sub(intrinsic_value, ignore_errors)


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
    try:
        built = yaml_parse((build / "template.yaml").read_text())
        template = yaml_parse(body) if body else built
    except FileNotFoundError:
        raise TemplateError(f"{build}/template.yaml is missing: run `sam build` first") from None
    except (yaml.YAMLError, RecursionError) as error:
        raise TemplateError(f"{build}/template.yaml is not YAML: {error}") from error
    try:
        folders = {(build / path).resolve() for _, _, path in list_paths(built)}
        values = _give_values(template.get("Parameters", {}), parameters or {})
        source = deepcopy(template)
        translated = _translate(template, region, values)
        stack = _stack(translated, build, name, region, values)
        if body:
            check_names(_list_variables(source), allowed=_list_variables(built))
        return replace(_require_files(stack, folders), source=source)
    except InvalidDocumentException as error:
        raise TemplateError("; ".join(cause.message for cause in error.causes)) from error
    except (KeyError, TypeError, AttributeError) as error:
        raise TemplateError(f"{build}/template.yaml: unexpected or missing {error}") from error


def _list_variables(template: Mapping[str, Any]) -> set[str]:
    """Return the names of the environment variables that a SAM template gives to functions."""
    properties = [resource.get("Properties", {}) for resource in template["Resources"].values()]
    properties.append(template.get("Globals", {}).get("Function", {}))
    given = (one.get("Environment", {}).get("Variables", {}) for one in properties)
    return {str(name) for variables in given for name in variables}


def _give_values(
    declared: Mapping[str, Mapping[str, Any]], given: Mapping[str, str]
) -> dict[str, Any]:
    """Return the value of every parameter; refuse what CloudFormation refuses."""
    if unknown := given.keys() - declared.keys():
        raise TemplateError(f"Parameters: [{', '.join(unknown)}] do not exist in the template")
    values = {}
    for name, parameter in declared.items():
        value = given.get(name, parameter.get("Default"))
        if value is None:
            raise TemplateError(f"Parameters: [{name}] must have values")
        allowed = [str(one) for one in parameter.get("AllowedValues", [])]
        if allowed and str(value) not in allowed:
            raise TemplateError(f"parameter {name} is {value}, allowed: {', '.join(allowed)}")
        try:
            values[name] = yaml.safe_load(str(value)) if parameter["Type"] == "Number" else value
        except yaml.YAMLError:
            raise TemplateError(f"parameter {name} is {value}, not a number") from None
    return values


def list_paths(template: Mapping[str, Any]) -> Iterator[tuple[dict[str, Any], str, str]]:
    """Yield every path of a SAM template to code: its place, that is properties and key, and it."""
    for resource in template["Resources"].values():
        properties = resource.get("Properties", {})
        for key in ("CodeUri", "ContentUri"):
            if properties.get(key) is not None:
                yield properties, key, str(properties[key])


def _translate(
    template: dict[str, Any], region: str, parameters: Mapping[str, Any]
) -> dict[str, Any]:
    """SAM template -> CloudFormation template; a local path becomes the key of an S3 object.

    The translator takes no local path for code (SAM CLI replaces them in the same way), reads of
    the session only its Region, and asks for managed policies only to turn names into ARNs.
    """
    logging.getLogger("samtranslator").setLevel(logging.ERROR)
    for properties, key, path in list(list_paths(template)):
        properties[key] = {"Bucket": "local", "Key": path}
    session = cast("Any", SimpleNamespace(region_name=region))
    translator = Translator({}, Parser(), boto_session=session)
    translated = translator.translate(template, dict(parameters), get_managed_policy_map=dict)
    return cast("dict[str, Any]", translated)


def _stack(
    template: dict[str, Any], build: Path, name: str, region: str, parameters: Mapping[str, Any]
) -> BuiltStack:
    """Read a stack, and the stacks in it.

    Resolve `template` twice: what the first pass names, the second can refer to.
    """
    resources = template["Resources"]
    pseudo = {"AWS::AccountId": ACCOUNT_ID, "AWS::Region": region, "AWS::StackName": name}
    given = {**parameters, **pseudo}
    resolve = _resolver(template, given)
    alias_id, alias = _only(resources, "AWS::Lambda::Alias")
    alias = resolve(alias)
    function_id = alias["FunctionName"]
    function_name = f"{name}-{function_id}"
    arn = f"arn:aws:lambda:{region}:{ACCOUNT_ID}:function:{function_name}"
    api_id, api = _only(resources, "AWS::ApiGatewayV2::Api")
    version_id, _ = _only(resources, "AWS::Lambda::Version")
    log_groups = {
        logical_id: {"Ref": resolve(resource["Properties"]["LogGroupName"])}
        for logical_id, resource in resources.items()
        if resource["Type"] == "AWS::Logs::LogGroup" and "LogGroupName" in resource["Properties"]
    }
    topics = {
        logical_id: {"Ref": f"arn:aws:sns:{region}:{ACCOUNT_ID}:{name}-{logical_id}"}
        for logical_id, resource in resources.items()
        if resource["Type"] == "AWS::SNS::Topic"
    }
    deployment = {
        logical_id: {"Ref": f"{name}-{logical_id}"}
        for kind in ("AWS::CodeDeploy::Application", "AWS::CodeDeploy::DeploymentGroup")
        for logical_id in _find(resources, kind)
    }
    references = {
        **topics,
        **deployment,
        **_name_functions(resources, name, region, resolve),
        api_id: {"Ref": API_ID},
        alias_id: {"Ref": f"{arn}:{alias['Name']}"},
    }

    sources = _read_nested(template, build)

    def resolve_with_nested(
        version: str,
    ) -> tuple[Callable[[Any], Any], Mapping[str, NestedStack]]:
        published = {version_id: {"Ref": f"{arn}:{version}", "Version": version}}
        known = {**given, **log_groups, **references, **published}
        known |= _name_alarms(template, name, region, known)
        nested = {}
        for logical_id, source in sources.items():
            properties = _resolver(template, known)(resources[logical_id]["Properties"])
            nested_name = name_nested(name, logical_id)
            inner = _nested(source, nested_name, region, properties.get("Parameters", {}))
            nested[logical_id] = inner
            outputs = {f"Outputs.{key}": value for key, (value, _) in inner.outputs().items()}
            known[logical_id] = {"Ref": inner.stack_id, **outputs}
        return _resolver(template, known), nested

    def resolver(version: str) -> Callable[[Any], Any]:
        return resolve_with_nested(version)[0]

    resolve = resolver("1")
    stage = resolve(_only(resources, "AWS::ApiGatewayV2::Stage")[1])
    throttle = stage.get("DefaultRouteSettings", {})
    properties = resources[function_id]["Properties"]
    function = _function(template, build, function_name, alias["Name"], properties, resolve)
    return BuiltStack(
        name=name,
        region=region,
        parameters={key: str(value) for key, value in parameters.items()},
        api=Api(
            stage=stage["StageName"],
            routes=_routes(api["Body"]["paths"]),
            rate=throttle.get("ThrottlingRateLimit", 10_000),  # the account's own quota
            burst=throttle.get("ThrottlingBurstLimit", 5_000),
        ),
        function=function,
        version_id=version_id,
        template=template,
        build=build,
        resolvers=resolver,
        nested=lambda version: resolve_with_nested(version)[1],
    )


def name_nested(parent: str, logical_id: str) -> str:
    """Return the name of a nested stack; its last part, random on AWS, is the same each time."""
    digest = hashlib.sha256(f"{parent}/{logical_id}".encode()).digest()
    return f"{parent}-{logical_id}-{base64.b32encode(digest)[:12].decode()}"


def _stack_id(name: str, region: str) -> str:
    identity = uuid.uuid5(uuid.NAMESPACE_URL, name)
    return f"arn:aws:cloudformation:{region}:{ACCOUNT_ID}:stack/{name}/{identity}"


def _read_nested(template: Mapping[str, Any], build: Path) -> dict[str, Any]:
    """Read the templates of the nested stacks, which `sam build` puts beside that of their parent.

    Raises TemplateError for one that is anywhere else: a template may come over the network.
    """
    nested = {}
    for logical_id, resource in _find(template["Resources"], NESTED).items():
        expected = f"{logical_id}/template.yaml"
        url = resource["Properties"]["TemplateURL"]
        if url != expected:
            raise TemplateError(
                f"the template of nested stack {logical_id} is {str(url)[:64]!r}, expected "
                f"{expected} as `sam build` leaves it"
            )
        try:
            nested[logical_id] = yaml_parse((build / expected).read_text())
        except OSError:
            raise TemplateError(f"{build / expected} is missing: run `sam build` first") from None
        except (yaml.YAMLError, RecursionError) as error:
            raise TemplateError(f"{build / expected} is not YAML: {error}") from error
    return nested


def _nested(
    source: Mapping[str, Any], name: str, region: str, parameters: Mapping[str, Any]
) -> NestedStack:
    """Translate the template of a nested stack, with its parameters as the parent resolved them."""
    template = deepcopy(dict(source))
    given = {key: str(value) for key, value in parameters.items()}
    values = _give_values(template.get("Parameters", {}), given)
    if "Transform" in template:
        template = _translate(template, region, values)
    for logical_id, resource in template["Resources"].items():
        if resource["Type"] not in (*NESTED_KINDS,):
            raise TemplateError(
                f"the local run has no {resource['Type']} in a nested stack ({logical_id})"
            )
    pseudo = {"AWS::AccountId": ACCOUNT_ID, "AWS::Region": region, "AWS::StackName": name}
    known = {**values, **pseudo, "AWS::StackId": _stack_id(name, region)}
    known |= _name_alarms(template, name, region, known)
    shown = {key: str(value) for key, value in values.items()}
    return NestedStack(name, region, shown, template, source, _resolver(template, known))


def _outputs(
    template: Mapping[str, Any], resolve: Callable[[Any], Any]
) -> dict[str, tuple[str, str]]:
    return {
        key: (str(resolve(output["Value"])), output.get("Description", ""))
        for key, output in template.get("Outputs", {}).items()
        if _holds(output, resolve)
    }


def _list_resources(
    template: Mapping[str, Any], resolve: Callable[[Any], Any]
) -> Iterator[tuple[str, str, str]]:
    for logical_id, resource in template["Resources"].items():
        if _holds(resource, resolve):
            yield logical_id, str(resolve({"Ref": logical_id})), resource["Type"]


def _holds(one: Mapping[str, Any], resolve: Callable[[Any], Any]) -> bool:
    """Tell whether the condition of a resource or an output holds, if it has one."""
    return "Condition" not in one or bool(resolve({"Fn::If": [one["Condition"], True, False]}))


def _function(  # noqa: PLR0913, PLR0917 what a function is made of
    template: Mapping[str, Any],
    build: Path,
    name: str,
    alias: str,
    properties: Mapping[str, Any],
    resolve: Callable[[Any], Any],
) -> Function:
    """Read a function from its properties as the template has them."""
    resources = template["Resources"]
    layers = [resources[layer]["Properties"]["Content"] for layer in _layer_ids(properties)]
    properties = resolve(properties)
    variables = properties.get("Environment", {}).get("Variables", {})
    environment = {str(key): str(value) for key, value in variables.items()}
    check_variables(environment)
    logs = properties.get("LoggingConfig", {})
    if not RUNTIME.fullmatch(properties["Runtime"]):
        raise TemplateError(f"Runtime is {properties['Runtime'][:64]!r}, expected one of Python")
    return Function(
        name=name,
        alias=alias,
        handler=properties["Handler"],
        runtime=properties["Runtime"],
        architecture=properties.get("Architectures", ["x86_64"])[0],
        memory_mb=properties.get("MemorySize", 128),
        timeout_seconds=properties.get("Timeout", 3),
        environment=environment,
        log_group=logs.get("LogGroup", f"/aws/lambda/{name}"),
        log_format=logs.get("LogFormat", "Text"),
        log_level=logs.get("ApplicationLogLevel"),
        code=(build / properties["Code"]["S3Key"]).resolve(),
        layers=tuple((build / content["S3Key"]).resolve() for content in layers),
        region=resolve({"Ref": "AWS::Region"}),
        description=str(properties.get("Description", "")),
        snap_start=properties.get("SnapStart", {}).get("ApplyOn") == "PublishedVersions",
    )


def _layer_ids(properties: Mapping[str, Any]) -> list[str]:
    return [layer["Ref"] for layer in properties.get("Layers", [])]


def _name_functions(
    resources: Mapping[str, Any], stack: str, region: str, resolve: Callable[[Any], Any]
) -> dict[str, dict[str, str]]:
    """Return what the names and ARNs of functions stand for."""
    references = {}
    for logical_id, resource in _find(resources, "AWS::Lambda::Function").items():
        name = resolve(resource["Properties"].get("FunctionName", f"{stack}-{logical_id}"))
        arn = f"arn:aws:lambda:{region}:{ACCOUNT_ID}:function:{name}"
        references[logical_id] = {"Ref": name, "Arn": arn}
    return references


def _resolver(template: dict[str, Any], references: Mapping[str, Any]) -> Callable[[Any], Any]:
    """Return a function that replaces intrinsic functions by what they stand for."""
    symbols = IntrinsicsSymbolTable(template, logical_id_translator=dict(references))
    resolver = Resolver(template=template, symbol_resolver=symbols)
    return partial(resolver.intrinsic_property_resolver, ignore_errors=True)


def _name_alarms(
    template: dict[str, Any], stack: str, region: str, known: Mapping[str, Any]
) -> dict[str, dict[str, str]]:
    """Return what the names and ARNs of alarms, and the names of dashboards, stand for."""
    resolve = _resolver(template, known)
    references = {}
    for logical_id, resource in template["Resources"].items():
        if resource["Type"] in {"AWS::CloudWatch::Alarm", "AWS::CloudWatch::CompositeAlarm"}:
            name = resolve(resource["Properties"].get("AlarmName", f"{stack}-{logical_id}"))
            arn = f"arn:aws:cloudwatch:{region}:{ACCOUNT_ID}:alarm:{name}"
            references[logical_id] = {"Ref": name, "Arn": arn}
        elif resource["Type"] == "AWS::CloudWatch::Dashboard":
            references[logical_id] = {"Ref": resolve(resource["Properties"]["DashboardName"])}
    return references


def _resources(
    template: Mapping[str, Any], kind: str, resolve: Callable[[Any], Any]
) -> dict[str, dict[str, Any]]:
    """Resolve the properties of the resources of type `kind` whose condition, if any, holds."""
    return {
        logical_id: resolve(resource["Properties"])
        for logical_id, resource in template["Resources"].items()
        if resource["Type"] == kind and _holds(resource, resolve)
    }


def _find(resources: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """Return the resources of type `kind` by their logical ids."""
    return {key: value for key, value in resources.items() if value["Type"] == kind}


def _only(resources: Mapping[str, Any], kind: str) -> tuple[str, dict[str, Any]]:
    """Return logical id and properties of the one resource of type `kind`."""
    found = [(key, value["Properties"]) for key, value in _find(resources, kind).items()]
    if len(found) != 1:
        raise TemplateError(f"the local run serves one {kind}, the template has {len(found)}")
    return found[0]


def _routes(paths: Mapping[str, Mapping[str, Any]]) -> tuple[Route, ...]:
    """Read the routes from the OpenAPI body that SAM makes of the functions' API events."""
    return tuple(
        Route("ANY" if method == "x-amazon-apigateway-any-method" else method.upper(), path)
        for path, methods in paths.items()
        for method in methods
    )


def _require_files(stack: BuiltStack, folders: Collection[Path]) -> BuiltStack:
    """Return a stack of which everything is built now: a later build may take it away again.

    `folders` are those of the built template, which another template cannot add to.
    """
    for function in filter(None, (stack.function, stack.gate("1"))):
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
    return stack


def _has_handler(function: Function) -> bool:
    """Tell whether the handler's module is among what was built: Python has many others."""
    module, dot, name = function.handler.rpartition(".")
    parts = module.replace("/", ".").split(".")
    if not (dot and all(part.isidentifier() for part in (*parts, name))):
        return False
    packages = "python", f"python/lib/{function.runtime}/site-packages"
    roots = (function.code, *(layer / one for layer in function.layers for one in packages))
    places = [root.joinpath(*parts) for root in roots]
    return any(
        one.with_suffix(".py").is_file() or (one / "__init__.py").is_file() for one in places
    )
