"""Scaling, against closed forms, and against a simulation that follows every request."""

import heapq
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.simulation.erlang import count_needed, find_blocked
from infra.simulation.plan import ProvisioningPlan, find_ready
from infra.simulation.scaling import (
    QUIET,
    Course,
    Series,
    limit,
    simulate,
)
from infra.simulation.service import ServiceProfile

OPEN = {"throttle_rate": 1e6, "throttle_burst": 1e6}
FOREVER = (-1000, 10**6)


def serve(warm_ms: float, cold_ms: float, **limits: float) -> ServiceProfile:
    return ServiceProfile(warm_ms, cold_ms, **OPEN | limits)  # type: ignore[arg-type]


def hold(*phases: tuple[int, float]) -> Series:
    """Return rates that hold for so many seconds each, after a second of silence."""
    return np.concatenate([[0.0], *(np.full(seconds, float(rate)) for seconds, rate in phases)])


def follow(rates: Series, service: ServiceProfile, provisioned: int, seed: int) -> dict[str, float]:
    """Follow every request: Poisson arrivals, the last used environment first."""
    random = np.random.default_rng(seed)
    warm, cold = service.warm_ms / 1e3, service.cold_ms / 1e3
    idle: list[float] = []  # since when, the last used at the end
    busy: list[float] = []  # until when
    kept: list[float] = []  # likewise, of those that are provisioned
    counts = {"cold": 0, "throttled": 0, "spilled": 0}
    budget, before = 1000.0, 0.0
    for second, rate in enumerate(rates):
        for now in second + np.sort(random.random(random.poisson(rate))):
            while busy and busy[0] <= now:
                idle.append(heapq.heappop(busy))
            while idle and idle[0] < now - service.idle_seconds:
                idle.pop(0)
            while kept and kept[0] <= now:
                heapq.heappop(kept)
            budget, before = min(1000.0, budget + 100 * (now - before)), now
            if len(kept) < provisioned:
                heapq.heappush(kept, now + warm)
                continue
            counts["spilled"] += 1
            if idle:
                idle.pop()
                heapq.heappush(busy, now + warm)
            elif len(busy) < service.concurrency - provisioned and budget >= 1:
                budget -= 1
                counts["cold"] += 1
                heapq.heappush(busy, now + cold + warm)
            else:
                counts["throttled"] += 1
    return {name: float(count) for name, count in counts.items()}


@pytest.mark.parametrize(
    ("rates", "service", "provisioned"),
    [
        pytest.param(hold((300, 100)), serve(50, 500), 0, id="steady"),
        pytest.param(hold((120, 500)), serve(2, 250), 0, id="steady and fast"),
        pytest.param(hold((120, 50)), serve(1000, 2000), 0, id="steady and slow"),
        pytest.param(hold((60, 5), (60, 400)), serve(50, 500), 0, id="step"),
        pytest.param(np.linspace(0, 300, 300), serve(20, 1000), 0, id="ramp"),
        pytest.param(hold((60, 200)), serve(1000, 1000, concurrency=100), 0, id="quota"),
        pytest.param(hold((20, 3000)), serve(500, 500, concurrency=10**5), 0, id="scaling rate"),
        pytest.param(hold((300, 100)), serve(200, 1000), 20, id="spill-over"),
        pytest.param(
            hold((200, 100), (300, 10), (60, 100)), serve(100, 1000, idle_seconds=60), 0, id="ebb"
        ),
    ],
)
def test_agrees_with_following_every_request(
    rates: Series, service: ServiceProfile, provisioned: int
) -> None:
    # GIVEN the mean of some days of chance
    days = [follow(rates, service, provisioned, seed) for seed in range(3)]
    # WHEN
    plan = [ProvisioningPlan(provisioned, *FOREVER)] if provisioned else []
    course = simulate(rates, service, plan)
    # THEN within a quarter, or a few requests
    for name in ("cold", "throttled", *(["spilled"] if provisioned else [])):
        mean = sum(day[name] for day in days) / len(days)
        assert getattr(course, name).sum() == pytest.approx(mean, rel=0.25, abs=8), name


