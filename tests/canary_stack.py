"""The tiny stack with a gate and an alarm, as a canary needs them, and its minutes are short."""

import json
import textwrap
import time
from pathlib import Path
from typing import Any

from infra.local.platform import Platform
from infra.local.stack import read_stack
from tests.tiny_stack import FUNCTION, REGION, STACK_NAME, Starter, connect, name_release

MINUTE = 0.2  # seconds of this machine
GATE = "CodeDeployHook_shop_gate"
RELEASE = """
      DeploymentPreference:
        Type: !Ref DeploymentType
        Alarms: [!Ref ErrorsAlarm]
        Hooks: {PreTraffic: !Ref GateFunction}
"""
RESOURCES = """
  GateFunction:
    Type: AWS::Serverless::Function
    Properties:
      FunctionName: !Sub "CodeDeployHook_${AWS::StackName}_gate"
      CodeUri: GateFunction
      Handler: gate.handler
      Runtime: python3.13
      Timeout: 20
      Layers: [!Ref RuntimeLayer, !Ref ModelLayer]
      DeploymentPreference: {Enabled: false}
      Environment: {Variables: {INFERENCE_VERSION: !Ref InferenceFunction.Version}}
  ErrorsAlarm:
    Type: AWS::CloudWatch::Alarm
    Properties:
      AlarmName: !Sub "${AWS::StackName}-errors-v${InferenceFunction.Version.Version}"
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
      Threshold: 0
      TreatMissingData: notBreaching
Outputs:
  FunctionVersion:
    Value: !GetAtt InferenceFunction.Version.Version
  DeploymentApplication:
    Value: !Ref ServerlessDeploymentApplication
  DeploymentGroup:
    Value: !Ref InferenceFunctionDeploymentGroup
"""
PARAMETER = """
  DeploymentType:
    Type: String
    Default: Canary10Percent5Minutes
    AllowedValues: [Canary10Percent5Minutes, Canary10Percent30Minutes, AllAtOnce]
Conditions:
"""
# Tries the new version, then does what the model that came with it says; a rollback may pass, but
# for a model that bars it.
HOOK = """
import json
import os
import time

import boto3

with open(f"{os.environ['MODEL_DIR']}/model.json") as file:
    ORDER = json.load(file).get("order", "Succeeded")


def handler(event, context):
    name, _, version = os.environ["INFERENCE_VERSION"].rpartition(":")
    if event and is_rollback(event):
        report(event, "Failed" if ORDER == "bar" else "Succeeded")
        return {"reason": "no way back"}
    answer = boto3.client("lambda").invoke(
        FunctionName=name, Qualifier=version, Payload='{"rawPath": "/raise"}'
    )
    if ORDER == "crash":
        raise ValueError("no such golden sample")
    if ORDER == "wait":
        time.sleep(15)
    if ORDER in {"Succeeded", "Failed", "bar"} and event:
        report(event, "Succeeded" if ORDER == "Succeeded" else "Failed")
    reason = "" if ORDER == "Succeeded" else f"version {version}: {answer['FunctionError']}"
    return {"status": ORDER, "reason": reason, "version": version}


def is_rollback(event):
    told = boto3.client("codedeploy").get_deployment(deploymentId=event["DeploymentId"])
    assert told["deploymentInfo"]["status"] == "InProgress", told
    return "ollback" in told["deploymentInfo"]["creator"]


def report(event, status):
    boto3.client("codedeploy").put_lifecycle_event_hook_execution_status(
        deploymentId=event["DeploymentId"],
        lifecycleEventHookExecutionId=event["LifecycleEventHookExecutionId"],
        status=status,
    )
"""


def add_canary(build: Path) -> Path:
    """Give the tiny stack a gate, an alarm and a deployment type."""
    template = build / "template.yaml"
    text = template.read_text().replace("      Events:\n", f"{RELEASE[1:]}      Events:\n")
    text = text.replace("Conditions:\n", PARAMETER[1:]).replace("Outputs:\n", RESOURCES[1:])
    template.write_text(text)
    (build / "GateFunction").mkdir()
    (build / "GateFunction" / "gate.py").write_text(textwrap.dedent(HOOK))
    return build


async def start_canary(start: Starter) -> Platform:
    """Start its local run, which can be updated from its build."""
    begun = time.time()

    def read(body: str | None, parameters: Any) -> Any:
        return read_stack(start.build, STACK_NAME, REGION, parameters, body)

    return await start(clock=lambda now: begun + (now - begun) * 60 / MINUTE, read=read)


def rebuild(build: Path, order: str = "Succeeded", release: str = "two") -> None:
    """Build another release, whose gate does as `order` says."""
    (build / "ModelLayer" / "model" / "model.json").write_text(json.dumps({"order": order}))
    name_release(build, release)


def read_alias(local: Platform) -> tuple[str, dict[str, float]]:
    alias = connect(local, "lambda").get_alias(FunctionName=FUNCTION, Name="live")
    routing = alias.get("RoutingConfig") or {}
    return alias["FunctionVersion"], routing.get("AdditionalVersionWeights") or {}


def read_status(local: Platform) -> tuple[str, dict[str, str]]:
    [stack] = connect(local, "cloudformation").describe_stacks(StackName="shop")["Stacks"]
    outputs = {one["OutputKey"]: one["OutputValue"] for one in stack["Outputs"]}
    return stack["StackStatus"], outputs


def read_deployment(local: Platform, deployment_id: str) -> Any:
    told = connect(local, "codedeploy").get_deployment(deploymentId=deployment_id)
    return told["deploymentInfo"]
