"""What CloudFormation's intrinsic functions stand for."""

from typing import Any

import pytest

from infra.local.errors import TemplateError
from infra.local.intrinsics import Intrinsics

TEMPLATE: dict[str, Any] = {
    "Mappings": {"Sizes": {"eu-west-1": {"memory": 512}}},
    "Conditions": {
        "IsLoud": {"Fn::Equals": [{"Ref": "Limit"}, "1"]},
        "IsQuiet": {"Fn::Not": [{"Condition": "IsLoud"}]},
        "IsBoth": {"Fn::And": [{"Condition": "IsLoud"}, {"Condition": "IsQuiet"}]},
        "IsEither": {"Fn::Or": [{"Condition": "IsLoud"}, {"Condition": "IsQuiet"}]},
        "IsOn": {"Fn::Equals": [True, "true"]},
        "IsOdd": {"Fn::Wrong": []},
    },
}
VALUES = {"Limit": 1, "Names": ["a", "b"], "AWS::Region": "eu-west-1"}
REFERENCES = {
    "Queue": {"Ref": "https://queue", "Arn": "arn:queue"},
    "Nested": {"Ref": "arn:nested", "Outputs.Board": "board"},
}


def resolve(node: Any, *, lenient: bool = False) -> Any:
    return Intrinsics(TEMPLATE, VALUES, REFERENCES, lenient).resolve(node)


@pytest.mark.parametrize(
    ("node", "value"),
    [
        ({"Ref": "Limit"}, 1),
        ({"Ref": "Queue"}, "https://queue"),
        ({"Fn::GetAtt": ["Queue", "Arn"]}, "arn:queue"),
        ({"Fn::GetAtt": "Queue.Arn"}, "arn:queue"),
        ({"Fn::GetAtt": ["Nested", "Outputs.Board"]}, "board"),
        ({"Fn::Sub": "${Queue.Arn}/${AWS::Region}/${Limit}"}, "arn:queue/eu-west-1/1"),
        ({"Fn::Sub": "see ${Nested.Outputs.Board}"}, "see board"),
        ({"Fn::Sub": "${!Literal} ${Limit}"}, "${Literal} 1"),
        ({"Fn::Sub": ["${Own} ${Limit}", {"Own": {"Ref": "Queue"}}]}, "https://queue 1"),
        ({"Fn::Sub": ["${Own}", {"Own": "16.6667 \\1"}]}, "16.6667 \\1"),
        ({"Fn::Join": ["-", ["a", {"Ref": "Limit"}, True]]}, "a-1-true"),
        ({"Fn::Split": [",", "a,b"]}, ["a", "b"]),
        ({"Fn::Select": ["1", {"Ref": "Names"}]}, "b"),
        ({"Fn::FindInMap": ["Sizes", {"Ref": "AWS::Region"}, "memory"]}, 512),
        ({"Fn::Base64": "ab"}, "YWI="),
        ({"Fn::If": ["IsLoud", "loud", "quiet"]}, "loud"),
        ({"Fn::If": ["IsQuiet", "quiet", {"Ref": "Queue"}]}, "https://queue"),
        ({"Fn::If": ["IsBoth", 1, 2]}, 2),
        ({"Fn::If": ["IsEither", 1, 2]}, 1),
        ({"Fn::If": ["IsOn", 1, 2]}, 1),
        ({"a": {"Ref": "AWS::NoValue"}, "b": [{"Ref": "AWS::NoValue"}, 1]}, {"b": [1]}),
        ({"Condition": {"StringEquals": {"a": "b"}}}, {"Condition": {"StringEquals": {"a": "b"}}}),
        ({"Ref": "Limit", "more": 1}, {"Ref": "Limit", "more": 1}),
    ],
)
def test_functions_stand_for_values(node: Any, value: Any) -> None:
    assert resolve(node) == value


@pytest.mark.parametrize(
    ("node", "error"),
    [
        ({"Ref": "Absent"}, "refers to Absent, which is not there"),
        ({"Fn::GetAtt": ["Queue", "Size"]}, r"refers to Queue\.Size, which is not there"),
        ({"Fn::Sub": "${Queue.Size}"}, r"refers to Queue\.Size, which is not there"),
        ({"Fn::ImportValue": "other"}, r"does not know Fn::ImportValue of 'other'"),
        ({"Fn::Transform": {"Name": "AWS::Include"}}, "does not know Fn::Transform"),
        ({"Fn::If": ["IsOdd", 1, 2]}, "does not know the condition"),
    ],
)
def test_what_is_not_known_is_refused(node: Any, error: str) -> None:
    with pytest.raises(TemplateError, match=error):
        resolve(node)


def test_what_nobody_knows_yet_may_stay() -> None:
    node = {"Fn::Sub": "${Absent} ${Queue.Size} ${Limit}"}
    assert resolve(node, lenient=True) == "${Absent} ${Queue.Size} 1"
    assert resolve({"Fn::GetAtt": ["Absent", "Arn"]}, lenient=True) == "${Absent.Arn}"


def test_a_resource_without_a_condition_is_there() -> None:
    intrinsics = Intrinsics(TEMPLATE, VALUES, REFERENCES)
    assert intrinsics.holds({})
    assert intrinsics.holds({"Condition": "IsLoud"})
    assert not intrinsics.holds({"Condition": "IsQuiet"})