def test_the_loss_formula_is_erlangs() -> None:
    # GIVEN the formula as it is written: (a^n / n!) / sum of a^k / k!
    for load, servers in [(0.5, 1), (2.0, 3), (10.0, 12), (50.0, 60)]:
        terms = [load**k / math.factorial(k) for k in range(servers + 1)]
        # THEN
        assert find_blocked(servers, load) == pytest.approx(terms[-1] / sum(terms))


@given(load=st.floats(0.01, 500), share=st.floats(1e-6, 0.9))
def test_one_environment_fewer_than_needed_blocks_more(load: float, share: float) -> None:
    needed = count_needed(load, share)
    assert find_blocked(needed, load) <= share
    assert needed == 0 or find_blocked(needed - 1, load) > share


def test_steady_load_is_rate_times_time() -> None:
    # GIVEN Little's law: 200 requests a second, a quarter of a second each
    course = simulate(hold((600, 200)), serve(250, 1000))
    # THEN at the end 50 are at work
    assert course.concurrency[-1] == pytest.approx(50, rel=0.01)


def test_everyone_who_comes_while_the_first_environments_start_waits() -> None:
    # GIVEN a step from nothing to 100 a second, 2 s to start and 10 ms to answer
    course = simulate(hold((60, 100)), serve(10, 2000))
    # THEN that is everyone of the first 2.01 s, and hardly anyone later
    assert course.cold.sum() == pytest.approx(201, rel=0.02)
    assert course.cold[5:].sum() < 0.5


def test_the_quota_bounds_what_is_answered() -> None:
    # GIVEN 100 at a time, 1 s each, and 200 a second
    course = simulate(hold((600, 200)), serve(1000, 1000, concurrency=100))
    # THEN 100 a second are answered, as many environments start, and never more are at work
    assert course.answered[-300:].mean() == pytest.approx(100, rel=0.02)
    assert course.cold.sum() == pytest.approx(100)
    assert course.concurrency.max() <= 100.001


def test_lambda_starts_a_thousand_and_then_a_hundred_a_second() -> None:
    # GIVEN far more than it can start, and requests that last as long as we look
    course = simulate(hold((20, 3000)), serve(60_000, 500, concurrency=10**5))
    # THEN
    assert course.cold.sum() == pytest.approx(1000 + 20 * 100, rel=0.01)


def test_the_accounts_quota_bounds_short_requests_too() -> None:
    # GIVEN a quota of 10, so 100 requests a second, though 1 ms x 200 is far from 10 at a time
    course = simulate(hold((600, 200)), serve(1, 100, concurrency=10))
    # THEN
    assert course.answered[-300:].mean() == pytest.approx(100)
    assert course.concurrency[60:].max() < 1


def test_the_api_lets_through_its_burst_and_then_its_rate() -> None:
    # GIVEN a rate of 100 and a burst of 200, and 1,000 a second
    passed = limit(np.full(60, 1000.0), 100, 200)
    # THEN
    assert passed[0] == 300
    assert (passed[1:] == 100).all()


def test_the_api_saves_no_more_than_its_burst() -> None:
    # GIVEN a minute in which nobody came
    passed = limit(np.array([0.0] * 60 + [1000.0]), 100, 200)
    # THEN
    assert passed[-1] == 300


def test_what_the_api_refuses_never_reaches_lambda() -> None:
    service = ServiceProfile(10, 500, throttle_rate=100, throttle_burst=200)
    course = simulate(hold((60, 1000)), service)
    assert course.refused.sum() == pytest.approx(60_000 - 200 - 60 * 100, abs=101)
    assert course.throttled.sum() == 0


def test_spills_by_the_loss_formula_when_all_provisioned_are_busy() -> None:
    # GIVEN a load of 20 on 20 environments
    course = simulate(hold((600, 100)), serve(200, 1000), [ProvisioningPlan(20, *FOREVER)])
    # THEN
    assert course.spilled[1:].mean() == pytest.approx(100 * find_blocked(20, 20), rel=0.01)


