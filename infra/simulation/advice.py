"""What to change before the day: environments to provision, throttle and quota to raise."""

import math
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np

from infra.prices import PROVISIONED_STEP_SECONDS as STEP
from infra.simulation.curve import Curve
from infra.simulation.erlang import count_needed
from infra.simulation.plan import KEPT_FREE, ProvisioningPlan
from infra.simulation.result import SimulationResult
from infra.simulation.scaling import REQUESTS_PER_CONCURRENCY, limit, simulate
from infra.simulation.service import ServiceProfile

HEADROOM = 1.1  # as Lambda's documentation advises
SPILLED = 0.001  # share of the requests that may find all provisioned environments busy
BUSY = 0.1  # share of the peak from which environments are provisioned
LEAD, TRAIL = 1800, 900  # seconds before and after; allocation can take a quarter of an hour
RARE = 0.01  # share of a minute's requests that does not show in its p99

BLACK_FRIDAY = Path(__file__).parents[1] / "stacks/black-friday.yaml"  # where infra is installed
MOST_RATE, MOST_BURST = 10_000, 5000  # the highest values that template.yaml accepts


def recommend_plan(curve: Curve, service: ServiceProfile) -> ProvisioningPlan | None:
    """Return the provisioning that the traffic needs; None if the quota leaves no room for any.

    Traffic that the API's throttle refuses anyway needs none.
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
    return ProvisioningPlan(environments, begin, end)


def advise(
    curve: Curve, service: ServiceProfile, without: SimulationResult, planned: SimulationResult
) -> Iterator[str]:
    """Yield what to change before the day.

    `without` is what the curve does on demand, `planned` what it does with provisioning.
    """
    peak = float(curve.rates.max())
    rate = min(MOST_RATE, math.ceil(1.2 * peak))
    burst = min(MOST_BURST, rate)
    is_refused = without.refused > RARE * without.requests
    if without.refused >= 1:
        yield _advise_on_throttle(service, without, rate, burst)
    if is_refused and rate > service.throttle_rate:
        yield (
            f"Then simulate again, with --throttle-rate {rate} --throttle-burst {burst}: these "
            "figures count only the requests that are let through, so do not plan with them."
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
        yield (f"A quota of {service.concurrency:,} leaves nothing to provision: ask AWS for more.")
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
        begin, end = (format_time(curve, second) for second in (one.begin, one.end))
        yield (
            f"To provision, deploy {_locate_template()} with "
            f"Environments={one.environments} Begin={begin} End={end} Timezone=UTC."
        )


def _advise_on_throttle(
    service: ServiceProfile, without: SimulationResult, rate: int, burst: int
) -> str:
    refused = f"which refuses {without.refused / without.requests:.1%} of the requests"
    if rate > service.throttle_rate:
        return (
            f"First raise the API's throttle, {refused}: infra deploy "
            f"--parameter ThrottleRate={rate} --parameter ThrottleBurst={burst}"
        )
    return (
        f"The traffic is too much for the API's throttle, {refused}: {MOST_RATE:,} a second is "
        "the most that it allows. Let people in more slowly."
    )


def _locate_template() -> Path:
    """Return a path that can be pasted: short in a checkout, elsewhere from the root."""
    here = Path.cwd()
    return BLACK_FRIDAY.relative_to(here) if BLACK_FRIDAY.is_relative_to(here) else BLACK_FRIDAY


def format_time(curve: Curve, second: int) -> str:
    """Return a second of the curve as the parameters of black-friday.yaml write it."""
    return f"{curve.begin + timedelta(seconds=second):%Y-%m-%dT%H:%M:%S}"
