"""The state of an alarm, on the examples of CloudWatch's own documentation and beyond."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from infra.cloudwatch.alarms import (
    AlarmError,
    Metric,
    MetricData,
    State,
    decide,
    evaluate,
    read_alarm,
)
from infra.cloudwatch.metric_math import Series
from infra.local.metrics import percentile

NOW = datetime(2026, 11, 22, 12, 30, 42, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
OK, ALARM, UNKNOWN = State
RETAINED = "retain current state"

ERRORS: Mapping[str, Any] = {
    "Namespace": "AWS/Lambda",
    "MetricName": "Errors",
    "Dimensions": [{"Name": "FunctionName", "Value": "shop"}, {"Name": "Version", "Value": 7}],
    "Statistic": "Sum",
    "Period": 60,
    "EvaluationPeriods": 1,
    "ComparisonOperator": "GreaterThanThreshold",
    "Threshold": 0,
}


def breaching(notation: str) -> list[bool | None]:
    """Read periods as CloudWatch's documentation writes them: X breaches, - has no data."""
    return [{"X": True, "0": False, "-": None}[letter] for letter in notation.split()]


def recorded(values: Mapping[str, Mapping[int, float]]) -> MetricData:
    """Serve data by statistic and by minute, counted from NOW: -1 is the last whole one."""

    def read(metrics: Mapping[str, Metric], start: datetime, end: datetime) -> Mapping[str, Series]:
        minute = NOW.replace(second=0)
        return {
            key: {
                minute + MINUTE * age: value
                for age, value in values.get(metric.stat, {}).items()
                if start <= minute + MINUTE * age < end
            }
            for key, metric in metrics.items()
        }

    return read


# docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarms-and-missing-data.html, both tables;
# columns: to alarm of 3, periods, missing, ignore, breaching, notBreaching.
@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize(
    ("datapoints", "periods", "missing", "ignored", "bad", "good"),
    [
        (3, "0 - X - X", OK, OK, OK, OK),
        (3, "0 - - - -", OK, OK, OK, OK),
        (3, "- - - - -", UNKNOWN, RETAINED, ALARM, OK),
        (3, "0 X X - X", ALARM, ALARM, ALARM, ALARM),
        (3, "- - X - -", ALARM, RETAINED, ALARM, OK),
        (2, "0 - X - X", ALARM, ALARM, ALARM, ALARM),
        (2, "0 0 X 0 X", ALARM, ALARM, ALARM, ALARM),
        (2, "0 - X - -", OK, OK, ALARM, OK),
        (2, "- - - - 0", OK, OK, ALARM, OK),
        (2, "- - - X -", ALARM, RETAINED, ALARM, OK),
    ],
)
def test_missing_data_is_treated_as_in_the_published_tables(
    datapoints: int,
    periods: str,
    missing: State,
    ignored: State | str,
    bad: State,
    good: State,
    state: State,
) -> None:
    states = {
        treatment: decide(breaching(periods), 3, datapoints, treatment, state)
        for treatment in ("missing", "ignore", "breaching", "notBreaching")
    }

    assert states == {
        "missing": missing,
        "ignore": state if ignored == RETAINED else ignored,
        "breaching": bad,
        "notBreaching": good,
    }


@pytest.mark.parametrize(
    ("periods", "expected"),
    [
        ("- - - - X", OK),
        ("- - - X -", OK),
        ("- - - X 0", OK),
        ("- - X - 0", OK),
        ("- - X - -", ALARM),
    ],
)
def test_intermittent_data_does_not_alarm_too_early(periods: str, expected: State) -> None:
    """The examples under "Avoiding premature transitions to alarm state" of the same page."""
    assert decide(breaching(periods), 3, 3, "missing", OK) == expected


@pytest.mark.parametrize("treatment", ["missing", "ignore", "breaching", "notBreaching"])
@pytest.mark.parametrize(
    ("periods", "expected"),
    [
        ("0 0 X X X 0 0", ALARM),
        ("0 0 0 X X 0 X", ALARM),
        ("X X X 0 0 0 0", OK),
        ("X X 0 X 0 X 0", OK),
        ("X - X - X X 0", ALARM),
    ],
)
def test_three_of_five_count_the_newest_values(
    periods: str, expected: State, treatment: str
) -> None:
    assert decide(breaching(periods), 5, 3, treatment, UNKNOWN) == expected


@pytest.mark.parametrize(
    ("comparison", "values"),
    [
        ("GreaterThanThreshold", {4: OK, 5: OK, 6: ALARM}),
        ("GreaterThanOrEqualToThreshold", {4: OK, 5: ALARM, 6: ALARM}),
        ("LessThanThreshold", {4: ALARM, 5: OK, 6: OK}),
        ("LessThanOrEqualToThreshold", {4: ALARM, 5: ALARM, 6: OK}),
    ],
)
def test_compares_with_the_threshold(comparison: str, values: Mapping[float, State]) -> None:
    alarm = read_alarm("a", {**ERRORS, "ComparisonOperator": comparison, "Threshold": "5"})
    for value, state in values.items():
        assert evaluate(alarm, recorded({"Sum": {-1: value}}), NOW).state == state