def test_spills_above_ten_requests_a_second_for_each_provisioned() -> None:
    # GIVEN 10 environments and 150 a second of 5 ms: less than one at work
    course = simulate(hold((60, 150)), serve(5, 100), [ProvisioningPlan(10, *FOREVER)])
    # THEN
    assert course.spilled[1:].mean() == pytest.approx(50, rel=0.01)
    assert course.provisioned[1:].mean() == pytest.approx(100, rel=0.01)


def test_provisioned_environments_answer_once_all_are_there_and_until_the_end() -> None:
    plan = ProvisioningPlan(3000, 100, 400)
    course = simulate(hold((599, 50)), serve(100, 1000, concurrency=10_000), [plan])
    used = np.flatnonzero(course.provisioned)
    # THEN after two minutes and half a minute for 3,000
    assert (used[0], used[-1]) == (find_ready(plan), 399) == (250, 399)


def test_without_traffic_environments_go() -> None:
    # GIVEN ten minutes of traffic, and an hour without
    course = simulate(hold((600, 100), (3600, 0)), serve(100, 500, idle_seconds=300))
    # THEN
    assert course.environments[600] > 10
    assert course.environments[-1] < 0.01


def test_the_service_has_run_before_the_curve_begins() -> None:
    # GIVEN traffic that is there from the first second
    course = simulate(np.full(60, 100.0), serve(50, 500))
    # THEN nobody waits for the first environments
    assert course.cold.sum() < 0.5


phases = st.lists(st.tuples(st.just(20), st.integers(0, 500)), min_size=2, max_size=6)
services = st.builds(
    ServiceProfile,
    warm_ms=st.sampled_from([1, 20, 90, 100, 400, 3000]),
    cold_ms=st.sampled_from([100, 700, 4000]),
    throttle_rate=st.sampled_from([50, 1e6]),
    throttle_burst=st.sampled_from([1, 100, 1e6]),
    concurrency=st.sampled_from([1, 10, 300, 10_000]),
    idle_seconds=st.sampled_from([10, 300]),
)


@settings(deadline=None, max_examples=60)
@given(phases=phases, service=services, provisioned=st.integers(0, 50))
def test_no_request_is_lost_or_counted_twice(
    phases: list[tuple[int, int]], service: ServiceProfile, provisioned: int
) -> None:
    course = simulate(hold(*phases), service, [ProvisioningPlan(provisioned, *FOREVER)])
    for name in Course.__dataclass_fields__:
        assert (getattr(course, name) >= -1e-9).all(), name
    assert (course.answered >= course.cold - 1e-9).all()
    if provisioned:
        np.testing.assert_allclose(course.provisioned + course.spilled, course.answered, atol=1e-6)


@settings(deadline=None, max_examples=60)
@given(rate=st.integers(0, 500), service=services, few=st.integers(0, 40), more=st.integers(1, 40))
def test_more_provisioned_never_means_more_cold_starts_when_traffic_sets_in(
    rate: int, service: ServiceProfile, few: int, more: int
) -> None:
    colds = [
        simulate(hold((60, rate)), service, [ProvisioningPlan(count, *FOREVER)]).cold.sum()
        for count in (few, few + more)
    ]
    # THEN, to the precision of a slice
    assert colds[1] <= colds[0] * 1.02 + QUIET


def test_too_few_provisioned_can_be_worse_than_none() -> None:
    # GIVEN short requests, at first few: one environment on demand answers more than ten a second,
    # a provisioned one does not
    rates, service = hold((60, 1), (60, 15)), serve(20, 4000, idle_seconds=10)
    none, one, enough = (
        simulate(rates, service, [ProvisioningPlan(count, *FOREVER)]).cold.sum()
        for count in (0, 1, 3)
    )
    # THEN
    assert one > none > enough
