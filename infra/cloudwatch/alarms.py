"""CloudWatch's metric alarms: what they watch, and which state CloudWatch would give them.

Sources: docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/, the pages alarm-evaluation,
alarm-evaluation-window, alarms-and-missing-data and percentiles-with-low-samples.
"""

import operator
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from infra.cloudwatch.metric_math import Series, calculate

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch import CloudWatchClient

# CloudWatch also reads periods before the evaluation periods, in case these have no data. How many
# is not documented; the examples read 5 periods for 3 evaluation periods.
EXTRA_PERIODS = 2
MINUTE = 60

BREACHES: Mapping[str, tuple[Callable[[float, float], bool], str]] = {
    "GreaterThanThreshold": (operator.gt, "above"),
    "GreaterThanOrEqualToThreshold": (operator.ge, "at or above"),
    "LessThanThreshold": (operator.lt, "below"),
    "LessThanOrEqualToThreshold": (operator.le, "at or below"),
}


class State(StrEnum):
    """The state of an alarm."""

    OK = "OK"
    ALARM = "ALARM"
    INSUFFICIENT_DATA = "INSUFFICIENT_DATA"


class AlarmError(ValueError):
    """An alarm's properties are wrong, or not supported here."""


@dataclass(frozen=True)
class Metric:
    """One statistic of a metric: a value for each period (seconds) in which it has data."""

    namespace: str
    name: str
    dimensions: tuple[tuple[str, str], ...]
    stat: str
    period: int


type MetricData = Callable[[Mapping[str, Metric], datetime, datetime], Mapping[str, Series]]


@dataclass(frozen=True)
class Alarm:
    """An alarm on the metric or expression whose id is `watched`.

    It goes to ALARM when `datapoints` of `periods` values breach the threshold. `missing` says how
    it treats periods without data. A percentile of fewer than `samples` values leaves its state.
    """

    name: str
    metrics: Mapping[str, Metric]
    expressions: Mapping[str, str]
    watched: str
    period: int
    periods: int
    datapoints: int
    comparison: str
    threshold: float
    missing: str
    samples: float


@dataclass(frozen=True)
class Evaluation:
    """The state of an alarm, and the reason in words."""

    state: State
    reason: str


def read_alarm(name: str, properties: Mapping[str, Any]) -> Alarm:
    """Read an alarm from its resolved CloudFormation properties, or from DescribeAlarms.

    Raises AlarmError if a property is missing, wrong or not supported here.
    """
    try:
        return _read_alarm(name, properties)
    except (ArithmeticError, KeyError, TypeError, ValueError) as error:
        raise AlarmError(f"alarm {name}: missing or unexpected: {error}") from error


def _read_alarm(name: str, properties: Mapping[str, Any]) -> Alarm:
    queries: Sequence[Mapping[str, Any]] = properties.get("Metrics") or [
        {"Id": "metric", "MetricStat": _simple(properties)}
    ]
    metrics = {one["Id"]: _metric(one["MetricStat"]) for one in queries if one.get("MetricStat")}
    watched = _only("returned id", {one["Id"] for one in queries if one.get("ReturnData", True)})
    period = _only("period", {metric.period for metric in metrics.values()})
    periods = int(properties["EvaluationPeriods"])
    comparison, missing = properties["ComparisonOperator"], properties.get("TreatMissingData")
    if comparison not in BREACHES:
        raise ValueError(comparison)
    ignores = properties.get("EvaluateLowSampleCountPercentile") == "ignore"
    return Alarm(
        name=name,
        metrics=metrics,
        expressions={one["Id"]: one["Expression"] for one in queries if one.get("Expression")},
        watched=watched,
        period=period,
        periods=periods,
        datapoints=int(properties.get("DatapointsToAlarm") or periods),
        comparison=comparison,
        threshold=float(properties["Threshold"]),
        missing=missing or "missing",
        samples=_significant(metrics[watched].stat) if ignores else 0,
    )


def _only[T](what: str, found: Collection[T]) -> T:
    if len(found) != 1:
        raise ValueError(f"expected one {what}, got {len(found)}")
    return next(iter(found))


