"""The third stage of a deploy: the change begins."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from infra.account.account import Report, StackChange, Update
from infra.release.alias import Alias, Move, move_alias, read_alias
from infra.release.deployments import list_ids
from infra.release.prepare import PreparedDeploy
from infra.release.resync import agrees, take_back
from infra.release.target import Target

# Of a release in progress.
HINT = "`infra status` shows it, `infra rollback` takes it back"


@dataclass(frozen=True)
class Before:
    """What there was before a deploy: the alias, and the ids of CodeDeploy's deployments."""

    target: Target
    alias: Alias
    deployments: Sequence[str]


@dataclass(frozen=True)
class BegunDeploy:
    """A deploy since `time`; `before` is None if it creates the stack."""

    prepared: PreparedDeploy
    update: Update
    time: datetime
    before: Before | None


def apply(
    prepared: PreparedDeploy, way_back: ExitStack, report: Report, *, asks: bool, quiet: bool
) -> BegunDeploy:
    """Begin a deploy, after a resync if the alias needs one.

    `way_back` gets what gives the traffic back after that; whoever sees the new version promoted
    takes it out. SAM CLI may ask for itself with `asks`; with `quiet` it leaves standard output
    alone. Raises AccountError, or ReleaseError.
    """
    account, target, time = prepared.account, prepared.target, datetime.now(UTC)
    change = StackChange(
        stack=prepared.name,
        template=prepared.template.path,
        parameters=prepared.parameters,
        declared=prepared.template.parameters,
        deployed=prepared.deployed_parameters,
        asks=asks,
        quiet=quiet,
    )
    if target is None:
        return BegunDeploy(prepared, account.apply(change), time, None)
    functions = account.session.client("lambda")
    codedeploy = account.session.client("codedeploy")
    deployments = list_ids(codedeploy, target)
    alias = read_alias(functions, target.function, target.alias)
    if prepared.resync and not agrees(alias, target):
        change = replace(change, asks=False)
        # What takes long or may fail comes first: from here on the bad version serves.
        account.upload(change, report)
        move_alias(functions, alias, Move(target.stack_version))
        report(f"Version {target.stack_version} has all traffic for now.")

        @way_back.callback
        def give_back() -> None:
            take_back(functions, codedeploy, target, alias.version, datetime.now(UTC))
            report(f"Version {alias.version} has all traffic again.")

    if prepared.publishes is not False:
        report(f"While the release is in progress, in another terminal {HINT}.")
    before = Before(target, alias, deployments)
    return BegunDeploy(prepared, account.apply(change), time, before)
