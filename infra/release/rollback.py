"""The way back: stop a release in progress, take back a share, or return to the last version."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, NoReturn

from infra.release.alias import (
    ROLLED_BACK,
    Alias,
    Move,
    Record,
    describe_transition,
    format_time,
    move_alias,
    read_alias,
)
from infra.release.deployments import CodeDeployment, find_running, stop
from infra.release.errors import ReleaseError
from infra.release.history import find_previous, guess_previous, read_history
from infra.release.target import Target
from infra.release.version import check_ready, list_versions

if TYPE_CHECKING:
    from mypy_boto3_codedeploy import CodeDeployClient
    from mypy_boto3_lambda import LambdaClient

POLL_SECONDS = 0.5
PATIENCE_SECONDS = 180  # CodeDeploy takes seconds to take the traffic back


@dataclass(frozen=True)
class Rollback:
    """What will be done, in words, and as a deployment to stop or a move of the alias.

    With neither there is nothing to do, and `text` says why.
    """

    text: str
    version: str
    alias: Alias
    running: CodeDeployment | None = None
    move: Move | None = None

    @property
    def is_done(self) -> bool:
        """Tell whether there is nothing to roll back."""
        return not self.running and not self.move


def plan_rollback(
    functions: "LambdaClient",
    codedeploy: "CodeDeployClient",
    target: Target,
    to: str | None,
    now: datetime,
) -> Rollback:
    """Find out what to roll back, and check that the version that will get the traffic answers.

    Raises ReleaseError.
    """
    alias = read_alias(functions, target.function, target.alias)
    running = find_running(codedeploy, target)
    if running:
        return _plan_stop(alias, running, to)
    if to is None and alias.weights and not alias.transition:
        shared = " and ".join(alias.weights)
        text = f"Version {alias.version} will get all traffic, version {shared} none."
        return Rollback(text, alias.version, alias, move=Move(alias.version))
    if to is None:
        history = read_history(functions, codedeploy, target, alias.version)
        to = find_previous(alias, history)
        done = _describe_done(alias, history, to)
        if done:
            return Rollback(done, alias.version, alias)
        to = to or _refuse_to_guess(functions, codedeploy, target, alias, history)
    if to == alias.version and (alias.transition or not alias.weights):
        done = describe_transition(alias) or f"Version {to} has all traffic already."
        return Rollback(done, to, alias)
    check_ready(functions, target.function, to)
    record = Record(ROLLED_BACK, alias.version, to, format_time(now))
    text = f"Version {to} will get all traffic at once, version {alias.version} none."
    if to == alias.version:
        return Rollback(text.split(",", maxsplit=1)[0] + ".", to, alias, move=Move(to))
    return Rollback(text, to, alias, move=Move(to, record=record))


def roll_back(
    functions: "LambdaClient",
    codedeploy: "CodeDeployClient",
    target: Target,
    plan: Rollback,
    wait: Callable[[], None] = lambda: time.sleep(POLL_SECONDS),
) -> float:
    """Carry out a rollback and wait until the alias is back; return how many seconds that took.

    An alias in transition counts as back, because Lambda goes on by itself. Raises ReleaseError if
    that takes more than three minutes.
    """
    start = time.monotonic()
    if plan.running:
        stop(codedeploy, plan.running)
    elif plan.move:
        move_alias(functions, plan.alias, plan.move)
    while True:
        alias = read_alias(functions, target.function, target.alias)
        seconds = time.monotonic() - start
        if alias.version == plan.version and (alias.transition or not alias.weights):
            return seconds
        if seconds > PATIENCE_SECONDS:
            shares = ", ".join(f"{v}: {100 * share:g} %" for v, share in alias.shares.items())
            raise ReleaseError(
                f"{target.alias} is still not back on version {plan.version} after "
                f"{seconds:.0f} s ({shares}): see `infra status`"
            )
        wait()


def _refuse_to_guess(
    functions: "LambdaClient",
    codedeploy: "CodeDeployClient",
    target: Target,
    alias: Alias,
    history: list[CodeDeployment],
) -> NoReturn:
    """Raise a ReleaseError that names the version which a person may choose."""
    versions = list_versions(functions, target.function)
    if len(versions) == 1:
        raise ReleaseError(
            f"there is only version {alias.version}, nothing to go back to: `infra status`"
        )
    unread = next((one for one in history if one.problem), None)
    who = f"deployment {unread.id} ({unread.problem})" if unread else "no deployment"
    what = f"{'does not say' if unread else 'says'} which version served before {alias.version}"
    guess = guess_previous(codedeploy, target, alias, versions)
    choice = (
        f"the newest before it that was not taken back is {guess}: `infra rollback --to {guess}`"
        if guess
        else "and there is none before it that was not taken back: `infra status` shows what serves"
    )
    raise ReleaseError(f"{who} {what}; {choice}")


def _plan_stop(alias: Alias, running: CodeDeployment, to: str | None) -> Rollback:
    if running.is_rollback:
        text = f"Deployment {running.id} is taking the traffic back already: see `infra status`."
        return Rollback(text, alias.version, alias)
    current = running.current or alias.version  # where the alias stays until all traffic has moved
    if to not in {None, current}:
        raise ReleaseError(
            f"deployment {running.id} is in progress, and stopping it leads back to version "
            f"{current}, not {to}: `infra rollback` first, then `infra rollback --to {to}`"
        )
    text = (
        f"Deployment {running.id} of {running.subject} will be stopped; CodeDeploy will "
        f"give all traffic back to version {current}, and CloudFormation will take its stack back."
    )
    return Rollback(text, current, alias, running=running)


def _describe_done(alias: Alias, history: list[CodeDeployment], previous: str | None) -> str:
    """Say that the last release has been taken back already; empty if it has not.

    A person who rolls back twice in a hurry must not lose the version that works.
    """
    record = alias.record
    further = f" To go further back: `infra rollback --to {previous}`" if previous else ""
    where = describe_transition(alias) or f"Version {alias.version} has all traffic:"
    if record and record.verb == ROLLED_BACK and record.target == alias.version:
        return f"{where} {record}.{further}"
    if history and history[0].was_taken_back and history[0].current == alias.version:
        last = history[0]
        return f"{where} deployment {last.id} of {last.subject} ended as {last.status}.{further}"
    return ""
