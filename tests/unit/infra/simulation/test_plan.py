"""Provisioning plans, advice, latency and the bill."""

from datetime import UTC, datetime

import numpy as np
import pytest

from infra.prices import price_logs, price_million_predictions, price_provisioned, price_traces
from infra.simulation.advice import advise, recommend_plan
from infra.simulation.curve import Curve, read_curve
from infra.simulation.errors import SimulationError
from infra.simulation.plan import ProvisioningPlan, check_quota, read_plan
from infra.simulation.result import find_latency, summarize
from infra.simulation.scaling import simulate
from infra.simulation.service import ServiceProfile

BEGIN = datetime(2026, 11, 27, tzinfo=UTC)
FAST = ServiceProfile(5, 400, throttle_rate=5000, throttle_burst=5000)


def hold(*phases: tuple[int, float]) -> Curve:
    rates = [np.full(seconds, float(rate)) for seconds, rate in phases]
    return Curve("test", BEGIN, np.concatenate(rates))


def test_short_requests_take_one_environment_for_ten_a_second() -> None:
    # GIVEN 1,000 a second of 5 ms; most of them from 01:00 to 02:00
    curve = hold((3600, 10), (3600, 1000), (7200, 10))
    # THEN 100 and a tenth more, from half an hour before to a quarter after
    assert recommend_plan(curve, FAST) == ProvisioningPlan(111, 1800, 8100)


def test_long_requests_take_what_erlang_says() -> None:
    curve = hold((3600, 10), (3600, 50))
    service = ServiceProfile(1000, 4000, throttle_rate=5000, throttle_burst=5000)
    found = recommend_plan(curve, service)
    # THEN more than the 50 that are at work on average, and a tenth for what was not foreseen
    assert found
    assert 1.1 * 60 < found.environments < 1.1 * 90
    assert simulate(curve.rates, service, [found]).spilled[3600:].sum() < 0.001 * 50 * 3600


def test_no_environment_is_planned_for_what_the_api_refuses() -> None:
    curve = hold((3600, 10), (3600, 1000))
    found = recommend_plan(curve, ServiceProfile(5, 400, throttle_rate=100, throttle_burst=100))
    assert found
    assert found.environments <= 25


def test_a_new_accounts_quota_leaves_none_to_provision() -> None:
    assert recommend_plan(hold((60, 100)), ServiceProfile(5, 400, concurrency=10)) is None


def test_reads_a_plan_by_the_clock_and_by_date() -> None:
    curve = read_curve("black-friday")
    assert read_plan("30@05:30-02:00", curve) == ProvisioningPlan(30, 19_800, 93_600)
    by_date = read_plan("30@2026-11-26T23:00-2026-11-27T12:00", curve)
    assert by_date == ProvisioningPlan(30, -3600, 43_200)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("30", "expected N@START-END"),
        ("30@05:30", "expected N@START-END"),
        ("0@05:30-06:00", "expected N@START-END"),
        ("9@2026-11-27T06:00-2026-11-27T05:00", "an end after the start"),
        ("9@2026-13-27T06:00-2026-11-27T05:00", "month must be in 1..12"),
    ],
)
def test_refuses_a_plan_that_makes_no_sense(text: str, message: str) -> None:
    with pytest.raises(SimulationError, match=message):
        read_plan(text, read_curve("black-friday"))


def test_plans_at_one_time_share_the_quota() -> None:
    plans = [
        ProvisioningPlan(500, 0, 100),
        ProvisioningPlan(401, 99, 200),
        ProvisioningPlan(900, 200, 300),
    ]
    check_quota([plans[0], plans[2]], FAST)
    text = r"at most 900 can be provisioned of a quota of 1,000 \(100 stay unreserved\)"
    with pytest.raises(SimulationError, match=text):
        check_quota([ProvisioningPlan(901, 0, 100)], FAST)
    with pytest.raises(SimulationError, match="901 environments at one time: at most 900 can"):
        check_quota(plans, FAST)


def test_the_bill_without_provisioning_is_the_price_of_its_requests() -> None:
    # GIVEN an hour of 100 a second
    curve = hold((3600, 100))
    _, outcome = summarize(curve.rates, FAST)
    # THEN
    million = price_million_predictions(
        1769, "x86_64", 5, cold_share=outcome.cold / outcome.answered, cold_ms=400
    )
    # AND the trace of the first of each second, of which a twentieth is counted there
    assert outcome.usd == pytest.approx(0.36 * million + 3600 * 0.95 * 5e-6)


