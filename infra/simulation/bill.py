"""What a day of traffic costs on AWS, in USD."""

from collections.abc import Sequence
from dataclasses import dataclass

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
from infra.simulation.plan import ProvisioningPlan
from infra.simulation.scaling import Course
from infra.simulation.service import ServiceProfile


@dataclass(frozen=True)
class Bill:
    """USD, by what they pay for."""

    requests: float  # to the API, and to Lambda
    running: float
    starting: float
    provisioned: float  # for keeping environments ready, at work or not
    watching: float  # logs, and traces of X-Ray

    @property
    def total(self) -> float:
        """The sum of all parts."""
        return self.requests + self.running + self.starting + self.provisioned + self.watching


def make_bill(course: Course, service: ServiceProfile, plan: Sequence[ProvisioningPlan]) -> Bill:
    """Return what the course costs; API Gateway does not charge for requests that it refuses."""
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
                one.end - one.begin,  # also where it lies outside the curve
            )
            for one in plan
        ),
        watching=float(
            price_logs(answered, course.offered.sum()) + price_traces(answered, len(course.offered))
        ),
    )
