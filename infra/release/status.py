"""What serves now, how well, and whether everybody agrees on it."""

from dataclasses import dataclass
from datetime import datetime

from infra.release.alias import describe_transition, read_alias
from infra.release.deployments import CodeDeployment, find_running
from infra.release.history import read_history
from infra.release.resync import advise, agrees
from infra.release.target import Target
from infra.release.traffic import Traffic, read_traffic
from infra.release.version import Identity, identify
from infra.stack import DeployedStack, FiringAlarm


@dataclass(frozen=True)
class Served:
    """One version: its share of the traffic (0 to 1), its model, and how it did."""

    version: str
    share: float
    identity: Identity
    traffic: Traffic


@dataclass(frozen=True)
class Status:
    """A service at one moment; the traffic is that of the last `minutes`.

    `failure` is the release that ended last, if it was taken back.
    """

    target: Target
    versions: tuple[Served, ...]
    minutes: int
    deployment: CodeDeployment | None
    failure: CodeDeployment | None
    agrees: bool
    record: str
    alarms: tuple[FiringAlarm, ...]
    transition: str
    advice: str


def read_status(stack: DeployedStack, target: Target, *, minutes: int, now: datetime) -> Status:
    """Read the status; a version that is being released is listed before it gets any traffic.

    The metrics are read first: a version that crashes when it is asked is counted by Lambda.
    """
    functions = stack.session.client("lambda")
    codedeploy = stack.session.client("codedeploy")
    running = find_running(codedeploy, target)
    alias = read_alias(functions, target.function, target.alias)
    shares = dict(alias.shares)
    if running and running.target:
        shares.setdefault(running.target, 0)
    traffic = read_traffic(stack.session.client("cloudwatch"), target, shares, minutes, now)
    record = alias.record
    in_effect = record and record.target == alias.version
    history = read_history(functions, codedeploy, target, alias.version)
    last = next((one for one in history if not one.is_running), None)
    return Status(
        target=target,
        versions=tuple(
            Served(version, share, identify(functions, target.function, version), traffic[version])
            for version, share in shares.items()
        ),
        minutes=minutes,
        deployment=running,
        failure=last if last and last.was_taken_back else None,
        agrees=agrees(alias, target) or running is not None,
        record=str(record) if in_effect else "",
        alarms=tuple(stack.list_firing_alarms()),
        transition=describe_transition(alias),
        advice="" if running else advise(alias, target),
    )
