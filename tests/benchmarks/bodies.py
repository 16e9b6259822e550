"""Hostile bodies: their time and memory at 512 MB, compared with 10,000 valid rows."""

import contextlib
import math
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from infra.local.errors import FunctionError
from infra.local.functions.environment import Environment
from infra.local.functions.runtime_api import RuntimeApi
from infra.local.triggers.event import to_response
from infra.model.trial.open_inference import make_event
from tests.benchmarks.cold import invoke, read_memory
from tests.benchmarks.sample import Sample
from tests.benchmarks.spread import Spread, compare, summarize
from tests.benchmarks.subjects import Subject
from tests.hostile_bodies import Body, hostile_bodies, valid_bodies

MEMORY_MB = 512  # an environment that needs more is killed
VALID, PLAIN = "valid rows", "plain"
# Bytes: as many as 10,000 rows of JSON; nearly as many as the example's contract lets a compressed
# body expand to; and far more.
SIZES = {PLAIN: 800_000, "gzip": 2_800_000, "gzip bomb": 25_000_000}

NEVER = Spread(math.inf, math.inf, math.inf, 0)


@dataclass
class BodyCost:
    """What one body costs; status 0 and no times if it kills the environment."""

    form: str
    name: str
    sent: str
    wire_bytes: int
    status: int = 0
    peak_mb: float = MEMORY_MB
    times: list[float] = field(default_factory=list)  # milliseconds
    times_of_rows: list[float] = field(default_factory=list)  # of the valid rows, in the same turns


@dataclass(frozen=True)
class Ratio:
    """A body compared with the valid rows of its form."""

    cost: BodyCost
    milliseconds: float  # infinite, like the ratio, for a body that kills
    time: Spread
    memory: float


def compare_costs(costs: Sequence[BodyCost]) -> list[Ratio]:
    """Return the ratios of every body to the valid rows of its form."""
    peaks = {cost.form: cost.peak_mb for cost in costs if cost.sent == VALID}
    return [
        Ratio(
            cost,
            summarize(cost.times).median if cost.times else math.inf,
            compare(cost.times, cost.times_of_rows) if cost.times else NEVER,
            cost.peak_mb / peaks[cost.form],
        )
        for cost in costs
    ]


async def measure_bodies(
    subject: Subject, sample: Sample, python: Path, rounds: int, each: int | None
) -> list[BodyCost]:
    """Measure the valid rows of every form, then its first `each` hostile bodies, or all.

    Every body has its own environment, which answers `sample` first. The peak of memory is measured
    after the body was sent once; times come from `rounds` turns of the valid rows and the body.
    """
    small = replace(subject, function=replace(subject.function, memory_mb=MEMORY_MB))
    events = {form: write(body) for form, body in valid_bodies().items()}
    api = RuntimeApi()
    await api.start()
    costs = []
    try:
        for cost, event in choose(each):
            environment = Environment(
                small.function, small.place, python, small.variables, lambda _: None
            )
            try:
                await environment.start(api)
                await invoke(environment, small, sample.event())
                with contextlib.suppress(FunctionError):  # the body killed it
                    await _measure(environment, small, event, events[cost.form], cost, rounds)
            finally:
                await environment.stop()
            costs.append(cost)
    finally:
        await api.stop()
    return costs


def choose(each: int | None) -> Iterator[tuple[BodyCost, bytes]]:
    """Yield the bodies with their events; those that expand too far only once for each form."""
    for body in valid_bodies().values():
        yield BodyCost(body.form, body.name, VALID, len(body.content)), write(body)
    for sent, size in SIZES.items():
        most = 1 if sent == "gzip bomb" else each
        counts = Counter[str]()
        for body in hostile_bodies(size):
            counts[body.form] += 1
            if most is None or counts[body.form] <= most:
                one = body if sent == PLAIN else body.compressed()
                yield BodyCost(one.form, one.name, sent, len(one.content)), write(one)


def write(body: Body) -> bytes:
    """Return the event that the HTTP API makes of a body."""
    return make_event(body.path, body.headers, body.content)


async def _measure(
    environment: Environment,
    subject: Subject,
    event: bytes,
    event_of_rows: bytes,
    cost: BodyCost,
    rounds: int,
) -> None:
    cost.status = to_response(await invoke(environment, subject, event)).status
    cost.peak_mb = read_memory(environment.pid)["VmHWM"]
    for _ in range(rounds):
        for one, times in ((event_of_rows, cost.times_of_rows), (event, cost.times)):
            started = time.perf_counter()
            await invoke(environment, subject, one)
            times.append((time.perf_counter() - started) * 1e3)
