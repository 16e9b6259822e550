"""What API Gateway and Lambda do with a curve of traffic.

Time advances by the second, and by a tenth of a cold start while many environments start. Within
such a slice every number is an expected value: Erlang's loss formula says how many requests find
all environments busy, so nothing is random and no single request is followed. This leaves out
chance in the number of arrivals (the throttles are buckets of thousands), and how long AWS keeps an
idle environment, which it does not document. Where requests take as long as a cold start, up to a
fifth too many cold starts are counted. Sources: docs.aws.amazon.com/lambda/latest/dg/
{scaling-behavior,lambda-concurrency,provisioned-concurrency}.html, and docs.aws.amazon.com/
apigateway/latest/developerguide/http-api-throttling.html.
"""

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from infra.simulation.erlang import count_needed, find_blocked
from infra.simulation.plan import ProvisioningPlan, find_ready
from infra.simulation.service import ServiceProfile

# Lambda starts at most 1,000 environments of a function at once, then 100 more each second.
START_BURST, STARTS_PER_SECOND = 1000, 100
# Requests per second for each unit of the account's quota, and of provisioned concurrency.
REQUESTS_PER_CONCURRENCY = 10

QUIET = 0.5  # cold starts: up to so many, a second is one slice
SLICES = 10  # per cold start, in any other second


type Series = NDArray[np.float64]


@dataclass(frozen=True)
class Course:
    """What happened in each second: numbers of requests, and mean numbers of environments."""

    offered: Series
    refused: Series  # by the API's throttle: 429
    throttled: Series  # by Lambda: the API answers 5xx
    cold: Series  # answered after a cold start
    spilled: Series  # answered on demand because all provisioned environments were busy
    provisioned: Series  # answered by provisioned environments
    concurrency: Series  # environments that were at work
    environments: Series  # all that existed

    @property
    def answered(self) -> Series:
        """Requests that were answered."""
        return self.offered - self.refused - self.throttled


def simulate(
    rates: Series, service: ServiceProfile, plan: Sequence[ProvisioningPlan] = ()
) -> Course:
    """Return what happens when `rates` (requests in each second) reach the service."""
    let_through = limit(rates, service.throttle_rate, service.throttle_burst)
    most = REQUESTS_PER_CONCURRENCY * service.concurrency
    admitted = limit(let_through, most, most)
    ready = np.zeros(len(rates), dtype=np.int64)
    for one in plan:
        ready[max(0, find_ready(one)) : max(0, one.end)] += one.environments
    seconds = service.warm_ms / 1000
    given = zip(
        admitted.tolist(), find_loads(admitted, seconds).tolist(), ready.tolist(), strict=True
    )
    parts = [spill(rate, load, provisioned, seconds) for rate, load, provisioned in given]
    on_demand = _OnDemand(service)
    on_demand.warm = on_demand.count_used(parts[0])  # traffic did not begin with the curve
    columns = [
        (part.spilled, part.kept, *on_demand.run_second(now, part, int(provisioned)))
        for now, (part, provisioned) in enumerate(zip(parts, ready, strict=True))
    ]
    spilled, kept, cold, throttled, at_work, environments = np.array(columns).T
    # Where slices meet the edge of a second, more may start than are spilled on average.
    spilled = np.where(ready > 0, np.maximum(spilled - throttled, cold), 0)
    return Course(
        offered=rates,
        refused=rates - let_through,
        throttled=throttled + let_through - admitted,
        cold=cold,
        spilled=spilled,
        provisioned=np.where(ready > 0, admitted - throttled - spilled, 0),
        concurrency=kept + at_work,
        environments=environments + ready,
    )


def limit(rates: Series, rate: float, burst: float) -> Series:
    """Return the requests that pass a token bucket of `burst` tokens, `rate` of them a second."""
    tokens = burst
    passed = []
    for offered in rates.tolist():
        allowed = min(offered, tokens + rate)
        tokens = min(burst, tokens + rate - allowed)
        passed.append(allowed)
    return np.array(passed)


def find_loads(rates: Series, seconds: float) -> Series:
    """Return the mean number of requests in progress in each second, if each takes `seconds`."""
    width = max(1, round(seconds))
    before = np.full(width - 1, rates[0])
    means = np.convolve(np.concatenate([before, rates]), np.ones(width) / width, "valid")
    loads: Series = means * seconds
    return loads


@dataclass(frozen=True)
class Spill:
    """The requests of a second that provisioned environments leave to those on demand.

    `rate` requests a second, a load of `load`, are first offered to `servers` provisioned
    environments; `spilled` of them find these busy.
    """

    spilled: float  # requests
    kept: float  # requests in progress in provisioned environments that are not among `servers`
    rate: float
    load: float
    servers: int


def spill(rate: float, load: float, provisioned: int, seconds: float) -> Spill:
    """Return the requests that go on to environments on demand.

    Requests spill when all provisioned environments are busy. Requests of less than 100 ms also
    spill when there are more than ten a second for each of these environments.
    """
    kept = REQUESTS_PER_CONCURRENCY * provisioned
    if provisioned and rate > kept and seconds * REQUESTS_PER_CONCURRENCY < 1:
        answered = kept * (1 - find_blocked(provisioned, kept * seconds))
        spilled = rate - answered
        return Spill(spilled, answered * seconds, spilled, spilled * seconds, 0)
    return Spill(rate * find_blocked(provisioned, load), 0, rate, load, provisioned)


@dataclass
class _OnDemand:
    """The on-demand environments of one function: those that are ready, and those that start."""

    service: ServiceProfile
    warm: float = 0
    starting: deque[tuple[float, float]] = field(default_factory=deque)  # when ready, how many
    budget: float = START_BURST

    def run_second(
        self, now: int, part: Spill, provisioned: int
    ) -> tuple[float, float, float, float]:
        """Return cold and throttled requests of a second, and environments: at work, and all."""
        seconds = (self.service.cold_ms + self.service.warm_ms) / 1000
        quota = max(0, self.service.concurrency - provisioned)
        self._finish_starts(now)
        blocked = find_blocked(part.servers + min(self.warm, quota), part.load)
        slices = math.ceil(SLICES / min(1, seconds)) if part.rate * blocked > QUIET else 1
        cold = throttled = at_work = environments = 0.0
        for index in range(slices):
            time = now + index / slices
            self._finish_starts(time + 0.5 / slices)  # rounded to the nearest slice
            warm = min(self.warm, quota)
            starting = sum(count for _, count in self.starting)
            blocked = find_blocked(part.servers + warm, part.load)
            wanted = part.rate * blocked / slices
            started = min(wanted, self.budget, max(0.0, quota - warm - starting))
            if started:
                self.starting.append((time + seconds, started))
            self.budget = min(START_BURST, self.budget - started + STARTS_PER_SECOND / slices)
            cold += started
            throttled += wanted - started
            starting += started * min(1, slices * seconds)
            at_work = max(at_work, part.load * (1 - blocked) + starting)
            environments = max(environments, self.warm + starting)
        # Unused environments end after `idle_seconds` on average: AWS does not document when.
        unused = max(0.0, self.warm - self.count_used(part))
        self.warm -= unused / max(1, self.service.idle_seconds)
        return cold, throttled, at_work, environments

    def _finish_starts(self, now: float) -> None:
        while self.starting and self.starting[0][0] <= now:
            self.warm += self.starting.popleft()[1]

    def count_used(self, part: Spill) -> int:
        """Return how many environments get a request at least every `idle_seconds`."""
        uses = part.rate * self.service.idle_seconds
        return max(0, count_needed(part.load, min(1.0, 1 / uses)) - part.servers) if uses else 0
