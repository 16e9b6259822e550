"""How often the release alarm takes back a good release by mistake, and misses a bad one.

Thousands of releases under random traffic are judged by the template's own expressions and numbers.
numpy calculates these for all releases at once; CloudWatch's evaluator is held against it.
"""

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from infra.cloudwatch.alarms import Alarm, Metric, State, evaluate, read_alarm
from infra.cloudwatch.metric_math import Series
from tests.sam_template import parse, properties

RUNS = 10_000
BEGIN = datetime(2026, 11, 27, 12, tzinfo=UTC)  # of the release
BEFORE = 8  # minutes with the old version alone, all that the alarm may look at
DELAY = 3  # half minutes until CloudWatch has a value: a minute or two
TEN_MINUTES = [0.1] * 10

OPERATIONS: Mapping[type[ast.AST], np.ufunc] = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.divide,
    ast.Gt: np.greater,
    ast.Eq: np.equal,
    ast.And: np.logical_and,
    ast.Or: np.logical_or,
}

type Counts = Mapping[str, NDArray[np.int64]]  # by the metric's id: run x half minute


@dataclass(frozen=True)
class Traffic:
    """Requests a second, and the share of them that fails, in each half minute.

    `client` of all requests fail in any version. The new version also fails for `extra` of all. It
    has `shares` of the requests, minute by minute.
    """

    rate: float
    client: float | Sequence[float] = 0
    extra: float = 0
    shares: Sequence[float] = tuple(TEN_MINUTES)

    def draw(self, runs: int = RUNS, seed: int = 7) -> Counts:
        """Draw what is counted, from BEFORE minutes before the release on."""
        rng = np.random.default_rng(seed)
        shares = np.repeat([0.0] * BEFORE + list(self.shares), 2)
        client = np.broadcast_to(self.client, len(self.shares) * 2)
        failing = np.concatenate([np.full(2 * BEFORE, client[0]), client])
        sent = rng.poisson(30 * self.rate, (runs, len(shares)))
        requests = rng.binomial(sent, shares)
        bad = rng.binomial(requests, np.minimum(1, failing + self.extra))
        others_bad = rng.binomial(sent - requests, failing)
        return {
            "requests": requests,
            "bad": bad,
            "all_requests": sent,
            "all_bad": bad + others_bad,
        }


@pytest.fixture(scope="module")
def alarm() -> Alarm:
    return read()


def read() -> Alarm:
    """Read the alarm on server errors, at the template's own limit."""
    template = parse()
    limit = template["Parameters"]["MaxErrorPercent"]["Default"]
    wanted = properties(template, "ReleaseServerErrorsAlarm")
    return read_alarm("release", {**wanted, "Threshold": limit})


def ring(alarm: Alarm, counts: Counts) -> NDArray[np.int64]:
    """Return for each run the minute after which the alarm first rings, 0 if it never does."""
    minutes = counts["requests"].shape[1] // 2 - BEFORE
    bad = np.array(
        [
            sum(breaches(alarm, counts, minute, age) for age in range(alarm.periods))
            for minute in range(1, minutes + 1)
        ]
    )
    rings = bad >= alarm.datapoints
    return np.where(rings.any(axis=0), rings.argmax(axis=0) + 1, 0)


def breaches(alarm: Alarm, counts: Counts, minute: int, age: int) -> NDArray[np.int64]:
    """Tell for each run, by 1 or 0, whether the window that ended `age` windows before breaches."""
    seen = {name: look(alarm, one, minute, age) for name, one in counts.items()}
    return (percent(alarm, seen) > alarm.threshold).astype(np.int64)


def look(alarm: Alarm, counts: NDArray[np.int64], minute: int, age: int) -> NDArray[np.int64]:
    """Sum up what is known at a minute of the window that ended `age` windows before."""
    now = 2 * (BEFORE + minute)
    length = alarm.period // 30
    end = min(now - age * length, now - DELAY)
    return counts[:, max(0, now - (age + 1) * length) : end].sum(axis=1)