def test_the_bill_with_provisioning_has_the_waiting_and_cheaper_running() -> None:
    curve = hold((3600, 100))
    # GIVEN environments that are there before the traffic, and after it
    _, outcome = summarize(curve.rates, FAST, [ProvisioningPlan(50, -600, 4500)])
    assert outcome.bill.provisioned == pytest.approx(price_provisioned(1769, "x86_64", 50, 5100))
    assert outcome.bill.running == pytest.approx(360_000 * 0.005 * 1769 / 1024 * 9.7222e-6)


def test_requests_that_the_api_refuses_cost_their_line_of_log() -> None:
    service = ServiceProfile(5, 400, throttle_rate=10, throttle_burst=10)
    _, outcome = summarize(hold((3600, 100)).rates, service)
    assert outcome.answered == pytest.approx(36_010)
    assert outcome.bill.requests == pytest.approx(36_010 * 1.2e-6)
    # AND each leaves a line in the API's log
    logs = price_logs(36_010, 360_000)
    assert outcome.bill.watching == pytest.approx(logs + price_traces(36_010, 3600))


@pytest.mark.parametrize(
    ("cold", "share", "milliseconds"),
    [(9, 0.99, 5), (11, 0.99, 405), (11, 0.5, 5), (2, 0.999, 405)],
)
def test_latency_is_cold_once_enough_requests_are(
    cold: float, share: float, milliseconds: float
) -> None:
    # GIVEN so many cold of 1,000 answers
    assert find_latency(FAST, cold, 1000, share) == milliseconds


def test_the_worst_minute_has_a_latency_of_its_own() -> None:
    # GIVEN an hour of 1 a second, then a minute of 100 times as many, with starts of 4 s
    curve = hold((3600, 1), (60, 100), (36_000, 10))
    service = ServiceProfile(200, 4000, throttle_rate=5000, throttle_burst=5000)
    _, outcome = summarize(curve.rates, service)
    # THEN it is seen there and not in the whole
    assert outcome.worst_minute_cold > 0.01
    assert outcome.worst_minute_p99_ms == 4200
    assert outcome.p99_ms == 200


def advise_on(curve: Curve, service: ServiceProfile) -> str:
    found = recommend_plan(curve, service)
    _, without = summarize(curve.rates, service)
    _, planned = summarize(curve.rates, service, [found] if found else [])
    return "\n".join(advise(curve, service, without, planned))


def test_says_to_raise_the_throttle_that_refuses_the_traffic() -> None:
    advice = advise_on(hold((600, 1000)), ServiceProfile(5, 400))
    assert advice.startswith(
        "First raise the API's throttle, which refuses 90.0% of the requests: infra deploy "
        "--parameter ThrottleRate=1200 --parameter ThrottleBurst=1200\n"
    )
    # AND plans nothing for the rest of the traffic
    assert "--throttle-rate 1200 --throttle-burst 1200" in advice
    assert "Environments=" not in advice
    assert "works without" not in advice


def test_says_that_no_throttle_takes_so_much() -> None:
    advice = advise_on(
        hold((60, 20_000)), ServiceProfile(5, 400, throttle_rate=10_000, throttle_burst=5000)
    )
    assert "10,000 a second is the most that it allows" in advice
    assert "works without" not in advice


def test_says_to_ask_for_the_quota_that_the_traffic_takes() -> None:
    # GIVEN 200 at work, of which 100 may be
    service = ServiceProfile(1000, 1000, concurrency=100, throttle_rate=5000, throttle_burst=5000)
    advice = advise_on(hold((600, 200)), service)
    assert "Ask AWS for a quota of" in advice
    assert int(advice.split("quota of ")[1].split()[0]) >= 240
    assert "leaves nothing to provision" in advice


def test_says_when_provisioning_is_not_worth_it() -> None:
    advice = advise_on(hold((600, 100), (600, 200)), FAST)
    assert "It works without provisioning" in advice


def test_says_what_to_deploy() -> None:
    advice = advise_on(hold((3600, 10), (3600, 1000), (7200, 10)), FAST)
    assert (
        "Environments=111 Begin=2026-11-27T00:30:00 End=2026-11-27T02:15:00 Timezone=UTC" in advice
    )
