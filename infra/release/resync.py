"""The alias back where CloudFormation has it, which its next release requires."""

from datetime import datetime
from typing import TYPE_CHECKING

from infra.release.alias import (
    ROLLED_BACK,
    Alias,
    Move,
    PlannedMove,
    Record,
    describe_transition,
    format_time,
    move_alias,
    read_alias,
)
from infra.release.deployments import find_running, refuse_while_running
from infra.release.errors import ReleaseError
from infra.release.target import Target

if TYPE_CHECKING:
    from mypy_boto3_codedeploy import CodeDeployClient
    from mypy_boto3_lambda import LambdaClient


def plan_resync(
    functions: "LambdaClient", codedeploy: "CodeDeployClient", target: Target
) -> PlannedMove:
    """Plan to move the alias to CloudFormation's version; raise ReleaseError during a release.

    The record of a rollback stays: a later rollback must not go to the version it was from.
    """
    refuse_while_running(codedeploy, target)
    alias = read_alias(functions, target.function, target.alias)
    version = target.stack_version
    if agrees(alias, target):
        text = f"{target.alias} is on version {alias.version}, where CloudFormation has it."
        return PlannedMove(text, alias, None)
    if alias.version == version and alias.transition:
        return PlannedMove(describe_transition(alias), alias, None)
    record = alias.record
    was_bad = record and record.verb == ROLLED_BACK and record.source == version
    why = f", which was taken back at {record.at}," if record and was_bad else ""
    return PlannedMove(
        f"Version {version}{why} will get ALL traffic of {target.alias} at once, and keep it until "
        "a release replaces it.",
        alias,
        Move(version),
    )


def take_back(
    functions: "LambdaClient",
    codedeploy: "CodeDeployClient",
    target: Target,
    version: str,
    now: datetime,
) -> None:
    """Undo a resync after a deploy that failed: `version` gets all traffic again.

    Raises ReleaseError while CodeDeploy is at work, or if the alias is on a third version.
    """
    running = find_running(codedeploy, target)
    alias = read_alias(functions, target.function, target.alias)
    if running or alias.version not in {target.stack_version, version}:
        why = f"deployment {running.id} is in progress" if running else "somebody has moved it"
        raise ReleaseError(
            f"{target.alias} is on version {alias.version}, and {why}: see `infra status`, then "
            f"run `infra rollback --to {version}` if version {target.stack_version} serves"
        )
    if alias.version != version or alias.weights:
        record = Record(ROLLED_BACK, alias.version, version, format_time(now))
        move_alias(functions, alias, Move(version, record=record))


def agrees(alias: Alias, target: Target) -> bool:
    """Tell whether CodeDeploy could begin a release from here.

    It refuses one whose CurrentVersion, taken from the stack, is not the alias' version, and an
    alias with weights (INVALID_LAMBDA_CONFIGURATION).
    """
    return alias.version == target.stack_version and not alias.weights


def advise(alias: Alias, target: Target) -> str:
    """Say how the stack and the alias come to agree again; empty if they do."""
    version = target.stack_version
    if agrees(alias, target):
        return ""
    if alias.version == version and alias.transition:
        return describe_transition(alias)
    if alias.version == version:
        return (
            f"The next `infra deploy` needs {target.alias} without weights: `infra promote` or "
            "`infra rollback` first."
        )
    return (
        f"CloudFormation still has {target.alias} on version {version}. Fix what was wrong with "
        f"it, then `infra deploy --resync`: version {version} then serves all traffic while the "
        "fixed one is published and checked. If nothing was wrong with it, `infra resync` brings "
        "it back."
    )