def percent(alarm: Alarm, seen: Counts) -> NDArray[np.float64]:
    """Calculate what the alarm watches; a value that does not exist is not a number."""

    def value(node: ast.AST) -> Any:
        match node:
            case ast.Constant(value=number):
                return number
            case ast.Name(id=name):
                return seen[name] if name in seen else expression(name)
            case ast.BinOp(left=left, op=operator, right=right):
                return OPERATIONS[type(operator)](value(left), value(right))
            case ast.Compare(left=left, ops=[operator], comparators=[right]):
                return OPERATIONS[type(operator)](value(left), value(right))
            case ast.BoolOp(op=operator, values=nodes):
                return OPERATIONS[type(operator)].reduce([value(one) for one in nodes])
            case ast.Call(func=ast.Name(id="IF"), args=nodes):
                return np.where(*map(value, nodes))
        raise AssertionError(ast.dump(node))

    def expression(name: str) -> Any:
        text = alarm.expressions[name].replace(" AND ", " and ").replace(" OR ", " or ")
        return value(ast.parse(text, mode="eval").body)

    with np.errstate(divide="ignore", invalid="ignore"):
        found: NDArray[np.float64] = expression(alarm.watched)
    return found


def share(alarm: Alarm, traffic: Traffic) -> float:
    """Return the share of releases that are taken back."""
    return float((ring(alarm, traffic.draw()) > 0).mean())


@pytest.mark.parametrize("rate", [1, 10, 50])
@pytest.mark.parametrize("client", [0, 0.01, 0.1, 0.5])
def test_a_client_that_fails_takes_back_no_good_release(
    alarm: Alarm, rate: float, client: float
) -> None:
    assert share(alarm, Traffic(rate, client)) <= 0.01


@pytest.mark.parametrize("client", [0, 0.1, 0.5])
def test_a_release_that_fails_20_points_more_is_found(alarm: Alarm, client: float) -> None:
    assert share(alarm, Traffic(10, client, 0.2)) >= 0.95


@pytest.mark.parametrize("rate", [1, 10])
@pytest.mark.parametrize("begins", range(8))
def test_a_client_that_begins_to_fail_takes_back_no_good_release(
    alarm: Alarm, rate: float, begins: int
) -> None:
    """The others' requests from before the release must not make it look worse."""
    client = np.where(np.arange(20) < begins, 0, 0.5).tolist()

    assert share(alarm, Traffic(rate, client)) <= 0.01


@pytest.mark.parametrize(
    "shares",
    [
        [0.1] * 5,
        [0.1] * 30,
        [i / 10 for i in range(1, 10)],
        [i / 10 for i in range(1, 10) for _ in "123"],
    ],
    ids=["Canary5", "Canary30", "Linear1", "Linear3"],
)
def test_deployment_types(alarm: Alarm, shares: Sequence[float]) -> None:
    assert share(alarm, Traffic(10, 0.1, shares=shares)) <= 0.01
    assert share(alarm, Traffic(10, 0.1, 0.4, shares=shares)) >= 0.95


def test_a_version_that_only_fails_is_found_whatever_the_client_does(alarm: Alarm) -> None:
    first = ring(alarm, Traffic(10, 0.1, 0.9).draw())

    assert np.unique(first).tolist() == [3]  # minutes, half of them CloudWatch's delay


@pytest.mark.parametrize(
    "traffic",
    [Traffic(0.1, 0.1, 0.5), Traffic(1, 0.1, 0.2), Traffic(10, 0.1, 0.05), Traffic(50, 0.5, 0.05)],
    ids=["trickle", "slow", "usual", "fast"],
)
def test_the_odds_are_those_of_the_alarm_itself(alarm: Alarm, traffic: Traffic) -> None:
    """CloudWatch's evaluator, with its metric math and windows, rings in the same minute."""
    counts = traffic.draw(runs=30)
    minutes = len(TEN_MINUTES)

    for run, first in enumerate(ring(alarm, counts)):
        rings = [
            minute
            for minute in range(1, minutes + 1)
            if evaluate(alarm, record(counts, run, minute), BEGIN + timedelta(minutes=minute)).state
            == State.ALARM
        ]
        assert min(rings, default=0) == first


def record(counts: Counts, run: int, minute: int) -> Any:
    """Return the data of one run that CloudWatch has at a minute."""

    def read(metrics: Mapping[str, Metric], start: datetime, end: datetime) -> Mapping[str, Series]:
        return {name: dict(points(name, metric, start, end)) for name, metric in metrics.items()}

    def points(name: str, metric: Metric, start: datetime, end: datetime) -> Any:
        known = counts[name][run, : 2 * (BEFORE + minute) - DELAY]
        first = round((start - BEGIN).total_seconds() / 30) + 2 * BEFORE
        last = round((end - BEGIN).total_seconds() / 30) + 2 * BEFORE
        for at in range(first, last, metric.period // 30):
            found = known[max(0, at) : max(0, at + metric.period // 30)].sum()
            if found:
                yield start + timedelta(seconds=30 * (at - first)), float(found)

    return read
