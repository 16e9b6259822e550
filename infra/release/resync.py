"""The alias back to where CloudFormation believes it to be, which its next release requires."""

from typing import TYPE_CHECKING

from infra.release.alias import Alias, Move, Plan, read_alias, tell_transition
from infra.release.deployments import refuse_while_running
from infra.release.target import Target

if TYPE_CHECKING:
    from mypy_boto3_codedeploy import CodeDeployClient
    from mypy_boto3_lambda import LambdaClient


def plan_resync(functions: "LambdaClient", codedeploy: "CodeDeployClient", target: Target) -> Plan:
    """Plan to move the alias to CloudFormation's version; raise ReleaseError during a release.

    The record of a rollback stays: a later rollback must not go to the version it was from.
    """
    refuse_while_running(codedeploy, target)
    alias = read_alias(functions, target.function, target.alias)
    if agrees(alias, target):
        text = f"{target.alias} is on version {alias.version}, as CloudFormation believes."
        return Plan(text, alias, None)
    if alias.version == target.believed and alias.transition:
        return Plan(tell_transition(alias), alias, None)
    record = alias.record
    was_bad = record and record.verb == "rolled back" and record.source == target.believed
    why = f", which was taken back at {record.at}," if record and was_bad else ""
    return Plan(
        f"Version {target.believed}{why} will get ALL traffic of {target.alias} at once, and keep "
        "it until a release replaces it.",
        alias,
        Move(target.believed),
    )


def agrees(alias: Alias, target: Target) -> bool:
    """Tell whether CodeDeploy could begin a release from here.

    It refuses one whose CurrentVersion, taken from the stack, is not the alias' version, and an
    alias with weights (INVALID_LAMBDA_CONFIGURATION).
    """
    return alias.version == target.believed and not alias.weights


def advise(alias: Alias, target: Target) -> str:
    """Say how the stack and the alias come to agree again; empty if they do."""
    believed = target.believed
    if agrees(alias, target):
        return ""
    if alias.version == believed and alias.transition:
        return tell_transition(alias)
    if alias.version == believed:
        return (
            f"The next `infra deploy` needs {target.alias} without weights: `infra promote` or "
            "`infra rollback` first."
        )
    return (
        f"CloudFormation still believes in version {believed}. Fix what was wrong with it, then "
        f"`infra deploy --resync`: version {believed} then serves all traffic while the fixed one "
        f"is published and checked. If nothing was wrong with it, `infra resync` brings it back."
    )
