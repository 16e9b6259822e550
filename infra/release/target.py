"""What a release moves: the alias of the stack's function, and CodeDeploy's names for it."""

from dataclasses import dataclass

from infra.release.errors import ReleaseError
from infra.stack import DeployedStack

OUTPUTS = (
    "FunctionName",
    "AliasArn",
    "DeploymentApplication",
    "DeploymentGroup",
    "FunctionVersion",
)


@dataclass(frozen=True)
class Target:
    """Names from the stack's outputs; `stack_version` is the one that CloudFormation published.

    The alias is there unless it was moved by hand.
    """

    stack: str
    function: str
    alias: str
    application: str
    group: str
    stack_version: str


def read_target(stack: DeployedStack) -> Target:
    """Read the target of a stack's releases; raise ReleaseError if it has none of ours."""
    missing = [name for name in OUTPUTS if name not in stack.outputs]
    if missing:
        raise ReleaseError(
            f"stack {stack.name} has no output {missing[0]}: it is another kind of stack, or "
            f"an older one, which `sam deploy --stack-name {stack.name}` brings up to date"
        )
    return Target(
        stack=stack.name,
        function=stack.output("FunctionName"),
        alias=stack.output("AliasArn").rpartition(":")[2],
        application=stack.output("DeploymentApplication"),
        group=stack.output("DeploymentGroup"),
        stack_version=stack.output("FunctionVersion"),
    )
