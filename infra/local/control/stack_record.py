"""A stack as CloudFormation's API shows it; its resources are the platform's, not moto's."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from moto.cloudformation.models import Stack as MotoStack

from infra.local.identifiers import ACCOUNT_ID


@dataclass(frozen=True)
class ResourceRecord:
    """One resource of a stack, by the names under which moto looks for its fields."""

    logical_resource_id: str
    physical_resource_id: str
    cf_resource_type: str


class StackRecord(MotoStack):
    """What DescribeStacks, ListStackResources and GetTemplate answer for one stack.

    A nested stack has a parent: `root_id` is the outermost one.
    """

    def __init__(
        self, stack_id: str, name: str, region: str, *, parent_id: str = "", root_id: str = ""
    ) -> None:
        super().__init__(stack_id, name, {}, {}, ACCOUNT_ID, region)
        self.parent_id, self.root_id = parent_id or None, root_id or None
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
