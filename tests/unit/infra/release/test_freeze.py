"""No canary while provisioned concurrency changes."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from infra.release.freeze import estimate_duration, find_due, find_freeze

NOW = datetime(2026, 11, 27, 4, 30, tzinfo=UTC)  # a Friday
HOUR = timedelta(hours=1)


def action(schedule: str, **fields: Any) -> dict[str, Any]:
    return {"ScheduledActionName": "rise", "Schedule": schedule} | fields


def held(minimum: int) -> dict[str, Any]:
    return {"ResourceId": "function:shop:live", "MinCapacity": minimum}


@pytest.mark.parametrize(
    ("deployment_type", "minutes"),
    [
        ("Canary10Percent10Minutes", 25),
        ("Linear10PercentEvery1Minute", 25),
        ("Linear10PercentEvery3Minutes", 45),
        ("AllAtOnce", 0),
        ("CodeDeployDefault.LambdaAllAtOnce", 0),
        ("my-own", 60),
    ],
)
def test_a_release_lasts_as_long_as_its_type_says(deployment_type: str, minutes: int) -> None:
    assert estimate_duration(deployment_type) == timedelta(minutes=minutes)


@pytest.mark.parametrize(
    ("schedule", "fields", "due"),
    [
        ("at(2026-11-27T05:00:00)", {}, "2026-11-27T05:00"),
        ("at(2026-11-27T05:31:00)", {}, None),
        ("at(2026-11-27T04:29:59)", {}, None),
        ("at(2026-11-27T00:00:00)", {"Timezone": "America/New_York"}, "2026-11-27T05:00"),
        ("cron(0 5 * * ? *)", {}, "2026-11-27T05:00"),
        ("cron(0 5 ? * FRI *)", {}, "2026-11-27T05:00"),
        ("cron(0 5 ? * 6 *)", {}, "2026-11-27T05:00"),
        ("cron(0 5 ? * MON-THU *)", {}, None),
        ("cron(0 5 27 NOV ? 2026)", {}, "2026-11-27T05:00"),
        ("cron(0 5 27 NOV ? 2027)", {}, None),
        ("cron(0/20 * * * ? *)", {}, "2026-11-27T04:40"),
        ("cron(15,45 4-5 * * ? *)", {}, "2026-11-27T04:45"),
        ("cron(30 4 * * ? *)", {}, "2026-11-27T04:30"),
        ("cron(0 6 * * ? *)", {"Timezone": "Europe/Berlin"}, "2026-11-27T05:00"),
        ("cron(0 5 * * ? *)", {"EndTime": NOW}, None),
        ("cron(0 5 * * ? *)", {"StartTime": NOW + HOUR}, None),
    ],
)
def test_finds_when_a_scheduled_action_comes_due(
    schedule: str, fields: dict[str, Any], due: str | None
) -> None:
    found = find_due(action(schedule, **fields), NOW, HOUR)

    assert found == (datetime.fromisoformat(due).replace(tzinfo=UTC) if due else None)


def test_nothing_is_frozen_without_provisioned_concurrency() -> None:
    assert not find_freeze([], [], NOW, HOUR)
    assert not find_freeze([], [held(0)], NOW, HOUR)


def test_frozen_while_the_alias_has_provisioned_concurrency() -> None:
    assert find_freeze([], [held(200)], NOW, HOUR) == (
        "function:shop:live holds 200 environments ready"
    )


def test_frozen_shortly_before_a_scheduled_action() -> None:
    actions = [action("at(2026-11-27T05:00:00)")]
    assert find_freeze(actions, [], NOW, HOUR) == (
        "scheduled action rise comes due at 2026-11-27 05:00 UTC"
    )
    assert not find_freeze(actions, [], NOW, HOUR / 4)


def test_a_release_without_a_canary_is_never_frozen() -> None:
    assert not find_freeze([action("cron(* * * * ? *)")], [held(9)], NOW, timedelta())


@pytest.mark.parametrize(
    ("schedule", "fields"),
    [
        ("cron(0 5 L * ? *)", {}),
        ("cron(0 5 ? * FRI-MON *)", {}),
        ("rate(1 day)", {}),
        ("cron(0 5 * * ? *)", {"Timezone": "Mars/Olympus"}),
    ],
)
def test_a_schedule_that_is_not_read_freezes_to_be_safe(
    schedule: str, fields: dict[str, Any]
) -> None:
    frozen = find_freeze([action(schedule, **fields)], [], NOW, HOUR)
    assert frozen == f"scheduled action rise may come due at any time: {schedule}"
