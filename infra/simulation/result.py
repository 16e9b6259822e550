"""What a day of traffic adds up to: requests, latency, environments and cost."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from infra.simulation.bill import Bill, make_bill
from infra.simulation.plan import ProvisioningPlan
from infra.simulation.scaling import Course, Series, simulate
from infra.simulation.service import ServiceProfile

MINUTE = 60


@dataclass(frozen=True)
class SimulationResult:
    """Numbers of requests by how they ended, latencies inside the function, peaks and cost.

    All are expected values. `worst_minute_cold` is the largest share (0 to 1) of a minute's answers
    that met a cold start.
    """

    plan: Sequence[ProvisioningPlan]
    requests: float
    refused: float
    throttled: float
    answered: float
    cold: float
    spilled: float
    p50_ms: float
    p99_ms: float
    p999_ms: float
    worst_minute_cold: float
    worst_minute_p99_ms: float
    peak_concurrency: float
    peak_environments: float
    bill: Bill
    usd: float


def summarize(
    rates: Series, service: ServiceProfile, plan: Sequence[ProvisioningPlan] = ()
) -> tuple[Course, SimulationResult]:
    """Simulate the traffic; return what happened in each second, and what it adds up to."""
    course = simulate(rates, service, plan)
    answered, cold = float(course.answered.sum()), float(course.cold.sum())
    bill = make_bill(course, service, plan)
    worst = _find_worst_minute(course)
    p50, p99, p999 = (find_latency(service, cold, answered, share) for share in (0.5, 0.99, 0.999))
    result = SimulationResult(
        plan=plan,
        requests=float(course.offered.sum()),
        refused=float(course.refused.sum()),
        throttled=float(course.throttled.sum()),
        answered=answered,
        cold=cold,
        spilled=float(course.spilled.sum()),
        p50_ms=p50,
        p99_ms=p99,
        p999_ms=p999,
        worst_minute_cold=worst,
        worst_minute_p99_ms=find_latency(service, worst, 1, 0.99),
        peak_concurrency=float(course.concurrency.max()),
        peak_environments=float(course.environments.max()),
        bill=bill,
        usd=bill.total,
    )
    return course, result


def find_latency(service: ServiceProfile, cold: float, answered: float, share: float) -> float:
    """Return the milliseconds within which a share (0 to 1) of the requests is answered.

    All warm requests take the same time, and so do all that meet a cold start.
    """
    return service.warm_ms + (service.cold_ms if cold > (1 - share) * answered else 0)


def _find_worst_minute(course: Course) -> float:
    begins = np.arange(0, len(course.offered), MINUTE)
    answered = np.add.reduceat(course.answered, begins)
    cold = np.add.reduceat(course.cold, begins)
    shares = np.divide(cold, answered, out=np.zeros_like(cold), where=answered > 0)
    return float(shares.max())
