"""Releases on the local run change the stack's resources in CloudFormation's order."""

import json
from pathlib import Path

import pytest

from infra.local.control.code_deploy import ReleaseEvent
from infra.local.platform import Platform
from infra.local.stack import read_stack
from tests.tiny_stack import REGION, STACK_NAME

RESOURCES = """
  OneAlarm:
    Type: AWS::CloudWatch::Alarm
    Properties:
      AlarmName: !Sub "${AWS::StackName}-one-v${InferenceFunction.Version.Version}"
      Namespace: Shop
      MetricName: Errors
      Statistic: Sum
      Period: 60
      EvaluationPeriods: 1
      ComparisonOperator: GreaterThanThreshold
      Threshold: 0
  AllAlarm:
    Type: AWS::CloudWatch::CompositeAlarm
    Properties:
      AlarmName: !Sub "${AWS::StackName}-all"
      AlarmRule: !Sub ALARM("${OneAlarm}")
  Early:
    Type: AWS::CloudWatch::Dashboard
    Properties:
      DashboardName: early
      DashboardBody: !Sub '{"widgets": [], "shows": "${OneAlarm}"}'
  Late:
    Type: AWS::CloudWatch::Dashboard
    Properties:
      DashboardName: late
      DashboardBody: !Sub '{"widgets": [], "shows": "${OneAlarm}", "of": "${Api}"}'
"""


@pytest.fixture
def build(build: Path) -> Path:
    """The tiny stack with two dashboards; one of them names the API, and so waits for the alias."""
    template = build / "template.yaml"
    template.write_text(template.read_text().replace("Outputs:", f"{RESOURCES[1:]}Outputs:"))
    return build


async def test_what_waits_for_the_alias_changes_after_it(local: Platform, build: Path) -> None:
    # GIVEN a new release of which it is told what is shown when
    (build / "ModelLayer" / "model" / "model.json").write_text('{"new": true}')
    shown = []

    def show(dashboard: str) -> str:
        body = local.cloudwatch.get_dashboard(DashboardName=dashboard)["DashboardBody"]
        return str(json.loads(body)["shows"])

    def tell(event: ReleaseEvent) -> None:
        described = local.cloudwatch.describe_alarms(AlarmNames=["shop-all"])
        [rule] = [alarm["AlarmRule"] for alarm in described["CompositeAlarms"]]
        shown.append((event.kind, rule, show("early"), show("late")))

    # WHEN it is released
    await local.release(read_stack(build, STACK_NAME, REGION), tell)

    # THEN one dashboard shows the old version's alarm until the alias has moved, and what does not
    # wait for it the new one's from the beginning
    new = 'ALARM("shop-one-v2")', "shop-one-v2"
    assert shown == [("created", *new, "shop-one-v1"), ("promoted", *new, "shop-one-v1")]
    assert show("late") == "shop-one-v2"
