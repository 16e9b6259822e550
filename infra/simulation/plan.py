"""Provisioned concurrency for part of a day: how many environments, from when to when."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from infra.simulation.curve import Curve, read_time
from infra.simulation.errors import SimulationError
from infra.simulation.service import ServiceProfile

KEPT_FREE = 100  # of the account's quota, which cannot be provisioned
# Provisioned environments serve once all are ready: after about two minutes, and 6,000 a minute.
ALLOCATION_SECONDS, ALLOCATED_PER_SECOND = 120, 100
CLOCK = r"(?:\d{4}-\d\d-\d\dT)?\d\d:\d\d"
OPTION = re.compile(rf"([1-9]\d*)@({CLOCK})-({CLOCK})")


@dataclass(frozen=True)
class ProvisioningPlan:
    """Environments to provision from second `begin` of the curve to second `end`."""

    environments: int
    begin: int
    end: int


def read_plan(text: str, curve: Curve) -> ProvisioningPlan:
    """Read N@START-END in UTC; a time without a date is the next one after the curve begins.

    Raises SimulationError.
    """
    match = OPTION.fullmatch(text)
    if not match:
        raise SimulationError(f"{text}: expected N@START-END, such as 200@05:30-23:00")
    try:
        begin = _read_clock(match[2], curve.begin)
        end = _read_clock(match[3], begin)
    except ValueError as error:
        raise SimulationError(f"{text}: {error}") from error
    if end <= begin:
        raise SimulationError(f"{text}: expected an end after the start")
    return ProvisioningPlan(
        int(match[1]), *(int((time - curve.begin).total_seconds()) for time in (begin, end))
    )


def check_quota(plans: Sequence[ProvisioningPlan], service: ServiceProfile) -> None:
    """Raise SimulationError if plans that overlap ask for more than the quota allows."""
    for one in plans:
        at_once = sum(other.environments for other in plans if other.begin <= one.begin < other.end)
        if at_once > service.concurrency - KEPT_FREE:
            raise SimulationError(
                f"{at_once:,} environments at one time: at most "
                f"{max(0, service.concurrency - KEPT_FREE):,} can be provisioned of a quota of "
                f"{service.concurrency:,} ({KEPT_FREE} stay unreserved)"
            )


def _read_clock(text: str, after: datetime) -> datetime:
    """Read a time; one without a date is the first that is not before `after`."""
    time = read_time(text)
    if "T" in text:
        return time
    return time + timedelta(days=math.ceil((after - time) / timedelta(days=1)))


def find_ready(plan: ProvisioningPlan) -> int:
    """Return the second of the curve from which provisioned environments answer."""
    return plan.begin + ALLOCATION_SECONDS + math.ceil(plan.environments / ALLOCATED_PER_SECOND)
