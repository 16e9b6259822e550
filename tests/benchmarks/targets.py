"""Targets as ratios within one run, which hold on any machine."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tests.benchmarks.bodies import PLAIN, VALID, BodyCost, compare_costs
from tests.benchmarks.cold import Start
from tests.benchmarks.sizes import Size
from tests.benchmarks.spread import Spread, compare, summarize

LAYER_MB = 105


@dataclass(frozen=True)
class Target:
    """A ratio (by its median) or a number, and the limit that it must not exceed."""

    name: str
    measured: Spread | float
    limit: float

    @property
    def value(self) -> float:
        """What is compared with the limit."""
        return self.measured.median if isinstance(self.measured, Spread) else self.measured

    @property
    def is_met(self) -> bool:
        """Whether the value is within the limit."""
        return self.value <= self.limit


def judge_cold(cold: Mapping[str, Sequence[Start]]) -> list[Target]:
    """Compare our cold start and memory with the others'."""
    totals = {name: [start.total for start in starts] for name, starts in cold.items()}
    memory = {name: [start.rest_mb for start in starts] for name, starts in cold.items()}
    return [
        Target("cold start / floor", compare(totals["ours"], totals["floor"]), 1.25),
        Target("cold start / typical", compare(totals["ours"], totals["typical"]), 1 / 8),
        Target("resident memory / floor", compare(memory["ours"], memory["floor"]), 1.3),
    ]


def judge_warm(warm: Mapping[str, Mapping[str, Sequence[float]]]) -> list[Target]:
    """Compare our handler with the session and the typical handler."""
    one = warm["1 row, JSON"]
    ours, typical = (
        [time - run for time, run in zip(one[name], one["session.run"], strict=True)]
        for name in ("ours", "typical")
    )
    thousand = {
        form: compare(times["ours"], times["session.run"])
        for form in ("JSON", "binary")
        for times in [warm[f"1000 rows, {form}"]]
    }
    return [
        Target("1 row: overhead / typical's", compare(ours, typical), 1 / 5),
        Target("1,000 rows, JSON / session.run", thousand["JSON"], 1.5),
        Target("1,000 rows, binary / session.run", thousand["binary"], 1.1),
    ]


def judge_bodies(costs: Sequence[BodyCost]) -> list[Target]:
    """Compare the most expensive bodies that are small on the wire with valid rows."""
    ratios = [ratio for ratio in compare_costs(costs) if ratio.cost.sent not in {VALID, PLAIN}]
    slowest = max((ratio.time for ratio in ratios), key=lambda spread: spread.median)
    largest = max(ratio.memory for ratio in ratios)
    killed = sum(not cost.status for cost in costs)
    return [
        Target("small hostile body: time / 10,000 rows", slowest, 1),
        Target("small hostile body: memory / 10,000 rows", summarize([largest]), 1),
        Target("bodies that kill an environment", float(killed), 0),
    ]


def judge_size(layer: Size) -> Target:
    """Compare the runtime layer, with its .pyc files, with its budget."""
    return Target("runtime layer, MB unzipped", layer.unzipped / 2**20, LAYER_MB)


def find_failure(targets: Sequence[Target]) -> str:
    """Return which number exceeds its limit, or "". A ratio never fails the benchmark."""
    for target in targets:
        if not isinstance(target.measured, Spread) and not target.is_met:
            return f"{target.name}: {target.value:.1f}, at most {target.limit:g}"
    return ""
