"""The companion stack: its schedule is what `infra simulate` recommends and AWS takes."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any
from zoneinfo import ZoneInfo

import boto3
import numpy as np
import pytest
from moto import mock_aws

from infra.release.freeze import estimate_duration, find_freeze
from infra.simulation.advice import format_time, recommend_plan
from infra.simulation.curve import read_curve
from infra.simulation.plan import ProvisioningPlan, find_ready
from infra.simulation.scaling import simulate
from infra.simulation.service import ServiceProfile
from tests.sam_template import ROOT, Template, parse, properties

TEMPLATE = parse((ROOT / "infra/stacks/black-friday.yaml").read_text("utf-8"))
CURVE = read_curve("black-friday")
SERVICE = ServiceProfile(10, 1000, throttle_rate=5000, throttle_burst=5000)
FUNCTION = "serverless-onnx-InferenceFunction-XyzAbc123"
GIVEN = {  # by the service's outputs
    "ServiceStack": "serverless-onnx",
    "FunctionName": FUNCTION,
    "AlarmTopicArn": "arn:aws:sns:eu-west-1:123456789012:serverless-onnx-AlarmTopic-Abc",
}

EVENT = {"Environments": 50, "Begin": "2026-11-27T05:30:00", "End": "2026-11-28T00:15:00"}
NONE_YET = {"MinCapacity": 0, "MaxCapacity": 0}


def resolve(node: Any, values: Mapping[str, Any]) -> Any:
    """Do what CloudFormation does with Ref, Sub and If; leave out what has no value."""
    match node:
        case {"Ref": name}:
            return values[name]
        case {"Fn::Sub": str(text)}:
            return re.sub(r"\$\{(.+?)\}", lambda found: str(values[found[1]]), text)
        case {"Fn::If": [condition, then, otherwise]}:
            return resolve(then if values[condition] else otherwise, values)
        case dict():
            return {key: resolve(value, values) for key, value in node.items()}
        case list():
            return [resolve(value, values) for value in node]
        case _:
            return node


def fill(**parameters: Any) -> Template:
    """Return the resources of a stack with these parameters, each checked as AWS checks it."""
    values: dict[str, Any] = {}
    for name, declared in TEMPLATE["Parameters"].items():
        values[name] = (GIVEN | parameters).get(name, declared.get("Default"))
        if "AllowedPattern" in declared:
            assert re.fullmatch(declared["AllowedPattern"], values[name]), (name, values[name])
        else:
            assert declared["MinValue"] <= values[name] <= declared["MaxValue"], name
    values |= {"FollowsLoad": values["MostEnvironments"] != 0, "Capacity": "capacity"}
    filled: Template = {"Resources": resolve(TEMPLATE["Resources"], values)}
    return filled


@pytest.fixture(scope="module")
def recommended() -> ProvisioningPlan:
    found = recommend_plan(CURVE, SERVICE)
    assert found
    return found


@pytest.fixture(scope="module")
def actions(recommended: ProvisioningPlan) -> dict[str, dict[str, Any]]:
    """What AWS tells of the scheduled actions, by name, for the recommended parameters."""
    stack = fill(
        Environments=recommended.environments,
        Begin=format_time(CURVE, recommended.begin),
        End=format_time(CURVE, recommended.end),
    )
    target = properties(stack, "Capacity")
    same = {key: target[key] for key in ("ServiceNamespace", "ScalableDimension", "ResourceId")}
    with mock_aws():
        client: Any = boto3.client("application-autoscaling", region_name="eu-west-1")
        client.register_scalable_target(
            **same, MinCapacity=target["MinCapacity"], MaxCapacity=target["MaxCapacity"]
        )
        for action in target["ScheduledActions"]:
            client.put_scheduled_action(**same, **action)
        told = client.describe_scheduled_actions(**same)["ScheduledActions"]
    return {action["ScheduledActionName"]: action for action in told}


def read_time(action: Mapping[str, Any]) -> datetime:
    """Read a one-time schedule as `infra deploy` does."""
    time = datetime.fromisoformat(re.fullmatch(r"at\((.+)\)", action["Schedule"])[1])  # type: ignore[index]
    return time.replace(tzinfo=ZoneInfo(action["Timezone"]))


def test_capacity_is_that_of_the_alias_which_the_api_calls() -> None:
    # GIVEN the alias of the service's own template
    alias = properties(parse(), "InferenceFunction")["AutoPublishAlias"]
    target = properties(fill(**EVENT), "Capacity")
    # THEN
    assert target["ResourceId"] == f"function:{FUNCTION}:{alias}"
    assert target["ServiceNamespace"] == "lambda"
    assert target["ScalableDimension"] == "lambda:function:ProvisionedConcurrency"


def test_actions_have_the_names_and_times_that_the_freeze_reads(
    actions: dict[str, dict[str, Any]], recommended: ProvisioningPlan
) -> None:
    assert set(actions) == {"black-friday-begin", "black-friday-end"}
    times = [read_time(actions[f"black-friday-{name}"]) for name in ("begin", "end")]
    assert times == [
        CURVE.begin + timedelta(seconds=second) for second in (recommended.begin, recommended.end)
    ]


def test_environments_are_there_before_the_peak_and_as_many_as_recommended(
    actions: dict[str, dict[str, Any]], recommended: ProvisioningPlan
) -> None:
    # GIVEN the first second with more than a tenth of the highest traffic
    first = int(np.flatnonzero(CURVE.rates > CURVE.rates.max() / 10)[0])
    begin = actions["black-friday-begin"]
    started = int((read_time(begin) - CURVE.begin).total_seconds())
    capacity = begin["ScalableTargetAction"]
    # THEN there are a quarter of an hour and more to spare
    assert capacity["MinCapacity"] >= recommended.environments
    ready = find_ready(ProvisioningPlan(capacity["MinCapacity"], started, recommended.end))
    assert ready + 15 * 60 <= first


def test_the_schedule_spares_nearly_all_their_cold_start(
    actions: dict[str, dict[str, Any]],
) -> None:
    begin, end = (
        int((read_time(actions[f"black-friday-{name}"]) - CURVE.begin).total_seconds())
        for name in ("begin", "end")
    )
    count = actions["black-friday-begin"]["ScalableTargetAction"]["MinCapacity"]
    without, with_it = (
        simulate(CURVE.rates, SERVICE, some).cold[begin:].sum()
        for some in ((), [ProvisioningPlan(count, begin, end)])
    )
    assert without > 50
    assert with_it < without / 20


def test_nothing_is_left_before_and_after(actions: dict[str, dict[str, Any]]) -> None:
    # THEN the target begins with nothing, and the last action takes all away
    target = properties(fill(**EVENT), "Capacity")
    assert (target["MinCapacity"], target["MaxCapacity"]) == (0, 0)
    begin, end = (actions[f"black-friday-{name}"] for name in ("begin", "end"))
    assert read_time(begin) < read_time(end)
    assert end["ScalableTargetAction"] == {"MinCapacity": 0, "MaxCapacity": 0}


@pytest.mark.parametrize(
    ("minutes", "frozen"),
    [
        pytest.param(-60, False, id="an hour before"),
        pytest.param(-10, True, id="a canary would still run"),
        pytest.param(10, True, id="begun"),
        pytest.param(24 * 60, False, id="over"),
    ],
)
def test_freezes_releases_from_begin_to_end(
    actions: dict[str, dict[str, Any]], minutes: int, *, frozen: bool
) -> None:
    # GIVEN the capacity that the schedule has set by then
    now = read_time(actions["black-friday-begin"]) + timedelta(minutes=minutes)
    begun = [action for action in actions.values() if read_time(action) <= now]
    capacity = max(begun, key=read_time)["ScalableTargetAction"] if begun else NONE_YET
    target = capacity | {"ResourceId": f"function:{FUNCTION}:live"}
    # WHEN
    reason = find_freeze(
        actions.values(), [target], now, estimate_duration("Canary10Percent10Minutes")
    )
    # THEN
    assert bool(reason) is frozen, reason


@pytest.mark.parametrize(("most", "highest"), [(0, 50), (200, 200)])
def test_grows_with_the_load_only_if_asked(most: int, highest: int) -> None:
    begin, _ = properties(fill(**EVENT, MostEnvironments=most), "Capacity")["ScheduledActions"]
    assert begin["ScalableTargetAction"] == {"MinCapacity": 50, "MaxCapacity": highest}
    assert TEMPLATE["Resources"]["FollowLoad"]["Condition"] == "FollowsLoad"


def test_times_are_of_the_time_zone() -> None:
    begin, _ = properties(fill(**EVENT, Timezone="Europe/Berlin"), "Capacity")["ScheduledActions"]
    assert read_time(begin) == datetime(2026, 11, 27, 4, 30, tzinfo=UTC)


def test_what_it_must_know_of_the_service_is_an_output_of_the_service() -> None:
    groups = TEMPLATE["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    [of_service] = [one["Parameters"] for one in groups if one["Label"]["default"] == "The service"]
    assert set(of_service) == GIVEN.keys()
    assert set(of_service) <= parse()["Outputs"].keys()
    # AND nothing is assumed: with another stack's name its alarms would notify nobody
    assert not any("Default" in TEMPLATE["Parameters"][name] for name in of_service)


@pytest.mark.parametrize("alarm", ["SpilloverAlarm", "UtilizationAlarm"])
def test_alarms_may_publish_to_the_topic_of_the_service(alarm: str) -> None:
    # GIVEN which alarms the service's topic and key take
    (statement,) = properties(parse(), "AlarmTopicPolicy")["PolicyDocument"]["Statement"]
    values = {
        "AWS::Partition": "aws",
        "AWS::Region": "eu-west-1",
        "AWS::AccountId": "123456789012",
        "AWS::StackName": GIVEN["ServiceStack"],
    }
    taken = resolve(statement["Condition"]["ArnLike"]["aws:SourceArn"], values)
    # THEN
    name = properties(fill(**EVENT), alarm)["AlarmName"]
    assert fnmatchcase(f"arn:aws:cloudwatch:eu-west-1:123456789012:alarm:{name}", taken)


@pytest.mark.parametrize("alarm", ["SpilloverAlarm", "UtilizationAlarm"])
def test_alarms_watch_the_alias(alarm: str) -> None:
    watched = properties(fill(**EVENT), alarm)
    assert {one["Name"]: one["Value"] for one in watched["Dimensions"]} == {
        "FunctionName": FUNCTION,
        "Resource": f"{FUNCTION}:live",
    }
    assert watched["AlarmActions"] == [GIVEN["AlarmTopicArn"]]


@pytest.mark.parametrize(
    "wrong",
    [
        {"Begin": "27.11.2026 05:30"},
        {"End": "2026-11-28"},
        {"Environments": 0},
        {"FunctionName": f"{FUNCTION}:live"},
        {"Timezone": "CET+1"},
    ],
)
def test_parameters_that_aws_would_only_fail_on_later_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(AssertionError):
        fill(**EVENT | wrong)
