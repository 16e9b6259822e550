"""A stack inside a stack: its alarms and dashboards, and how CloudFormation shows it."""

import json
from pathlib import Path
from typing import Any

import pytest

from infra.local.control.api_resources import Stages
from infra.local.errors import TemplateError, UpdateError
from infra.local.platform import Platform
from infra.local.stack import read_stack
from tests.canary_stack import read_alias, rebuild
from tests.tiny_stack import REGION, STACK_NAME, Starter, connect

PARENT = """
  Monitoring:
    Type: AWS::CloudFormation::Stack
    Properties:
      TemplateURL: Monitoring/template.yaml
      Parameters:
        Limit: !Ref Burst
        Version: !GetAtt InferenceFunction.Version.Version
        Prefix: !Ref AWS::StackName
"""
OUTPUTS = """
Outputs:
  Board: {Value: !Sub "see ${Monitoring.Outputs.Board}"}
  Alarm: {Value: !GetAtt Monitoring.Outputs.Alarm}
"""
NESTED = """
AWSTemplateFormatVersion: "2010-09-09"
Parameters:
  Limit: {Type: Number}
  Version: {Type: String}
  Prefix: {Type: String}
  Title: {Type: String, Default: shop}
Conditions:
  IsLoud: !Equals [!Ref Limit, 1]
Resources:
  Board:
    Type: AWS::CloudWatch::Dashboard
    Properties:
      DashboardName: !Sub "${Prefix}-board"
      DashboardBody: !Sub '{"widgets": [], "alarm": "${ErrorsAlarm.Arn}", "version": "${Version}"}'
  ErrorsAlarm:
    Type: AWS::CloudWatch::Alarm
    Properties:
      Namespace: Shop
      MetricName: Errors
      Statistic: Sum
      Period: 60
      EvaluationPeriods: 1
      ComparisonOperator: GreaterThanThreshold
      Threshold: !Ref Limit
  LoudAlarm:
    Type: AWS::CloudWatch::Alarm
    Condition: IsLoud
    Properties:
      AlarmName: !Sub "${Prefix}-loud"
      Namespace: Shop
      MetricName: Errors
      Statistic: Sum
      Period: 60
      EvaluationPeriods: 1
      ComparisonOperator: GreaterThanThreshold
      Threshold: 0
Outputs:
  Board: {Description: Its name, Value: !Ref Board}
  Alarm: {Value: !GetAtt ErrorsAlarm.Arn}
"""


@pytest.fixture
def build(build: Path) -> Path:
    template = build / "template.yaml"
    text = template.read_text()
    template.write_text(text[: text.index("Outputs:")] + PARENT[1:] + OUTPUTS[1:])
    (build / "Monitoring").mkdir()
    (build / "Monitoring" / "template.yaml").write_text(NESTED[1:])
    return build


def describe(local: Platform, name: str) -> Any:
    [stack] = connect(local, "cloudformation").describe_stacks(StackName=name)["Stacks"]
    return stack


def list_resources(local: Platform, name: str) -> dict[str, tuple[str, str]]:
    found = connect(local, "cloudformation").list_stack_resources(StackName=name)
    return {
        one["LogicalResourceId"]: (one["ResourceType"], one["PhysicalResourceId"])
        for one in found["StackResourceSummaries"]
    }


def list_alarms(local: Platform) -> dict[str, float]:
    found = local.cloudwatch.describe_alarms()["MetricAlarms"]
    return {alarm["AlarmName"]: alarm["Threshold"] for alarm in found}


def read_board(local: Platform) -> Any:
    return json.loads(local.cloudwatch.get_dashboard(DashboardName="shop-board")["DashboardBody"])


async def test_is_created_with_its_parent(local: Platform) -> None:
    # GIVEN a stack with a nested one WHEN its parent's resources are listed
    kind, stack_id = list_resources(local, "shop")["Monitoring"]
    # THEN it is one of them, and a stack of its own
    assert kind == "AWS::CloudFormation::Stack"
    nested = describe(local, stack_id)
    name = nested["StackName"]
    assert name.startswith("shop-Monitoring-")
    assert nested["StackId"] == stack_id
    assert (nested["StackStatus"], nested["ParentId"], nested["RootId"]) == (
        "CREATE_COMPLETE",
        *[describe(local, "shop")["StackId"]] * 2,
    )
    values = {one["ParameterKey"]: one["ParameterValue"] for one in nested["Parameters"]}
    assert values == {"Limit": "1000", "Version": "1", "Prefix": "shop", "Title": "shop"}
    # AND what it holds exists, under names that begin with the parent's
    assert list_resources(local, name) == {
        "Board": ("AWS::CloudWatch::Dashboard", "shop-board"),
        "ErrorsAlarm": ("AWS::CloudWatch::Alarm", f"{name}-ErrorsAlarm"),
    }
    assert list_alarms(local) == {f"{name}-ErrorsAlarm": 1000}
    # AND its outputs are the parent's to use
    arn = f"arn:aws:cloudwatch:eu-west-1:123456789012:alarm:{name}-ErrorsAlarm"
    outputs = {one["OutputKey"]: one["OutputValue"] for one in describe(local, "shop")["Outputs"]}
    assert outputs == {"Board": "see shop-board", "Alarm": arn}
    assert read_board(local) == {"widgets": [], "alarm": arn, "version": "1"}
    told = connect(local, "cloudformation").get_template(StackName=name)["TemplateBody"]
    assert set(told["Resources"]) == {"Board", "ErrorsAlarm", "LoudAlarm"}


