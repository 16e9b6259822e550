"""Resources of every type that moto's CloudFormation has a model for."""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, override

from moto.cloudformation.parsing import get_model_map, resource_name_property_from_type

from infra.local.control.resource import Change, Handler, Held, Wanted
from infra.local.errors import TemplateError, UpdateError
from infra.local.identifiers import ACCOUNT_ID

# What moto may ignore: who may do something, what it is called for people, how it is encrypted, how
# long AWS keeps it. Nothing on this machine depends on it.
IGNORED = {
    *("Description", "DisplayName", "KmsMasterKeyId", "KmsKeyId", "ManagedPolicyArns"),
    *("MaxSessionDuration", "PendingWindowInDays", "PermissionsBoundary", "RetentionInDays"),
    *(
        "BucketEncryption",
        "OwnershipControls",
        "PublicAccessBlockConfiguration",
        "SSESpecification",
    ),
    *("SqsManagedSseEnabled", "StreamEncryption", "Tags", "TracingConfiguration", "Tracing"),
    *("PointInTimeRecoverySpecification", "DeletionProtectionEnabled"),
}


class WatchedProperties(dict[str, Any]):
    """Properties that know which of them were read: what moto does not read it does not know."""

    def __init__(self, properties: Mapping[str, Any]) -> None:
        super().__init__(properties)
        self._unread = set(properties)

    def list_unread(self) -> set[str]:
        """Return the names of the properties that nobody has looked at."""
        return self._unread

    @override
    def __getitem__(self, name: str) -> Any:
        self._unread.discard(name)
        return super().__getitem__(name)

    @override
    def __contains__(self, name: object) -> bool:
        self._unread.discard(str(name))
        return super().__contains__(name)

    @override
    def __iter__(self) -> Iterator[str]:
        self._unread.clear()
        return super().__iter__()

    @override
    def get(self, name: str, default: Any = None) -> Any:
        self._unread.discard(name)
        return super().get(name, default)

    @override
    def pop(self, name: str, *default: Any) -> Any:
        self._unread.discard(name)
        return super().pop(name, *default)

    @override
    def keys(self) -> Any:
        self._unread.clear()
        return super().keys()

    @override
    def values(self) -> Any:
        self._unread.clear()
        return super().values()

    @override
    def items(self) -> Any:
        self._unread.clear()
        return super().items()


class MotoResources(Handler):
    """Lets moto's own models create, change and delete resources.

    A property that a model does not look at is refused: moto would pretend to have it.
    """

    keeps_replaced: ClassVar[bool] = False

    @override
    def check(self, kind: str) -> str:
        return "" if kind in get_model_map() else f"the local platform has no {kind}"

    @override
    async def put(self, wanted: Wanted, held: Held | None, change: Change) -> Held:
        if why := _find_pretence(wanted):
            raise TemplateError(f"the local platform has {why}: {_describe(wanted)}")
        model = get_model_map()[wanted.kind]
        name = _name(wanted)
        properties = WatchedProperties(wanted.properties)
        json = {"Type": wanted.kind, "Properties": properties}
        before = held.wanted.properties if held else {}
        if lost := sorted(before.keys() - wanted.properties.keys() - IGNORED):
            raise UpdateError(
                f"the local platform cannot take {', '.join(lost)} from {_describe(wanted)}"
            )
        if held is None:
            made = model.create_from_cloudformation_json(
                name,
                json,
                ACCOUNT_ID,
                wanted.stack.region,
                LogicalId=wanted.logical_id,
                StackId=wanted.stack.stack_id,
                ResourceType=wanted.kind,
            )
        elif _is_implemented(model, "update_from_cloudformation_json"):
            made = model.update_from_cloudformation_json(
                held.made, name, json, ACCOUNT_ID, wanted.stack.region
            )
        else:
            raise UpdateError(f"the local platform cannot change {_describe(wanted)}: delete it")
        physical_id = getattr(made, "physical_resource_id", wanted.name)
        result = Held(wanted, physical_id, MotoAttributes(physical_id, made), made)
        unread = properties.list_unread() - IGNORED
        if unknown := sorted(key for key in unread if before.get(key) != wanted.properties[key]):
            if held is None:
                await self.delete(result)
            raise TemplateError(
                f"the local platform does not know {', '.join(unknown)} of {_describe(wanted)}"
            )
        return result

    @override
    async def delete(self, held: Held) -> None:
        wanted = held.wanted
        try:
            held.made.delete(ACCOUNT_ID, wanted.stack.region)
        except (AttributeError, TypeError):
            model = get_model_map()[wanted.kind]
            if _is_implemented(model, "delete_from_cloudformation_json"):
                json = {"Type": wanted.kind, "Properties": dict(wanted.properties)}
                model.delete_from_cloudformation_json(
                    held.physical_id, json, ACCOUNT_ID, wanted.stack.region
                )


class MotoAttributes(Mapping[str, Any]):
    """What Ref and Fn::GetAtt give of one of moto's resources, asked when they are needed."""

    def __init__(self, physical_id: str, made: Any) -> None:
        self._physical_id = physical_id
        self._made = made

    def __getitem__(self, name: str) -> Any:
        if name == "Ref":
            return self._physical_id
        try:
            value = self._made.get_cfn_attribute(name)
        except Exception as error:  # each model raises its own
            raise KeyError(name) from error
        if value is None:
            raise KeyError(name)
        return value

    def __iter__(self) -> Iterator[str]:
        yield "Ref"

    def __len__(self) -> int:
        return 1


def _find_pretence(wanted: Wanted) -> str:
    """Return what moto accepts but never does, or an empty string."""
    properties = wanted.properties
    if wanted.kind == "AWS::Events::Rule":
        if "ScheduleExpression" in properties:
            return "no rules on a schedule"
        arns = (str(target["Arn"]) for target in properties.get("Targets", []))
        if others := [arn for arn in arns if arn.split(":")[2:3] not in [["sqs"], ["logs"]]]:
            return f"no rules with a target such as {others[0][:128]}"
    return ""


def _name(wanted: Wanted) -> str:
    field = resource_name_property_from_type(wanted.kind)
    name = str(wanted.properties.get(field, wanted.name)) if field else wanted.name
    return name.lower() if wanted.kind == "AWS::S3::Bucket" else name


def _describe(wanted: Wanted) -> str:
    return f"{wanted.logical_id} ({wanted.kind})"


def _is_implemented(model: type, method: str) -> bool:
    return not hasattr(getattr(model, method), "__isabstractmethod__")
