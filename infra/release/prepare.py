"""The first stage of a deploy: what was built, what is set, and what is deployed."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from infra.account.account import Account
from infra.local.control.deployment_type import ALL_AT_ONCE
from infra.project import Project
from infra.release.alias import read_alias
from infra.release.built_template import BuiltTemplate, complete, publishes, read_built_template
from infra.release.errors import ReleaseError
from infra.release.findings import judge_state
from infra.release.resync import agrees
from infra.release.target import Target, read_target
from infra.release.version import list_versions
from infra.stack import DeployedStack, describe_stack

# With these states a stack has no resources yet: SAM CLI creates it.
ABSENT = {"REVIEW_IN_PROGRESS", "DELETE_COMPLETE"}
INSTEAD_OF_BAD = {"DeploymentType": ALL_AT_ONCE, "MaxAnswerChange": "100"}


@dataclass(frozen=True)
class DeployRequest:
    """What a person asks for: parameters to set, and whether the alias may be resynced first."""

    parameters: Mapping[str, str] = field(default_factory=dict)
    resync: bool = False


@dataclass(frozen=True)
class PreparedDeploy:
    """A deploy of a built template to the stack `name`.

    `stack` is that stack, None if it will be created. `parameters` are all that will be set.
    `publishes` tells whether a version will be published, None if that is unknown.
    """

    project: Project
    account: Account
    name: str
    template: BuiltTemplate
    parameters: Mapping[str, str]
    resync: bool
    stack: DeployedStack | None = None
    publishes: bool | None = None

    @property
    def target(self) -> Target | None:
        """The alias that will move, None if there is none yet."""
        return read_target(self.stack) if self.stack else None

    @property
    def deployment_type(self) -> str:
        """How traffic will shift, if anything says so: DeploymentType of samconfig or template."""
        values = self.template.fill(self.parameters, {})
        return values.get("DeploymentType", "")

    @property
    def deployed_parameters(self) -> Mapping[str, str]:
        """The values with which the stack was deployed last; empty if it will be created."""
        return self.stack.parameters if self.stack else {}

    @property
    def text(self) -> str:
        """Say what will happen."""
        where = f"stack {self.name} in {self.account.session.region_name}"
        what = f"{where} from {self.project.build}"
        if not self.stack:
            return f"Create {what}."
        if self.publishes is False:
            return f"Update {what}; no version will be published: none would differ."
        published = "a new version" if self.publishes else "a new version if anything differs"
        return f"Update {what}: {published}, released {self.deployment_type}."


def prepare(
    project: Project, account: Account, name: str, request: DeployRequest
) -> PreparedDeploy:
    """Read all that a deploy of the project's build to the stack `name` depends on.

    Raises ReleaseError if nothing was built or the stack is of another kind, and ProjectError.
    """
    template = read_built_template(project.build)
    parameters = {**account.read_parameters(), **request.parameters}
    stack = describe_stack(account, name)
    if stack is None or stack.status in ABSENT:
        return PreparedDeploy(project, account, name, template, parameters, request.resync)
    if not stack.outputs:  # its creation failed or is not over, or it is another kind of stack
        for finding in judge_state(name, stack.status):
            raise ReleaseError(finding.text)
    target = read_target(stack)
    functions = account.session.client("lambda")
    differs = publishes(template, stack.read_template())
    numbers = [one.number for one in list_versions(functions, target.function)]
    parameters = complete(template, parameters, numbers, target.stack_version, publishes=differs)
    if request.resync and not agrees(read_alias(functions, target.function, target.alias), target):
        parameters |= _replace_bad(template, request)
    return PreparedDeploy(
        project, account, name, template, parameters, request.resync, stack, differs
    )


def _replace_bad(template: BuiltTemplate, request: DeployRequest) -> dict[str, str]:
    """Return the parameters with which a version replaces one that is known to be bad.

    It takes over at once, and its answers are not compared, unless a person asks for that.
    """
    chosen = INSTEAD_OF_BAD | {
        key: value for key, value in request.parameters.items() if key == "MaxAnswerChange"
    }
    return {key: value for key, value in chosen.items() if key in template.parameters}
