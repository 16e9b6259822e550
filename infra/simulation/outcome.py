"""What a course of traffic meant: for those who asked, and for the one who pays."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from infra.prices import (
    HTTP_API_REQUEST,
    LAMBDA_GB_SECOND,
    LAMBDA_REQUEST,
    PROVISIONED_RUN_GB_SECOND,
    count_gb_seconds,
    price_logs,
    price_provisioned,
    price_traces,
)
from infra.simulation.scaling import Course, Provisioned, Series, Service, simulate

MINUTE = 60


@dataclass(frozen=True)
class Bill:
    """USD, by what it is for."""

    requests: float  # to the API, and to Lambda
    running: float
    starting: float
    provisioned: float  # for the environments alone, at work or not
    watching: float  # logs, and traces of X-Ray

    @property
    def total(self) -> float:
        """Return all of it."""
        return self.requests + self.running + self.starting + self.provisioned + self.watching


@dataclass(frozen=True)
class Outcome:
    """Requests by how they ended, milliseconds inside the function, the most of a second, USD.

    All are expected values. `worst_minute_cold` is the largest share (0 to 1) of the answers of a
    minute that met a cold start.
    """

    plan: Sequence[Provisioned]
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


def find_outcome(
    rates: Series, service: Service, plan: Sequence[Provisioned] = ()
) -> tuple[Course, Outcome]:
    """Simulate, and sum up."""
    course = simulate(rates, service, plan)
    answered, cold = float(course.answered.sum()), float(course.cold.sum())
    bill = make_bill(course, service, plan)
    worst = _find_worst_minute(course)
    p50, p99, p999 = (find_latency(service, cold, answered, share) for share in (0.5, 0.99, 0.999))
    outcome = Outcome(
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
    return course, outcome


def find_latency(service: Service, cold: float, answered: float, share: float) -> float:
    """Return the milliseconds within which a share of the requests is answered.

    All that are warm take the same; so do all that meet a cold start.
    """
    return service.warm_ms + (service.cold_ms if cold > (1 - share) * answered else 0)


def make_bill(course: Course, service: Service, plan: Sequence[Provisioned]) -> Bill:
    """Return what the course costs: API Gateway charges no request that it refuses."""
    run = count_gb_seconds(service.memory_mb, service.warm_ms)
    start = count_gb_seconds(service.memory_mb, service.cold_ms)
    on_demand = LAMBDA_GB_SECOND[service.processor]
    answered, provisioned = course.answered.sum(), course.provisioned.sum()
    in_provisioned = provisioned * run * PROVISIONED_RUN_GB_SECOND[service.processor]
    through = (course.offered - course.refused).sum()
    return Bill(
        requests=float(through * HTTP_API_REQUEST + answered * LAMBDA_REQUEST),
        running=float((answered - provisioned) * run * on_demand + in_provisioned),
        starting=float(course.cold.sum() * start * on_demand),
        provisioned=sum(
            price_provisioned(
                service.memory_mb,
                service.processor,
                one.environments,
                one.end - one.begin,  # beyond the curve, too
            )
            for one in plan
        ),
        watching=float(
            price_logs(answered, course.offered.sum()) + price_traces(answered, len(course.offered))
        ),
    )


def _find_worst_minute(course: Course) -> float:
    begins = np.arange(0, len(course.offered), MINUTE)
    answered = np.add.reduceat(course.answered, begins)
    cold = np.add.reduceat(course.cold, begins)
    shares = np.divide(cold, answered, out=np.zeros_like(cold), where=answered > 0)
    return float(shares.max())
