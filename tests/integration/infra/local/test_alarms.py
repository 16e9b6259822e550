"""Percentiles and alarms of the local run, as boto3 and the AWS CLI see them."""

import asyncio
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from infra.cloudwatch.alarms import Metric, read_data
from infra.local.control.alarms import update_states
from infra.local.metrics import Sample, Series
from infra.local.platform import Platform
from infra.local.stack import read_stack
from tests.tiny_stack import Starter

START = datetime(2026, 11, 22, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
ALARMS = """
  ErrorsAlarm:
    Type: AWS::CloudWatch::Alarm
    Properties:
      AlarmName: !Sub "${AWS::StackName}-errors-v${InferenceFunction.Version.Version}"
      AlarmActions: [!Ref Topic]
      Namespace: AWS/Lambda
      MetricName: Errors
      Dimensions:
        - {Name: FunctionName, Value: !Ref InferenceFunction}
        - {Name: Resource, Value: !Sub "${InferenceFunction}:live"}
        - {Name: ExecutedVersion, Value: !GetAtt InferenceFunction.Version.Version}
      Statistic: Sum
      Period: 60
      EvaluationPeriods: 1
      ComparisonOperator: GreaterThanThreshold
      Threshold: !Ref MostErrors
      TreatMissingData: notBreaching
  RateAlarm:
    Type: AWS::CloudWatch::Alarm
    Properties:
      Metrics:
        - {Id: percent, Expression: 100 * errors / requests}
        - Id: errors
          ReturnData: false
          MetricStat:
            Metric: &errors
              Namespace: AWS/Lambda
              MetricName: Errors
              Dimensions: [{Name: FunctionName, Value: !Ref InferenceFunction}]
            Period: 60
            Stat: Sum
        - Id: requests
          ReturnData: false
          MetricStat: {Metric: *errors, Period: 60, Stat: SampleCount}
      EvaluationPeriods: 1
      ComparisonOperator: GreaterThanThreshold
      Threshold: 50
  AnyAlarm:
    Type: AWS::CloudWatch::CompositeAlarm
    Properties:
      AlarmName: !Sub "${AWS::StackName}-any"
      AlarmRule: !Sub ALARM("${ErrorsAlarm}") OR ALARM("${RateAlarm}")
  UnwantedAlarm:
    Type: AWS::CloudWatch::Alarm
    Condition: IsLoud
    Properties: {}
  Topic:
    Type: AWS::SNS::Topic
"""


@pytest.fixture
def build(build: Path) -> Path:
    """The tiny stack, with two alarms."""
    template = build / "template.yaml"
    text = template.read_text().replace("Outputs:", f"{ALARMS}Outputs:")
    text = text.replace("Conditions:", "  MostErrors: {Type: Number, Default: 0}\nConditions:")
    template.write_text(text)
    return build


def put(local: Platform, minute: float, *values: float) -> None:
    series = Series("Shop", "Latency", "Milliseconds", (("service", "shop"),))
    local.metrics.add([Sample(series, (START + MINUTE * minute).timestamp(), list(values))])


LATENCY: Any = {
    "Namespace": "Shop",
    "MetricName": "Latency",
    "Dimensions": [{"Name": "service", "Value": "shop"}],
}


async def test_percentiles_are_those_of_every_value(local: Platform) -> None:
    # GIVEN values that came in different seconds of two minutes
    put(local, 0, *range(51))
    put(local, 0.5, *range(51, 101))
    put(local, 1, 7)
    await local.flush()
    window: Any = {"StartTime": START, "EndTime": START + 5 * MINUTE}

    # WHEN either API is asked THEN it answers
    statistics = local.cloudwatch.get_metric_statistics(
        **LATENCY, **window, Period=60, ExtendedStatistics=["p50", "p99", "p99.9", "PR(:7)"]
    )["Datapoints"]
    assert [point["ExtendedStatistics"] for point in statistics] == [
        {"p50": 50, "p99": 99, "p99.9": pytest.approx(99.9), "PR(:7)": pytest.approx(800 / 101)},
        {"p50": 7, "p99": 7, "p99.9": 7, "PR(:7)": 100},
    ]
    metric = Metric("Shop", "Latency", (("service", "shop"),), "p99", 60)
    assert read_data(local.cloudwatch, {"slow": metric}, START, START + 5 * MINUTE) == {
        "slow": {START: 99, START + MINUTE: 7}
    }
    rank = replace(metric, stat="PR(50:)", period=120)
    assert read_data(local.cloudwatch, {"slow": rank}, START, START + 5 * MINUTE) == {
        "slow": {START: pytest.approx(5000 / 102)}
    }


async def test_percentiles_need_raw_values_that_are_not_negative(local: Platform) -> None:
    """As docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_GetMetricStatistics says."""
    # GIVEN what a person puts there: a value, a set of equal values, others, and a negative value
    data: list[Any] = [
        {"Value": 5},
        {"StatisticValues": {"SampleCount": 3, "Sum": 6, "Minimum": 2, "Maximum": 2}},
        {"StatisticValues": {"SampleCount": 2, "Sum": 3, "Minimum": 1, "Maximum": 2}},
        {"Value": -1},
    ]
    for minute, datum in enumerate(data):
        datum |= {key: LATENCY[key] for key in ("MetricName", "Dimensions")}
        datum |= {"Timestamp": START + MINUTE * minute}
    local.cloudwatch.put_metric_data(Namespace="Shop", MetricData=data)

    # WHEN either API is asked for percentiles THEN the last two have none
    end = START + 5 * MINUTE
    statistics = local.cloudwatch.get_metric_statistics(
        **LATENCY, StartTime=START, EndTime=end, Period=60, ExtendedStatistics=["p90"]
    )["Datapoints"]
    assert [point.get("ExtendedStatistics") for point in statistics] == [
        {"p90": 5},
        {"p90": 2},
        None,
        None,
    ]
    metric = Metric("Shop", "Latency", (("service", "shop"),), "p90", 60)
    assert read_data(local.cloudwatch, {"slow": metric}, START, end) == {
        "slow": {START: 5, START + MINUTE: 2}
    }


async def states(local: Platform) -> dict[str, str]:
    pages = local.cloudwatch.get_paginator("describe_alarms").paginate()
    return {
        one["AlarmName"]: one["StateValue"]
        for page in pages
        for one in (*page["MetricAlarms"], *page["CompositeAlarms"])
    }


async def test_alarms_of_the_template_get_their_states(start: Starter) -> None:
    # GIVEN a local run whose metrics all come from one minute
    local = await start(clock=lambda _: START.timestamp(), watch=False)
    assert await states(local) == {
        "shop-errors-v1": "INSUFFICIENT_DATA",
        "shop-RateAlarm": "INSUFFICIENT_DATA",
        "shop-any": "INSUFFICIENT_DATA",
    }
    # WHEN one of two requests fails, and the minute is over
    async with httpx.AsyncClient(base_url=local.url) as client:
        for path in ("/raise", "/echo"):
            await client.get(path)
    await local.flush()
    update_states(local.cloudwatch, START + MINUTE)

    # THEN the alarms say so
    assert await states(local) == {
        "shop-errors-v1": "ALARM",
        "shop-RateAlarm": "OK",
        "shop-any": "ALARM",
    }
    [alarm] = local.cloudwatch.describe_alarms(AlarmNames=["shop-errors-v1"])["MetricAlarms"]
    assert alarm["StateReason"] == (
        "alarm if 1 of 1 values are above 0; values of the last 3 periods: 1"
    )
    assert alarm["AlarmActions"] == ["arn:aws:sns:eu-west-1:123456789012:shop-Topic"]
    [composite] = local.cloudwatch.describe_alarms(AlarmNames=["shop-any"])["CompositeAlarms"]
    assert composite["StateReason"] == "in state ALARM: shop-errors-v1"

    # AND again when the failure is out of sight
    update_states(local.cloudwatch, START + 4 * MINUTE)
    assert await states(local) == {
        "shop-errors-v1": "OK",
        "shop-RateAlarm": "INSUFFICIENT_DATA",
        "shop-any": "OK",
    }


async def test_a_new_version_gets_alarms_of_its_own(local: Platform, build: Path) -> None:
    # GIVEN alarms that have a state
    for name in await states(local):
        local.cloudwatch.set_alarm_state(AlarmName=name, StateValue="ALARM", StateReason="test")
    # WHEN a version is published, with a parameter changed
    assert await local.publish(read_stack(build, "shop", "eu-west-1", {"MostErrors": "5"})) == "2"

    # THEN its own alarm is new, and the one that it shares with the other version keeps its state
    assert await states(local) == {
        "shop-errors-v1": "ALARM",
        "shop-errors-v2": "INSUFFICIENT_DATA",
        "shop-RateAlarm": "ALARM",
        "shop-any": "ALARM",
    }
    [composite] = local.cloudwatch.describe_alarms(AlarmNames=["shop-any"])["CompositeAlarms"]
    assert composite["AlarmRule"] == 'ALARM("shop-errors-v2") OR ALARM("shop-RateAlarm")'
    [alarm] = local.cloudwatch.describe_alarms(AlarmNames=["shop-errors-v2"])["MetricAlarms"]
    assert {"Name": "ExecutedVersion", "Value": "2"} in alarm["Dimensions"]
    assert alarm["Threshold"] == 5


async def test_an_alarm_that_is_not_understood_has_no_state(local: Platform) -> None:
    # GIVEN an alarm that a person added, with a function that is not known here
    metric: Any = {"Metric": LATENCY, "Period": 60, "Stat": "Sum"}
    local.cloudwatch.put_metric_alarm(
        AlarmName="odd",
        Metrics=[
            {"Id": "change", "Expression": "RATE(m)", "ReturnData": True},
            {"Id": "m", "MetricStat": metric, "ReturnData": False},
        ],
        EvaluationPeriods=1,
        ComparisonOperator="GreaterThanThreshold",
        Threshold=1,
    )
    # WHEN the states are set THEN it says why it has none, and the others have theirs
    update_states(local.cloudwatch, START)
    [alarm] = local.cloudwatch.describe_alarms(AlarmNames=["odd"])["MetricAlarms"]
    assert (alarm["StateValue"], alarm["StateReason"]) == (
        "INSUFFICIENT_DATA",
        "'RATE(m)' is not supported here",
    )
    assert (await states(local))["shop-errors-v1"] == "OK"


@pytest.mark.parametrize("delay", [0, 90])
async def test_states_change_when_a_minute_is_over(start: Starter, delay: float) -> None:
    # GIVEN a local run whose minutes last two seconds
    begun = time.time()

    def clock(now: float) -> float:
        return START.timestamp() + (now - begun) * 30

    local = await start(clock=clock, metric_delay=delay)
    # WHEN a request fails
    failed = clock(time.time())
    async with httpx.AsyncClient(base_url=local.url) as client:
        await client.get("/raise")
    # THEN its alarm soon goes off by itself, when CloudWatch has the metric
    async with asyncio.timeout(30):
        while (await states(local))["shop-errors-v1"] != "ALARM":  # noqa: ASYNC110 moto tells nobody
            await asyncio.sleep(0.1)
    assert clock(time.time()) >= failed + delay
