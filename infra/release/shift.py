"""A canary by hand: a share of the traffic to another version, and then all of it."""

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING

from infra.release.alias import (
    PROMOTED,
    ROLLED_BACK,
    Alias,
    Move,
    PlannedMove,
    Record,
    format_time,
    read_alias,
    refuse_in_transition,
)
from infra.release.deployments import CodeDeployment, refuse_while_running
from infra.release.errors import ReleaseError
from infra.release.history import read_history
from infra.release.target import Target
from infra.release.version import check_ready, list_versions

if TYPE_CHECKING:
    from mypy_boto3_codedeploy import CodeDeployClient
    from mypy_boto3_lambda import LambdaClient


def plan_shift(
    functions: "LambdaClient",
    codedeploy: "CodeDeployClient",
    target: Target,
    percent: float,
    to: str | None,
) -> PlannedMove:
    """Plan to send `percent` of the traffic to a version, by default the newest; 0 takes it back.

    Raises ReleaseError.
    """
    refuse_while_running(codedeploy, target)
    alias = read_alias(functions, target.function, target.alias)
    refuse_in_transition(alias)
    if percent == 0:
        if not alias.weights:
            return PlannedMove(f"No other version than {alias.version} has traffic.", alias, None)
        text = f"Version {alias.version} will get all traffic, version {_others(alias)} none."
        return PlannedMove(text, alias, Move(alias.version))
    version = to or _find_newest(functions, target.function, alias.version)
    if version == alias.version:
        raise ReleaseError(
            f"version {version} is the alias' own, which has what others leave: "
            f"`infra shift {percent:g}` gives the newest other version a share"
        )
    check_ready(functions, target.function, version)
    left = f"version {alias.version} will keep {100 - percent:g} %"
    gone = [other for other in alias.weights if other != version]
    ended = f", version {' and '.join(gone)} will lose its share" if gone else ""
    text = f"Version {version} will get {percent:g} % of the traffic, {left}{ended}."
    warning = _warn(alias, version, read_history(functions, codedeploy, target, version))
    return PlannedMove(text + warning, alias, Move(alias.version, {version: percent / 100}))


def plan_promotion(
    functions: "LambdaClient", codedeploy: "CodeDeployClient", target: Target, now: datetime
) -> PlannedMove:
    """Plan to give all traffic to the version that `plan_shift` gave a share.

    Raises ReleaseError.
    """
    refuse_while_running(codedeploy, target)
    alias = read_alias(functions, target.function, target.alias)
    refuse_in_transition(alias)
    if not alias.weights:
        raise ReleaseError(
            f"version {alias.version} has all traffic: there is nothing to promote "
            "(`infra shift 10` gives the newest other version a share)"
        )
    [version] = alias.weights
    record = Record(PROMOTED, alias.version, version, format_time(now))
    text = f"Version {version} will get all traffic, version {alias.version} none."
    return PlannedMove(text, alias, Move(version, record=record))


def _warn(alias: Alias, version: str, history: Iterable[CodeDeployment]) -> str:
    """Warn of a version that was found bad before; empty if it was not."""
    record = alias.record
    if record and record.verb == ROLLED_BACK and record.source == version:
        return f" WARNING: version {version} was taken back at {record.at}."
    last = next((one for one in history if one.target == version), None)
    if last and last.was_taken_back:
        return f" WARNING: {last.describe_end()}"
    return ""


def _others(alias: Alias) -> str:
    return " and ".join(alias.weights)


def _find_newest(functions: "LambdaClient", function: str, served: str) -> str:
    numbers = [one.number for one in list_versions(functions, function) if one.number != served]
    if not numbers:
        raise ReleaseError(
            f"version {served} is the only one of {function}: `sam build && infra deploy` "
            "publishes another"
        )
    return numbers[-1]
