"""What a release moves: the alias of the stack's function, and CodeDeploy's names for it."""

from dataclasses import dataclass

from infra.release.errors import ReleaseError
from infra.stack import Deployment

OUTPUTS = (
    "FunctionName",
    "AliasArn",
    "DeploymentApplication",
    "DeploymentGroup",
    "FunctionVersion",
)


@dataclass(frozen=True)
class Target:
    """Names out of the stack's outputs; `believed` is where CloudFormation thinks the alias is."""

    stack: str
    function: str
    alias: str
    application: str
    group: str
    believed: str


def read_target(deployment: Deployment) -> Target:
    """Read the target of a stack's releases; raise ReleaseError if it has none of ours."""
    missing = [name for name in OUTPUTS if name not in deployment.outputs]
    if missing:
        raise ReleaseError(
            f"stack {deployment.name} has no output {missing[0]}: it is another kind of stack, or "
            f"an older one, which `sam deploy --stack-name {deployment.name}` brings up to date"
        )
    return Target(
        stack=deployment.name,
        function=deployment.output("FunctionName"),
        alias=deployment.output("AliasArn").rpartition(":")[2],
        application=deployment.output("DeploymentApplication"),
        group=deployment.output("DeploymentGroup"),
        believed=deployment.output("FunctionVersion"),
    )
