"""The AppSpec in every form that AWS's reference allows, and in those that it does not."""

import json
from typing import Any

import pytest

from infra.release.app_spec import read_app_spec
from infra.release.errors import ReleaseError

VERSIONS = {"Name": "shop-fn", "Alias": "live", "CurrentVersion": "5", "TargetVersion": "6"}
FUNCTION = {"Type": "AWS::Lambda::Function", "Properties": VERSIONS}


def lower(value: Any) -> Any:
    if isinstance(value, dict):
        return {key.lower(): lower(one) for key, one in value.items()}
    return [lower(one) for one in value] if isinstance(value, list) else value


def revision(spec: Any, place: str = "appSpecContent") -> dict[str, Any]:
    content = spec if isinstance(spec, str) else json.dumps(spec)
    return {"revisionType": place, place: {"content": content, "sha256": "ab"}}


SPECS = {
    "list": {"version": 0.0, "Resources": [{"fn": FUNCTION}]},
    "mapping": {"version": 0.0, "Resources": {"fn": FUNCTION}},
    "lower case": lower({"Version": 0.0, "Resources": [{"fn": FUNCTION}]}),
    "lower case mapping": lower({"Version": 0.0, "Resources": {"fn": FUNCTION}}),
    "upper case": {"RESOURCES": [{"fn": {"TYPE": FUNCTION["Type"], "PROPERTIES": VERSIONS}}]},
    "numbers": {"Resources": [{"fn": FUNCTION | {"Properties": {**VERSIONS, "TargetVersion": 6}}}]},
    "YAML": """
version: 0.0
resources:
  - shop-fn:
      type: AWS::Lambda::Function
      properties: {name: shop-fn, alias: live, currentversion: "5", targetversion: 6}
hooks:
  - BeforeAllowTraffic: gate
""",
}


@pytest.mark.parametrize("place", ["appSpecContent", "string"])
@pytest.mark.parametrize("name", SPECS)
def test_versions_are_read_in_every_form(name: str, place: str) -> None:
    assert read_app_spec(revision(SPECS[name], place)) == ("5", "6")


def without(key: str) -> Any:
    rest = {name: value for name, value in VERSIONS.items() if name != key}
    return {"Resources": [{"fn": FUNCTION | {"Properties": rest}}]}


@pytest.mark.parametrize(
    ("held", "problem"),
    [
        ({}, "its revision of type unknown holds no AppSpec"),
        ({"revisionType": "S3", "s3Location": {"bucket": "b"}}, "of type S3 holds no AppSpec"),
        ({"revisionType": "String", "string": {"sha256": "ab"}}, "String holds no AppSpec"),
        (revision("{"), "its AppSpec is neither JSON nor YAML"),
        (revision("[1]"), "its AppSpec has 0 Lambda functions, expected one"),
        (revision("nothing"), "its AppSpec has 0 Lambda functions"),
        (revision({"Resources": "fn"}), "its AppSpec has 0 Lambda functions"),
        (revision({"Resources": ["fn"]}), "its AppSpec has 0 Lambda functions"),
        (revision({"Resources": [{"fn": None}]}), "its AppSpec has 0 Lambda functions"),
        (revision({"Resources": [{"fn": {"Type": "AWS::ECS::Service"}}]}), "0 Lambda functions"),
        (revision({"Resources": {"a": FUNCTION, "b": FUNCTION}}), "2 Lambda functions"),
        (revision(without("CurrentVersion")), "CurrentVersion None, expected a version's number"),
        (revision(without("TargetVersion")), "TargetVersion None, expected a version's number"),
        (
            revision({"Resources": [{"fn": FUNCTION | {"Properties": [1]}}]}),
            "CurrentVersion None",
        ),
        (
            revision(json.dumps(SPECS["list"]).replace('"6"', '"$LATEST"')),
            "TargetVersion '\\$LATEST', expected a version's number",
        ),
        (revision(json.dumps(SPECS["list"]).replace('"6"', "true")), "TargetVersion True"),
    ],
)
def test_what_is_no_appspec_of_a_function_is_reported(held: Any, problem: str) -> None:
    with pytest.raises(ReleaseError, match=problem):
        read_app_spec(held)
