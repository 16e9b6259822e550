"""The order in which CloudFormation changes the resources of a template."""

from typing import Any

import pytest

from infra.local.dependencies import order_around
from infra.local.errors import TemplateError

RESOURCES: dict[str, Any] = {
    "Dashboard": {"Properties": {"Body": {"Fn::Sub": ["${Url} ${Here}", {"Url": {"Ref": "Api"}}]}}},
    "Api": {"Properties": {"Uri": [{"Fn::Sub": "arn:${AWS::Region}:${Alias}/invocations"}]}},
    "Alias": {"Properties": {"Version": {"Fn::GetAtt": ["Version", "Version"]}}},
    "Composite": {"Properties": {"Rule": {"Fn::Sub": 'ALARM("${Alarm}") OR ALARM("${!Api}")'}}},
    "Alarm": {"Properties": {"Name": {"Fn::Sub": "v${Version.Version}"}}},
    "Version": {"Properties": {"Of": {"Ref": "Function"}, "In": {"Ref": "AWS::Region"}}},
    "Function": {"DependsOn": "Role"},
    "Role": {"DependsOn": ["Key"]},
    "Key": {"Properties": {"Policy": {"Ref": "Parameter"}}},
    "Permission": {"Properties": {"Name": {"Fn::GetAtt": "Alias.Arn"}}},
    "Policy": {"UpdatePolicy": {"Hook": {"Ref": "Dashboard"}}},
}


def test_a_resource_comes_after_all_that_it_names() -> None:
    before, after = order_around(RESOURCES, "Alias")

    assert before == ["Key", "Role", "Function", "Version", "Alarm", "Composite"]
    assert set(after) == {"Api", "Dashboard", "Permission", "Policy"}
    assert after.index("Api") < after.index("Dashboard") < after.index("Policy")


def test_a_name_of_its_own_variable_is_no_resource() -> None:
    named = {"Fn::Sub": ["${Alias}", {"Alias": "x"}]}

    before, _ = order_around(RESOURCES | {"Named": {"Properties": named}}, "Alias")

    assert "Named" in before


def test_resources_that_wait_for_each_other_are_refused() -> None:
    circle = {"One": {"Properties": {"Ref": "Other"}}, "Other": {"DependsOn": "One"}}

    with pytest.raises(TemplateError, match=r"circular dependency between resources: .*One"):
        order_around(circle, "One")