@pytest.mark.parametrize("kind", ["AWS::CloudFormation::Stack", "AWS::Serverless::Application"])
async def test_follows_its_parent(start: Starter, build: Path, kind: str) -> None:
    # GIVEN either way in which a template holds another
    template = build / "template.yaml"
    if kind == "AWS::Serverless::Application":
        text = template.read_text().replace("AWS::CloudFormation::Stack", kind)
        template.write_text(text.replace("TemplateURL", "Location"))

    def read(body: str | None, parameters: Any) -> Any:
        return read_stack(build, STACK_NAME, REGION, parameters, body)

    local = await start(read=read)
    _, stack_id = list_resources(local, "shop")["Monitoring"]
    # WHEN the parent is released with another parameter
    rebuild(build)
    release = await local.release(read_stack(build, STACK_NAME, REGION, {"Burst": "1"}))
    # THEN the nested stack is the same one, and as the parent wants it now
    assert release.is_promoted
    assert list_resources(local, "shop")["Monitoring"] == ("AWS::CloudFormation::Stack", stack_id)
    nested = describe(local, stack_id)
    assert nested["StackStatus"] == "UPDATE_COMPLETE"
    assert list_alarms(local) == {f"{nested['StackName']}-ErrorsAlarm": 1, "shop-loud": 0}
    assert read_board(local)["version"] == "2"


async def test_goes_back_with_its_parent(
    local: Platform, build: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # GIVEN a release that fails when everything has changed
    before = list_alarms(local)

    put = Stages.put

    async def fail(stages: Stages, *arguments: Any) -> Any:
        if "shop-loud" in list_alarms(local) and read_alias(local) == ("2", {}):
            raise UpdateError("no more room")
        return await put(stages, *arguments)

    monkeypatch.setattr("infra.local.control.api_resources.Stages.put", fail)
    # WHEN
    rebuild(build)
    release = await local.release(read_stack(build, STACK_NAME, REGION, {"Burst": "1"}))
    # THEN
    assert not release.is_promoted
    assert list_alarms(local) == before
    assert read_board(local)["version"] == "1"
    _, stack_id = list_resources(local, "shop")["Monitoring"]
    nested = describe(local, stack_id)
    assert nested["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    assert "1000" in {one["ParameterValue"] for one in nested["Parameters"]}


async def test_goes_when_the_parent_drops_it(local: Platform, build: Path) -> None:
    template = build / "template.yaml"
    text = template.read_text()
    template.write_text(text[: text.index("  Monitoring:")] + "Outputs: {}\n")
    _, stack_id = list_resources(local, "shop")["Monitoring"]

    assert (await local.release(read_stack(build, STACK_NAME, REGION))).is_promoted

    assert "Monitoring" not in list_resources(local, "shop")
    assert list_alarms(local) == {}
    assert describe(local, stack_id)["StackStatus"] == "DELETE_COMPLETE"


@pytest.mark.parametrize(
    "url", ["/etc/passwd", "../template.yaml", "https://example.com/t.yaml", "Other/template.yaml"]
)
def test_its_template_is_where_sam_build_leaves_it(build: Path, url: str) -> None:
    body = (build / "template.yaml").read_text().replace("Monitoring/template.yaml", url)
    with pytest.raises(TemplateError, match=r"template of nested stack Monitoring is .*, expected"):
        read_stack(build, STACK_NAME, REGION, body=body)


def test_says_which_parameter_it_misses(build: Path) -> None:
    template = build / "template.yaml"
    template.write_text(template.read_text().replace("        Limit: !Ref Burst\n", ""))
    with pytest.raises(TemplateError, match=r"\[Limit\] must have values"):
        read_stack(build, STACK_NAME, REGION)


async def test_says_what_it_cannot_hold(start: Starter, build: Path) -> None:
    nested = build / "Monitoring" / "template.yaml"
    nested.write_text(nested.read_text().replace("AWS::CloudWatch::Dashboard", "AWS::Other::Thing"))
    with pytest.raises(TemplateError, match=r"platform has no AWS::Other::Thing \(Board\)"):
        await start()
