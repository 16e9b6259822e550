"""When no canary may run: provisioned concurrency cannot change while the alias has weights.

Sources: docs.aws.amazon.com/autoscaling/application/userguide/scheduled-scaling-using-cron-
expressions.html, and .../APIReference/API_ScheduledAction.html.
"""

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from infra.local.control.deployment_type import read_deployment_type

if TYPE_CHECKING:
    from mypy_boto3_application_autoscaling import ApplicationAutoScalingClient


MINUTE = timedelta(minutes=1)
MARGIN = timedelta(minutes=15)  # to publish, and for the gate
UNKNOWN = timedelta(hours=1)  # a deployment configuration of somebody's own
MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")


def estimate_duration(deployment_type: str) -> timedelta:
    """Return how long a release takes at most; nothing if it gives no weights to the alias."""
    found = read_deployment_type(deployment_type)
    if found is None:
        return UNKNOWN
    return found.duration + MARGIN if found.duration else timedelta()


def read_scaling(
    scaling: "ApplicationAutoScalingClient", function: str, alias: str
) -> tuple[list[Mapping[str, Any]], list[Mapping[str, Any]]]:
    """Return the scheduled actions on the alias' provisioned concurrency, and what is set now."""
    resource = f"function:{function}:{alias}"
    pages = scaling.get_paginator("describe_scheduled_actions").paginate(
        ServiceNamespace="lambda", ResourceId=resource
    )
    actions: list[Mapping[str, Any]] = [
        dict(action) for page in pages for action in page["ScheduledActions"]
    ]
    targets = scaling.describe_scalable_targets(ServiceNamespace="lambda", ResourceIds=[resource])[
        "ScalableTargets"
    ]
    return actions, [dict(target) for target in targets]


def find_freeze(
    actions: Iterable[Mapping[str, Any]],
    targets: Iterable[Mapping[str, Any]],
    now: datetime,
    duration: timedelta,
) -> str:
    """Say why a release of this duration cannot begin at `now`; empty if it can.

    It cannot while the alias has provisioned concurrency, nor if that would change meanwhile.
    """
    if not duration:
        return ""
    for target in targets:
        if target["MinCapacity"]:
            return f"{target['ResourceId']} holds {target['MinCapacity']} environments ready"
    for action in actions:
        name, schedule = action["ScheduledActionName"], action["Schedule"]
        try:
            due = find_due(action, now, duration)
        except (ValueError, ZoneInfoNotFoundError):
            return f"scheduled action {name} may come due at any time: {schedule}"
        if due:
            return f"scheduled action {name} comes due at {due.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    return ""


def find_due(action: Mapping[str, Any], now: datetime, within: timedelta) -> datetime | None:
    """Return when a scheduled action next comes due, None if not `within` that time of `now`.

    Raises ValueError if its schedule is a rate, has L, W or #, or a range that begins with the end
    of a week, which are not read here; ZoneInfoNotFoundError if this machine lacks its time zone.
    """
    found = re.fullmatch(r"(at|cron)\((.+)\)", action["Schedule"].strip())
    if not found:
        raise ValueError(action["Schedule"])
    kind, text = found.groups()
    zone = ZoneInfo(action.get("Timezone", "UTC"))
    if kind == "at":
        due = datetime.fromisoformat(text).replace(tzinfo=zone)
        return due if now <= due <= now + within else None
    begin: datetime = max(now, action.get("StartTime", now))
    end: datetime = min(now + within, action.get("EndTime", now + within))
    fields = [_read_field(*one) for one in zip(text.split(), RANGES, NAMES, strict=True)]
    minute = begin.astimezone(zone).replace(second=0, microsecond=0)
    while minute <= end:
        if minute >= begin and _matches(minute, fields):
            return minute
        minute = (minute.astimezone(UTC) + MINUTE).astimezone(zone)
    return None


# Minutes, hours, day of month, month, day of week (1 is Sunday), year.
RANGES = ((0, 59), (0, 23), (1, 31), (1, 12), (1, 7), (1970, 2199))
NAMES: tuple[tuple[str, ...], ...] = ((), (), (), MONTHS, DAYS, ())


def _read_field(text: str, limits: tuple[int, int], names: tuple[str, ...]) -> set[int]:
    """Return the values that a field of a cron expression allows."""
    for number, name in enumerate(names, start=1):
        text = re.sub(name, str(number), text, flags=re.IGNORECASE)
    values: set[int] = set()
    for part in text.split(","):
        found = re.fullmatch(r"(?:[*?]|(\d+)(?:-(\d+))?)(?:/(\d+))?", part)
        if not found:
            raise ValueError(part)
        low, high, step = found.groups()
        first = int(low or limits[0])
        last = int(high) if high else first if low and not step else limits[1]
        if first > last:
            raise ValueError(part)
        values.update(range(first, last + 1, int(step or 1)))
    return values


def _matches(time: datetime, fields: list[set[int]]) -> bool:
    weekday = time.isoweekday() % 7 + 1
    values = (time.minute, time.hour, time.day, time.month, weekday, time.year)
    return all(value in field for value, field in zip(values, fields, strict=True))
