"""What API Gateway and Lambda do with a curve of traffic.

Time goes second by second, and in slices of a tenth of a start while many environments start.
Within a slice everything is its expected value: how many requests find all environments busy is
Erlang's loss formula, so nothing is random and no request is followed one by one. What that leaves
out: chance in the number of arrivals (the throttles are buckets of thousands), and how long AWS
keeps an idle environment, which it does not tell. Where requests take as long as a start, it counts
up to a fifth too many cold starts. Sources: docs.aws.amazon.com/lambda/latest/dg/
{scaling-behavior,lambda-concurrency,provisioned-concurrency}.html, and docs.aws.amazon.com/
apigateway/latest/developerguide/http-api-throttling.html.
"""

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from infra.prices import Processor
from infra.simulation.erlang import count_needed, find_blocked

# Lambda starts at most 1,000 environments of a function at once, and 100 more each second after.
START_BURST, STARTS_PER_SECOND = 1000, 100
# Requests per second for each unit of the account's quota, and of provisioned concurrency.
REQUESTS_PER_CONCURRENCY = 10
# Provisioned environments can be used once all are there: a minute or two, and 6,000 a minute.
ALLOCATION_SECONDS, ALLOCATED_PER_SECOND = 120, 100

QUIET = 0.5  # cold starts in a second, up to which the second is one slice
SLICES = 10  # in the time of a start, when it is not quiet


@dataclass(frozen=True)
class Service:
    """What is deployed, how fast it was measured to be, and the account's limits."""

    warm_ms: float
    cold_ms: float  # that a start adds to the request which meets it
    memory_mb: int = 1769
    processor: Processor = "x86_64"
    throttle_rate: float = 100
    throttle_burst: float = 200
    concurrency: int = 1000
    idle_seconds: float = 300


@dataclass(frozen=True)
class Provisioned:
    """Environments that are asked for from second `begin` of the curve to second `end`."""

    environments: int
    begin: int
    end: int


type Series = NDArray[np.float64]


@dataclass(frozen=True)
class Course:
    """What happened: requests in each second; `concurrency` and `environments` are mean numbers."""

    offered: Series
    refused: Series  # by the API's throttle: 429
    throttled: Series  # by Lambda: the API answers 5xx
    cold: Series  # answered after a cold start
    spilled: Series  # answered on demand, though environments were provisioned
    provisioned: Series  # answered by provisioned environments
    concurrency: Series
    environments: Series

    @property
    def answered(self) -> Series:
        """Return the requests that were answered."""
        return self.offered - self.refused - self.throttled


def simulate(rates: Series, service: Service, plan: Sequence[Provisioned] = ()) -> Course:
    """Send `rates` (requests in each second) to the service."""
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
    # Slices and seconds meet at an edge, where more may start than the mean that is spilled.
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
    """Let requests through a token bucket that holds `burst` and gets `rate` a second."""
    tokens = burst
    passed = []
    for offered in rates.tolist():
        allowed = min(offered, tokens + rate)
        tokens = min(burst, tokens + rate - allowed)
        passed.append(allowed)
    return np.array(passed)


def find_loads(rates: Series, seconds: float) -> Series:
    """Return the mean number of requests at work in each second, if each takes `seconds`."""
    width = max(1, round(seconds))
    before = np.full(width - 1, rates[0])
    means = np.convolve(np.concatenate([before, rates]), np.ones(width) / width, "valid")
    loads: Series = means * seconds
    return loads


def find_ready(plan: Provisioned) -> int:
    """Return the second from which provisioned environments answer."""
    return plan.begin + ALLOCATION_SECONDS + math.ceil(plan.environments / ALLOCATED_PER_SECOND)


@dataclass(frozen=True)
class Spill:
    """What is left for environments on demand: `rate` requests a second find `servers` before them.

    `spilled` find no provisioned one. `kept` are at work in those that are not among the servers.
    """

    spilled: float
    kept: float
    rate: float
    load: float
    servers: int


def spill(rate: float, load: float, provisioned: int, seconds: float) -> Spill:
    """Return what goes on to environments on demand.

    Requests spill when all provisioned environments are busy, or when they get more than ten
    requests a second each, though these take less than 100 ms.
    """
    kept = REQUESTS_PER_CONCURRENCY * provisioned
    if provisioned and rate > kept and seconds * REQUESTS_PER_CONCURRENCY < 1:
        answered = kept * (1 - find_blocked(provisioned, kept * seconds))
        spilled = rate - answered
        return Spill(spilled, answered * seconds, spilled, spilled * seconds, 0)
    return Spill(rate * find_blocked(provisioned, load), 0, rate, load, provisioned)


@dataclass
class _OnDemand:
    """The environments on demand of one function: those that wait or work, and those that start."""

    service: Service
    warm: float = 0
    starting: deque[tuple[float, float]] = field(default_factory=deque)  # when ready, how many
    budget: float = START_BURST

    def run_second(
        self, now: int, part: Spill, provisioned: int
    ) -> tuple[float, float, float, float]:
        """Run a second; return cold and throttled requests, and environments: at work and all."""
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
        # Unused ones go, on average after `idle_seconds`: AWS does not tell the time.
        unused = max(0.0, self.warm - self.count_used(part))
        self.warm -= unused / max(1, self.service.idle_seconds)
        return cold, throttled, at_work, environments

    def _finish_starts(self, now: float) -> None:
        while self.starting and self.starting[0][0] <= now:
            self.warm += self.starting.popleft()[1]

    def count_used(self, part: Spill) -> int:
        """Return how many environments a request comes to within `idle_seconds`."""
        uses = part.rate * self.service.idle_seconds
        return max(0, count_needed(part.load, min(1.0, 1 / uses)) - part.servers) if uses else 0
