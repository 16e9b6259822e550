"""How the traffic shifts, by the name of a deployment type."""

from datetime import timedelta

import pytest

from infra.local.control.deployment_type import read_deployment_type


@pytest.mark.parametrize(
    ("name", "steps", "minutes"),
    [
        ("AllAtOnce", [(0, 100)], 0),
        ("Canary10Percent5Minutes", [(0, 10), (5, 100)], 5),
        ("CodeDeployDefault.LambdaCanary10Percent30Minutes", [(0, 10), (30, 100)], 30),
        ("Linear30PercentEvery2Minutes", [(0, 30), (2, 60), (4, 90), (6, 100)], 8),
        ("Linear50PercentEvery1Minute", [(0, 50), (1, 100)], 2),
    ],
)
def test_steps_and_duration(name: str, steps: list[tuple[int, int]], minutes: int) -> None:
    found = read_deployment_type(name)
    assert found
    assert [(time / timedelta(minutes=1), share) for time, share in found.steps] == steps
    assert found.duration == timedelta(minutes=minutes)


@pytest.mark.parametrize("name", ["", "Slow", "Canary10Percent", "Linear0PercentEvery1Minute"])
def test_any_other_type_is_somebodys_own(name: str) -> None:
    assert read_deployment_type(name) is None
