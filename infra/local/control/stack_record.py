"""A stack as CloudFormation's API shows it; its resources are the platform's, not moto's."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from moto.cloudformation.models import CloudFormationBackend
from moto.cloudformation.models import Stack as MotoStack

from infra.local.errors import UpdateError
from infra.local.identifiers import ACCOUNT_ID
from infra.local.stack import BuiltStack


@dataclass(frozen=True)
class ResourceRecord:
    """One resource of a stack, by the names under which moto looks for its fields."""

    logical_resource_id: str
    physical_resource_id: str
    cf_resource_type: str


class StackRecord(MotoStack):
    """What DescribeStacks, ListStackResources and GetTemplate answer for one stack.

    A nested stack has a parent; its root is the outermost one.
    """

    def __init__(self, stack: BuiltStack, parent: MotoStack | None) -> None:
        super().__init__(stack.stack_id, stack.name, {}, {}, ACCOUNT_ID, stack.region)
        self.parent_id = parent.stack_id if parent else None
        self.root_id = getattr(parent, "root_id", None) or self.parent_id
        self.held_parameters: Mapping[str, str] = {}
        self.held_outputs: Mapping[str, tuple[str, str]] = {}
        self.resources: list[ResourceRecord] = []

    @staticmethod
    def cloudformation_name_type() -> str:
        """No property of a template names a stack."""
        return ""

    def is_created(self) -> bool:
        """Return True: a record is made once its stack exists."""
        return True

    @property
    def stack_resources(self) -> Iterable[Any]:
        """The resources that exist now."""
        return self.resources

    @property
    def stack_parameters(self) -> dict[str, Any]:
        """The values of the parameters."""
        return dict(self.held_parameters)

    @property
    def parameter_list(self) -> list[dict[str, Any]]:
        """The values of the parameters, as DescribeStacks lists them."""
        return [
            {"ParameterKey": key, "ParameterValue": value}
            for key, value in self.held_parameters.items()
        ]

    @property
    def outputs(self) -> list[dict[str, Any]] | None:
        """The outputs with their descriptions."""
        return [
            {"OutputKey": key, "OutputValue": value, "Description": description}
            for key, (value, description) in self.held_outputs.items()
        ]

    def set_status(self, status: str, reason: str = "") -> None:
        """Change the status, and note that as an event."""
        self.status, self.stack_status_reason = status, reason
        self._add_stack_event(status, reason or None)


class Records:
    """The records of the stacks that the platform makes, where moto's CloudFormation finds them."""

    def __init__(self, backend: CloudFormationBackend) -> None:
        self._backend = backend

    def add(self, stack: BuiltStack, parent: BuiltStack | None) -> StackRecord:
        """Return a new record of a stack; raise UpdateError if its name is taken."""
        if any(one.name == stack.name for one in self._backend.stacks.values()):
            raise UpdateError(f"stack {stack.name} exists already")
        parents = self._backend.stacks.get(parent.stack_id) if parent else None
        record = StackRecord(stack, parents)
        self._backend.stacks[stack.stack_id] = record
        return record

    def remove(self, record: StackRecord) -> None:
        """Show a stack among the deleted ones."""
        record.set_status("DELETE_COMPLETE")
        self._backend.deleted_stacks[record.stack_id] = record
        self._backend.stacks.pop(record.stack_id, None)
