"""What stands in the way of a deploy."""

import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from infra.release.alias import Alias
from infra.release.built_template import BuiltTemplate
from infra.release.deployments import CodeDeployment
from infra.release.findings import (
    Finding,
    Level,
    judge_alarms,
    judge_alias,
    judge_name,
    judge_parameters,
    judge_quota,
    judge_running,
    judge_state,
    judge_values,
)
from infra.release.prepare import PreparedDeploy
from infra.release.target import Target
from infra.stack import FiringAlarm

TARGET = Target("shop", "shop-fn", "live", "app", "group", "5")
ALIAS = Alias("shop-fn", "live", "5", {}, "", "r1")


def build(parameters: dict[str, Any]) -> BuiltTemplate:
    return BuiltTemplate(Path(), {"Parameters": parameters})


TYPE = {"Default": "Canary10Percent10Minutes", "AllowedValues": ["AllAtOnce", "Canary"]}


def judge(parameters: dict[str, Any], **given: str) -> list[Finding]:
    return list(judge_values(build(parameters), given))


def test_the_name_of_the_gate_limits_the_name_of_the_stack() -> None:
    assert len(f"CodeDeployHook_{'s' * 44}_gate") == 64
    assert not list(judge_name("s" * 44))
    [finding] = judge_name("s" * 45)
    assert finding.level == Level.ERROR
    assert "has 45 characters, at most 44" in finding.text


def test_a_parameter_that_the_template_lacks_is_refused() -> None:
    [finding] = judge({"MaxErrorPercent": {}}, MaxErrorPercent="1", MaxErorPercent="2")
    assert finding.level == Level.ERROR
    assert "no parameter MaxErorPercent" in finding.text


def test_a_value_that_the_template_does_not_allow_is_refused() -> None:
    assert not judge({"DeploymentType": TYPE}, DeploymentType="Canary")
    [finding] = judge({"DeploymentType": TYPE}, DeploymentType="Slow")
    assert finding.level == Level.ERROR
    assert finding.text == "DeploymentType is 'Slow', expected one of AllAtOnce, Canary"


@pytest.mark.parametrize(
    ("given", "expected"),
    [({}, "Canary10Percent10Minutes"), ({"DeploymentType": "AllAtOnce"}, "AllAtOnce")],
)
def test_the_deployment_type_is_the_templates_unless_it_is_set(
    given: dict[str, str], expected: str
) -> None:
    nothing: Any = None
    template = build({"DeploymentType": TYPE})
    prepared = PreparedDeploy(nothing, nothing, "shop", template, given, resync=False)
    assert prepared.deployment_type == expected


@pytest.mark.parametrize(
    ("status", "text"),
    [
        ("UPDATE_IN_PROGRESS", "wait until that is over"),
        ("UPDATE_ROLLBACK_IN_PROGRESS", "wait until that is over"),
        ("UPDATE_ROLLBACK_FAILED", "aws cloudformation continue-update-rollback --stack-name shop"),
        ("ROLLBACK_COMPLETE", "sam delete --stack-name shop"),
        ("DELETE_FAILED", "see its events"),
    ],
)
def test_a_stack_that_cannot_be_updated_is_refused(status: str, text: str) -> None:
    [finding] = judge_state("shop", status)
    assert finding.level == Level.ERROR
    assert status in finding.text
    assert text in finding.text


@pytest.mark.parametrize(
    "status", ["CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE"]
)
def test_a_stack_at_rest_is_fine(status: str) -> None:
    assert not list(judge_state("shop", status))


SET = {"MaxConcurrency": "1000", "ThrottleRate": "100", "ThrottleBurst": "200", "Other": "9999"}


def test_parameters_that_fit_the_quota_are_fine() -> None:
    assert not list(judge_quota(1000, 1000, "eu-west-1", SET))
    assert not list(judge_quota(10, 10, "eu-west-1", {"Other": "9999", "ThrottleRate": "many"}))


def test_parameters_that_do_not_fit_the_quota_are_reported_with_the_number_to_set() -> None:
    # GIVEN a new account
    wanted = SET | {"ThrottleRate": "101"}
    findings = list(judge_quota(10, 10, "eu-west-1", wanted))
    # THEN 10 executions at a time take 100 requests a second
    assert {finding.level for finding in findings} == {Level.WARNING}
    texts = [finding.text.partition("; or ask for more: ") for finding in findings]
    at_once = "but Lambda runs 10 requests at a time for this account in eu-west-1"
    rate = "but Lambda takes 100 requests a second for this account in eu-west-1"
    assert [text for text, _, _ in texts] == [
        f"MaxConcurrency is 1000, {at_once}: set MaxConcurrency=10",
        f"ThrottleRate is 101, {rate}: set ThrottleRate=100",
        f"ThrottleBurst is 200, {at_once}: set ThrottleBurst=10",
    ]
    asked = [re.findall(r"--desired-value (\d+) ", command) for _, _, command in texts]
    assert asked == [["1000"], ["11"], ["200"]]


