"""How many environments to provision, and when; what else to change before the day."""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np

from infra.prices import PROVISIONED_STEP_SECONDS as STEP
from infra.simulation.curve import Curve, read_time
from infra.simulation.erlang import count_needed
from infra.simulation.errors import SimulationError
from infra.simulation.outcome import Outcome
from infra.simulation.scaling import (
    REQUESTS_PER_CONCURRENCY,
    Provisioned,
    Service,
    limit,
    simulate,
)

KEPT_FREE = 100  # of the account's quota, which cannot be provisioned
HEADROOM = 1.1  # as Lambda's documentation advises
SPILLED = 0.001  # share of the requests that may find all of them busy
BUSY = 0.1  # of the peak: from there on, environments are provisioned
LEAD, TRAIL = 1800, 900  # seconds before and after; allocation can take a quarter of an hour
RARE = 0.01  # share of a minute's requests that its p99 does not see

MOST_RATE, MOST_BURST = 10_000, 5000  # that the parameters of template.yaml take
BLACK_FRIDAY = Path(__file__).parents[1] / "stacks/black-friday.yaml"  # where infra is installed
CLOCK = r"(?:\d{4}-\d\d-\d\dT)?\d\d:\d\d"
OPTION = re.compile(rf"([1-9]\d*)@({CLOCK})-({CLOCK})")


def plan(curve: Curve, service: Service) -> Provisioned | None:
    """Return the environments that the traffic takes; None if the quota allows of none.

    Traffic that the API's throttle would refuse anyway needs none.
    """
    rates = limit(curve.rates, service.throttle_rate, service.throttle_burst)
    peak = float(rates.max())
    seconds = service.warm_ms / 1000
    needed = float(count_needed(peak * seconds, SPILLED))
    if seconds * REQUESTS_PER_CONCURRENCY < 1:
        needed = max(needed, peak / REQUESTS_PER_CONCURRENCY)
    environments = min(math.ceil(HEADROOM * needed), service.concurrency - KEPT_FREE)
    if environments <= 0:
        return None
    busy = np.flatnonzero(rates > BUSY * peak)
    begin = (int(busy[0]) - LEAD) // STEP * STEP
    end = -(-(int(busy[-1]) + 1 + TRAIL) // STEP) * STEP
    return Provisioned(environments, begin, end)


def read_plan(text: str, curve: Curve) -> Provisioned:
    """Read N@START-END, as UTC; without dates the next such times of the curve.

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
        raise SimulationError(f"{text}: expected an end after the begin")
    return Provisioned(
        int(match[1]), *(int((time - curve.begin).total_seconds()) for time in (begin, end))
    )


def check_quota(plans: Sequence[Provisioned], service: Service) -> None:
    """Raise SimulationError if the plans that overlap are more than the quota allows of."""
    for one in plans:
        at_once = sum(other.environments for other in plans if other.begin <= one.begin < other.end)
        if at_once > service.concurrency - KEPT_FREE:
            raise SimulationError(
                f"{at_once:,} environments at one time: at most "
                f"{max(0, service.concurrency - KEPT_FREE):,} can be provisioned of a quota of "
                f"{service.concurrency:,} ({KEPT_FREE} stay unreserved)"
            )


def _read_clock(text: str, after: datetime) -> datetime:
    """Read a time; without a date, the first one not before `after`."""
    time = read_time(text)
    if "T" in text:
        return time
    return time + timedelta(days=math.ceil((after - time) / timedelta(days=1)))


def advise(curve: Curve, service: Service, without: Outcome, planned: Outcome) -> Iterator[str]:
    """Say what to change before the day."""
    peak = float(curve.rates.max())
    rate = min(MOST_RATE, math.ceil(1.2 * peak))
    burst = min(MOST_BURST, rate)
    is_refused = without.refused > RARE * without.requests
    if without.refused >= 1:
        yield _tell_refused(service, without, rate, burst)
    if is_refused and rate > service.throttle_rate:
        yield (
            f"Then simulate again, with --throttle-rate {rate} --throttle-burst {burst}: what "
            "is told here is of the requests that are let through, so plan nothing by it."
        )
        return
    if without.throttled >= 1:
        free = replace(service, concurrency=10**6)
        concurrency = float(simulate(curve.rates, free).concurrency.max())
        needed = math.ceil(1.2 * max(concurrency, peak / REQUESTS_PER_CONCURRENCY))
        if needed > service.concurrency:
            yield f"Ask AWS for a quota of {needed:,} concurrent executions, weeks before the day."
        else:
            yield (
                "Traffic grows faster than Lambda starts environments: only provisioned ones, or "
                "letting people in more slowly, keep it from turning requests away."
            )
    if not planned.plan:
        yield f"A quota of {service.concurrency:,} leaves none to provision; ask AWS for more."
        return
    usd = planned.usd - without.usd
    avoided = without.cold - planned.cold
    if without.worst_minute_cold <= RARE and without.throttled < 1 and not is_refused:
        yield (
            f"It works without provisioning: in the worst minute {without.worst_minute_cold:.2%} "
            f"of the requests wait {service.cold_ms:,.0f} ms more."
        )
    if avoided >= 1:
        spared = f"{avoided:,.0f} requests a cold start of {service.cold_ms:,.0f} ms"
        if usd < 0:
            yield f"Provisioning saves {-usd:,.2f} USD, and {spared}."
        else:
            each = usd / avoided
            yield f"Provisioning costs {usd:,.2f} USD and spares {spared}: {each:,.2f} USD each."
    for one in planned.plan:
        begin, end = (tell(curve, second) for second in (one.begin, one.end))
        yield (
            f"To provision, deploy {_locate_template()} with "
            f"Environments={one.environments} Begin={begin} End={end} Timezone=UTC."
        )


def _tell_refused(service: Service, without: Outcome, rate: int, burst: int) -> str:
    refused = f"which refuses {without.refused / without.requests:.1%} of the requests"
    if rate > service.throttle_rate:
        return (
            f"First raise the API's throttle, {refused}: infra deploy "
            f"--parameter ThrottleRate={rate} --parameter ThrottleBurst={burst}"
        )
    return (
        f"The traffic is too much for the API's throttle, {refused}: {MOST_RATE:,} a second is "
        "the most that it takes. Let people in more slowly."
    )


def _locate_template() -> Path:
    """Return a path that can be pasted: short in a checkout, elsewhere from the root."""
    here = Path.cwd()
    return BLACK_FRIDAY.relative_to(here) if BLACK_FRIDAY.is_relative_to(here) else BLACK_FRIDAY


def tell(curve: Curve, second: int) -> str:
    """Write a second of the curve as the time that the template takes."""
    return f"{curve.begin + timedelta(seconds=second):%Y-%m-%dT%H:%M:%S}"
