"""How many environments to provision, and when; what else to change before the day."""

import math
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta

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
CLOCK = r"(?:\d{4}-\d\d-\d\dT)?\d\d:\d\d"
OPTION = re.compile(rf"(\d+)@({CLOCK})-({CLOCK})")


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


def read_plan(text: str, curve: Curve, service: Service) -> Provisioned:
    """Read N@START-END, as UTC; without dates the next such times of the curve.

    Raises SimulationError.
    """
    match = OPTION.fullmatch(text)
    if not match:
        raise SimulationError(f"{text}: expected N@START-END, such as 200@05:30-23:00")
    environments = int(match[1])
    if not 1 <= environments <= service.concurrency - KEPT_FREE:
        raise SimulationError(
            f"{text}: of a quota of {service.concurrency}, {KEPT_FREE} cannot be provisioned"
        )
    try:
        begin = _read_clock(match[2], curve.begin)
        end = _read_clock(match[3], begin)
    except ValueError as error:
        raise SimulationError(f"{text}: {error}") from error
    if end <= begin:
        raise SimulationError(f"{text}: expected an end after the begin")
    return Provisioned(
        environments, *(int((time - curve.begin).total_seconds()) for time in (begin, end))
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
    if without.refused >= 1:
        rate = min(MOST_RATE, math.ceil(1.2 * peak))
        yield (
            f"The API refuses {without.refused / without.requests:.1%} of the requests: deploy "
            f"with ThrottleRate={rate} ThrottleBurst={min(MOST_BURST, rate)}, then simulate again."
        )
    if without.throttled >= 1:
        free = replace(service, concurrency=10**6)
        concurrency = float(simulate(curve.rates, free).concurrency.max())
        needed = math.ceil(1.2 * max(concurrency, peak / REQUESTS_PER_CONCURRENCY))
        if needed > service.concurrency:
            yield f"Ask AWS for a quota of {needed} concurrent executions, weeks before the day."
        else:
            yield (
                "Traffic grows faster than Lambda starts environments: only provisioned ones, or "
                "letting people in more slowly, keep it from turning requests away."
            )
    if not planned.plan:
        yield f"A quota of {service.concurrency} leaves none to provision; ask AWS for more."
        return
    usd = planned.usd - without.usd
    avoided = without.cold - planned.cold
    if without.worst_minute_cold <= RARE and without.throttled < 1:
        yield (
            f"It works without provisioning: in the worst minute {without.worst_minute_cold:.2%} "
            f"of the requests wait {service.cold_ms:,.0f} ms more."
        )
    if avoided >= 1:
        yield (
            f"Provisioning costs {usd:,.2f} USD and spares {avoided:,.0f} requests a cold start of "
            f"{service.cold_ms:,.0f} ms: {usd / avoided:,.2f} USD each."
        )
    for one in planned.plan:
        begin, end = (tell(curve, second) for second in (one.begin, one.end))
        yield (
            f"To provision, deploy infra/black-friday.yaml with Environments={one.environments} "
            f"Begin={begin} End={end} Timezone=UTC."
        )


def tell(curve: Curve, second: int) -> str:
    """Write a second of the curve as the time that the template takes."""
    return f"{curve.begin + timedelta(seconds=second):%Y-%m-%dT%H:%M:%S}"