@pytest.mark.parametrize(
    ("free", "desired"), [(100, ["1900", "1100"]), (0, ["2000", "1010", "1200"])]
)
def test_what_other_functions_have_reserved_is_asked_for_on_top(
    free: int, desired: list[str]
) -> None:
    findings = judge_quota(1000, free, "eu-west-1", SET)
    asked = [re.findall(r"--desired-value (\d+) ", finding.text) for finding in findings]
    assert asked == [[one] for one in desired]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("many", "Rate is 'many', expected a number"),
        ("nan", "Rate is 'nan', expected a number"),
        ("0", "Rate is 0, expected 1 to 10000"),
        ("10001", "Rate is 10001, expected 1 to 10000"),
    ],
)
def test_a_number_that_the_template_does_not_allow_is_refused(value: str, text: str) -> None:
    [finding] = judge({"Rate": {"Type": "Number", "MinValue": 1, "MaxValue": 10000}}, Rate=value)
    assert (finding.level, finding.text) == (Level.ERROR, text)


def test_an_alias_where_cloudformation_left_it_is_fine() -> None:
    assert not list(judge_alias(ALIAS, TARGET, resync=False, publishes=True))


@pytest.mark.parametrize(
    ("alias", "text"),
    [
        (
            replace(ALIAS, version="4"),
            "and CloudFormation has it on 5: `infra deploy --resync`, which ",
        ),
        (replace(ALIAS, weights={"6": 0.1}), "with a share for 6, and CodeDeploy takes no alias"),
    ],
)
@pytest.mark.parametrize("publishes", [True, None])
def test_an_alias_that_was_moved_by_hand_is_refused(
    alias: Alias, text: str, publishes: bool | None
) -> None:
    [finding] = judge_alias(alias, TARGET, resync=False, publishes=publishes)
    assert finding.level == Level.ERROR
    assert text in finding.text


def test_an_alias_in_transition_is_waited_for() -> None:
    alias = replace(ALIAS, weights={"4": 1.0}, transition="IN_PROGRESS")
    [finding] = judge_alias(alias, TARGET, resync=False, publishes=True)
    assert finding.level == Level.ERROR
    assert finding.text.startswith("live is in transition to version 5 ")
    assert "infra promote" not in finding.text


@pytest.mark.parametrize("alias", [replace(ALIAS, version="4"), replace(ALIAS, weights={"6": 0.1})])
def test_an_alias_that_no_version_will_move_is_left_where_it_is(alias: Alias) -> None:
    # GIVEN a rollback, or a canary by hand, and a deploy that only changes a parameter
    [finding] = judge_alias(alias, TARGET, resync=False, publishes=False)
    assert finding.level == Level.NOTE
    assert finding.text.endswith("no version will be published, so it stays as it is")


def test_a_resync_says_that_the_bad_version_gets_all_traffic() -> None:
    [finding] = judge_alias(replace(ALIAS, version="4"), TARGET, resync=True, publishes=True)
    assert finding.level == Level.NOTE
    assert "version 5 will get ALL traffic" in finding.text
    assert "version 4 will get the traffic back" in finding.text


def test_a_running_deployment_is_refused() -> None:
    now = datetime(2026, 11, 22, tzinfo=UTC)
    finding = judge_running(CodeDeployment("d-1", "InProgress", now, "user", "5", "6", ""))
    assert finding.level == Level.ERROR
    assert "d-1 of version 6 is in progress" in finding.text


def test_operation_alarms_warn_and_release_alarms_do_not_count() -> None:
    firing = [FiringAlarm("shop-ErrorRateAlarm-1X", ""), FiringAlarm("shop-release-latency-v5", "")]
    [finding] = judge_alarms(firing, "shop")
    assert finding.level == Level.WARNING
    assert "shop-ErrorRateAlarm-1X" in finding.text


def parameters(*, publishes: bool | None) -> list[Any]:
    before = {"MaxErrorPercent": "1", "LogRetentionDays": "14"}
    after = {"MaxErrorPercent": "2", "LogRetentionDays": "14", "MaxSlowdown": "3"}
    return list(judge_parameters(before, after, publishes=publishes))


def test_a_parameter_that_changes_alone_takes_effect_without_a_canary() -> None:
    [finding] = parameters(publishes=False)
    assert finding.level == Level.NOTE
    assert finding.text.startswith("MaxErrorPercent changes from 1 to 2 ")
    assert not parameters(publishes=True)
    assert not parameters(publishes=None)