def test_only_whole_minutes_before_now_count() -> None:
    alarm = read_alarm("a", {**ERRORS, "TreatMissingData": "notBreaching"})

    # The minute that is not over, and what is older than the evaluation range
    assert evaluate(alarm, recorded({"Sum": {0: 9}}), NOW).state == OK
    assert evaluate(alarm, recorded({"Sum": {-4: 9}}), NOW).state == OK
    # The last value decides, even if it is older than the one evaluation period
    assert evaluate(alarm, recorded({"Sum": {-3: 9}}), NOW).state == ALARM
    assert evaluate(alarm, recorded({"Sum": {-3: 9, -1: 0}}), NOW).state == OK


def test_a_longer_period_slides_every_minute() -> None:
    # GIVEN an alarm over five minutes WHEN it is evaluated THEN these end at the last whole minute
    asked = []

    def read(_: Mapping[str, Metric], start: datetime, end: datetime) -> Mapping[str, Series]:
        asked.append((start, end))
        return {"metric": {end - 5 * MINUTE: 9}}

    alarm = read_alarm("a", {**ERRORS, "Period": 300})
    states = [evaluate(alarm, read, NOW + MINUTE * i).state for i in range(2)]

    minute = NOW.replace(second=0)
    assert asked == [(minute + MINUTE * (i - 15), minute + MINUTE * i) for i in range(2)]
    assert states == [ALARM, ALARM]


def test_short_periods_are_evaluated_every_ten_seconds() -> None:
    alarm = read_alarm("a", {**ERRORS, "Period": 10})
    end = NOW.replace(second=40)

    def read(_: Mapping[str, Metric], __: datetime, end: datetime) -> Mapping[str, Series]:
        return {"metric": {end - timedelta(seconds=10): 9}}

    assert evaluate(alarm, read, NOW) == evaluate(alarm, read, end)
    assert evaluate(alarm, read, NOW).state == ALARM


RATE = {
    **{key: ERRORS[key] for key in ("EvaluationPeriods", "ComparisonOperator")},
    "Threshold": 1,
    "Metrics": [
        {"Id": "percent", "Expression": "100 * errors / requests"},
        *(
            {
                "Id": key,
                "ReturnData": False,
                "MetricStat": {
                    "Metric": {"Namespace": "Shop", "MetricName": key},
                    "Period": 60,
                    "Stat": stat,
                },
            }
            for key, stat in (("errors", "Sum"), ("requests", "SampleCount"))
        ),
    ],
}


def test_evaluates_metric_math() -> None:
    alarm = read_alarm("rate", RATE)

    def state(errors: float, requests: float) -> State:
        data = recorded({"Sum": {-1: errors}, "SampleCount": {-1: requests}})
        return evaluate(alarm, data, NOW).state

    assert (state(1, 100), state(2, 100), state(2, 0)) == (OK, ALARM, UNKNOWN)


LATENCY = {**ERRORS, "ExtendedStatistic": "p99", "Threshold": 500, "Statistic": None}


@pytest.mark.parametrize(
    ("samples", "treatment", "expected"),
    [(999, "ignore", UNKNOWN), (1000, "ignore", ALARM), (1, "evaluate", ALARM), (1, None, ALARM)],
)
def test_a_percentile_of_few_samples_can_be_ignored(
    samples: int, treatment: str | None, expected: State
) -> None:
    """docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/percentiles-with-low-samples.html."""
    alarm = read_alarm("slow", {**LATENCY, "EvaluateLowSampleCountPercentile": treatment})
    data = recorded({"p99": {-1: 900}, "SampleCount": {-1: samples}})

    assert evaluate(alarm, data, NOW).state == expected


def test_low_percentiles_need_samples_too() -> None:
    ignores = {**LATENCY, "EvaluateLowSampleCountPercentile": "ignore"}
    assert read_alarm("slow", {**ignores, "ExtendedStatistic": "p10"}).samples == 100
    assert read_alarm("slow", {**ignores, "ExtendedStatistic": "p50"}).samples == 20


def test_says_why() -> None:
    three = {**ERRORS, "EvaluationPeriods": 3, "DatapointsToAlarm": 2, "Threshold": 0.5}
    result = evaluate(read_alarm("a", three), recorded({"Sum": {-5: 0, -3: 12.5, -1: 1}}), NOW)

    assert (result.state, result.reason) == (
        ALARM,
        "alarm if 2 of 3 values are above 0.5; values of the last 5 periods: 0, 12.5, 1",
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"Threshold": None}, "alarm a: missing or unexpected: float"),
        ({"ComparisonOperator": "GreaterThanUpperThreshold"}, "GreaterThanUpperThreshold"),
        ({"Metrics": RATE["Metrics"][1:]}, "expected one returned id, got 0"),
        ({"Metrics": RATE["Metrics"][:1]}, "expected one period, got 0"),
        ({"Statistic": None}, "'ExtendedStatistic'"),
        ({"EvaluateLowSampleCountPercentile": "ignore"}, "Sum"),
    ],
)
def test_refuses_what_is_no_alarm(changes: Mapping[str, Any], message: str) -> None:
    with pytest.raises(AlarmError, match=message):
        read_alarm("a", {**ERRORS, **changes})


@pytest.mark.parametrize(
    ("percent", "expected"), [(0, 1), (50, 3), (75, 4), (90, 4.6), (99, 4.96), (100, 5)]
)
def test_percentiles_lie_between_the_nearest_values(percent: float, expected: float) -> None:
    assert percentile([5, 3, 1, 4, 2], percent) == pytest.approx(expected)
    assert percentile([7], percent) == 7
