"""The template's dashboard in the local run's CloudWatch, as CloudFormation would put it there."""

import json
from pathlib import Path
from typing import Any

import pytest

from infra.local.platform import Platform
from infra.local.stack import read_stack
from tests import local_aws
from tests.tiny_stack import Starter

RESOURCES = """
  VersionAlarm:
    Type: AWS::CloudWatch::Alarm
    Properties:
      AlarmName: !Sub ${AWS::StackName}-v${InferenceFunction.Version.Version}
      Namespace: AWS/Lambda
      MetricName: Errors
      Statistic: Sum
      Period: 60
      EvaluationPeriods: 1
      Threshold: 0
      ComparisonOperator: GreaterThanThreshold
  NamelessAlarm:
    Type: AWS::CloudWatch::Alarm
    Properties:
      Namespace: AWS/Lambda
      MetricName: Throttles
      Statistic: Sum
      Period: 60
      EvaluationPeriods: 1
      Threshold: 0
      ComparisonOperator: GreaterThanThreshold
  Dashboard:
    Type: AWS::CloudWatch::Dashboard
    Properties:
      DashboardName: !Sub ${AWS::StackName}-live
      DashboardBody: !Sub
        - |
          {"widgets": [{"type": "alarm", "properties": {
            "title": "${InferenceFunction} ${Price}",
            "alarms": ["${VersionAlarm.Arn}", "${NamelessAlarm.Arn}"]}}]}
        - Price: "16.6667"
Outputs:
  DashboardUrl:
    Value: !Sub https://example.com/#${Dashboard}
"""


@pytest.fixture
async def local(start: Starter, build: Path) -> Platform:
    """Local run of the tiny stack with two alarms and a dashboard."""
    template = build / "template.yaml"
    template.write_text(template.read_text().replace("Outputs:\n", RESOURCES.lstrip("\n")))
    return await start()


def read_properties(local: Platform) -> dict[str, Any]:
    client = local_aws.connect(local.cloud.variables(), "cloudwatch")
    body = client.get_dashboard(DashboardName="shop-live")["DashboardBody"]
    [widget] = json.loads(body)["widgets"]
    names = [arn.rpartition(":")[2] for arn in widget["properties"]["alarms"]]
    held = client.describe_alarms(AlarmNames=names)["MetricAlarms"]
    assert {alarm["AlarmArn"] for alarm in held} == set(widget["properties"]["alarms"])
    return dict(widget["properties"])


async def test_dashboard_shows_the_alarms_of_the_newest_version(
    local: Platform, build: Path
) -> None:
    # GIVEN a stack with a dashboard WHEN it runs THEN everything in the body is resolved
    properties = read_properties(local)
    arn = "arn:aws:cloudwatch:eu-west-1:123456789012:alarm:shop-"
    assert properties["alarms"] == [f"{arn}v1", f"{arn}NamelessAlarm"]
    assert properties["title"] == "shop-InferenceFunction 16.6667"
    # WHEN a version is published THEN its alarms are the ones that are shown
    await local.publish(read_stack(build, "shop", "eu-west-1"))
    assert read_properties(local)["alarms"] == [f"{arn}v2", f"{arn}NamelessAlarm"]


def test_name_of_the_dashboard_can_be_referred_to(build: Path) -> None:
    template = build / "template.yaml"
    template.write_text(template.read_text().replace("Outputs:\n", RESOURCES.lstrip("\n")))
    stack = read_stack(build, "shop", "eu-west-1")
    outputs = stack.outputs(stack.predict())
    assert outputs["DashboardUrl"][0] == "https://example.com/#shop-live"