def _simple(properties: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the metric of an alarm without metric math, in the form that metric math has."""
    return {
        "Metric": properties,
        "Period": properties["Period"],
        "Stat": properties.get("Statistic") or properties["ExtendedStatistic"],
    }


def _metric(query: Mapping[str, Any]) -> Metric:
    metric = query["Metric"]
    return Metric(
        namespace=metric["Namespace"],
        name=metric["MetricName"],
        dimensions=tuple((one["Name"], str(one["Value"])) for one in metric.get("Dimensions", [])),
        stat=query["Stat"],
        period=int(query["Period"]),
    )


def _significant(stat: str) -> float:
    """Return how many samples CloudWatch needs to evaluate a percentile."""
    share = float(stat.removeprefix("p")) / 100
    return 10 / min(share, 1 - share)


def evaluate(
    alarm: Alarm, data: MetricData, now: datetime, state: State = State.INSUFFICIENT_DATA
) -> Evaluation:
    """Return the state that CloudWatch would set at `now` for an alarm that is in `state`.

    Raises ExpressionError if an expression is wrong or not supported here.
    """
    # Evaluated every minute, or every 10 seconds for shorter periods, over a sliding window.
    step = MINUTE if alarm.period >= MINUTE else 10
    end = datetime.fromtimestamp(now.timestamp() // step * step, UTC)
    period = timedelta(seconds=alarm.period)
    times = [end - period * i for i in range(alarm.periods + EXTRA_PERIODS, 0, -1)]
    metrics = data(alarm.metrics, times[0], end)
    if alarm.samples:
        counted = {"samples": replace(alarm.metrics[alarm.watched], stat="SampleCount")}
        samples = sum(data(counted, times[EXTRA_PERIODS], end)["samples"].values())
        if samples < alarm.samples:
            return Evaluation(state, f"{samples:g} samples are too few for a percentile")
    series = calculate(alarm.watched, alarm.expressions, metrics, times)
    values = [series.get(time) for time in times]
    breaches, word = BREACHES[alarm.comparison]
    breaching = [None if value is None else breaches(value, alarm.threshold) for value in values]
    known = ", ".join(f"{value:.6g}" for value in values if value is not None) or "none"
    return Evaluation(
        decide(breaching, alarm.periods, alarm.datapoints, alarm.missing, state),
        f"alarm if {alarm.datapoints} of {alarm.periods} values are {word} {alarm.threshold:g}; "
        f"values of the last {len(values)} periods: {known}",
    )


def decide(
    breaching: Sequence[bool | None], periods: int, datapoints: int, missing: str, state: State
) -> State:
    """Return the state after these periods, oldest first; None is a period without data.

    The newest `periods` values count, however old they are. Only if there are fewer does the rule
    for missing data apply.
    """
    known = [one for one in breaching if one is not None][-periods:]
    lacking = periods - len(known)
    if sum(known) + (lacking if missing == "breaching" else 0) >= datapoints:
        return State.ALARM
    if not lacking or missing in {"breaching", "notBreaching"} or not all(known):
        return State.OK
    if missing == "ignore":
        return state
    if not known:
        return State.INSUFFICIENT_DATA
    # Too few values, all of them breaching: CloudWatch waits in case a good one comes.
    age = len(breaching) - breaching.index(True)
    return State.ALARM if age >= datapoints else State.OK


def read_data(
    client: "CloudWatchClient", metrics: Mapping[str, Metric], start: datetime, end: datetime
) -> Mapping[str, Series]:
    """Read metrics from CloudWatch; `partial(read_data, client)` is a MetricData."""
    queries: list[Any] = [
        {
            "Id": key,
            "MetricStat": {
                "Metric": {
                    "Namespace": metric.namespace,
                    "MetricName": metric.name,
                    "Dimensions": [{"Name": n, "Value": v} for n, v in metric.dimensions],
                },
                "Period": metric.period,
                "Stat": metric.stat,
            },
        }
        for key, metric in metrics.items()
    ]
    series: dict[str, dict[datetime, float]] = {key: {} for key in metrics}
    pages = client.get_paginator("get_metric_data").paginate(
        MetricDataQueries=queries, StartTime=start, EndTime=end
    )
    for page in pages:
        for result in page["MetricDataResults"]:
            times = (time.astimezone(UTC) for time in result["Timestamps"])
            series[result["Id"]] |= dict(zip(times, result["Values"], strict=True))
    return series
