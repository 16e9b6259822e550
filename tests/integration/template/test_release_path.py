"""An update must replace nothing that a deployed stack has.

CloudFormation replaces a resource when its logical id, its type or a create-only property changes.
A deployed stack would lose its API's URL, its alias or its topic's subscribers that way.
`release_path.json` lists these for every resource in template.yaml. It was written before its
monitoring became a nested stack, so it shows that the move itself replaced nothing.
"""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from cfnlint.schema import PROVIDER_SCHEMA_MANAGER

from tests.sam_template import Template, parse, parse_monitoring, properties, translate

KNOWN = json.loads(Path(__file__).with_name("release_path.json").read_text("utf-8"))
# Each release publishes new ones. Their logical ids end with a digest, and old ones are retained.
VERSIONED = {"AWS::Lambda::LayerVersion", "AWS::Lambda::Version"}
DIGEST = re.compile(r"\b(InferenceFunctionVersion|ModelLayer|RuntimeLayer)[0-9a-f]{10}\b")


@pytest.fixture(autouse=True)
def _region(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")


def read_identities(template: Template) -> dict[str, Any]:
    """Return the type and the create-only properties of each resource of an expanded template."""
    identities = {}
    for name, resource in template["Resources"].items():
        kind, held = resource["Type"], resource.get("Properties", {})
        schema = PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", kind).schema
        fixed = {path.rpartition("/")[2] for path in schema.get("createOnlyProperties", [])}
        kept = set() if kind in VERSIONED else fixed & held.keys()
        identities[name] = {"Type": kind, **{key: held[key] for key in sorted(kept)}}
    found: dict[str, Any] = json.loads(DIGEST.sub(r"\1", json.dumps(identities)))
    return found


def test_an_update_replaces_nothing(built: dict[str, Path]) -> None:
    identities = read_identities(translate(parse(), built))
    assert {name: identities.get(name) for name in KNOWN} == KNOWN


def test_operation_alarms_and_dashboard_are_in_the_nested_stack() -> None:
    assert set(parse_monitoring()["Resources"]) == {
        "ErrorRateAlarm",
        "LatencyAlarm",
        "ThrottlesAlarm",
        "ConcurrencyAlarm",
        "ModelLoadFailuresAlarm",
        "Dashboard",
    }


def rename_gate(template: Template) -> None:
    properties(template, "GateFunction")["FunctionName"] = "CodeDeployHook_gate"


def rename_alias(template: Template) -> None:
    properties(template, "InferenceFunction")["AutoPublishAlias"] = "prod"


def rename_api(template: Template) -> None:
    template["Resources"]["HttpApi"] = template["Resources"].pop("Api")
    for event in properties(template, "InferenceFunction")["Events"].values():
        event["Properties"]["ApiId"] = {"Ref": "HttpApi"}


@pytest.mark.parametrize("change", [rename_gate, rename_alias, rename_api])
def test_replacement_is_found(built: dict[str, Path], change: Any) -> None:
    template = parse()
    change(template)
    assert not KNOWN.items() <= read_identities(translate(template, built)).items()


def test_another_model_changes_nothing_in_the_nested_stack(built: dict[str, Path]) -> None:
    # GIVEN
    before = translate(parse(), built)

    # WHEN
    (built["ModelLayer"] / "content").write_text("ModelLayer 2")
    after = translate(parse(), built)

    # THEN
    replaced = before["Resources"].keys() - after["Resources"].keys()
    assert {DIGEST.sub(r"\1", name) for name in replaced} == {
        "InferenceFunctionVersion",
        "ModelLayer",
    }
    nested = after["Resources"]["Monitoring"]
    assert nested == before["Resources"]["Monitoring"]
    # AND besides the stack's own parameters it refers only to names that no release changes
    parameters = nested["Properties"]["Parameters"].values()
    values = [value for value in parameters if isinstance(value, dict)]
    assert [value for value in values if value.get("Ref") not in after["Parameters"]] == [
        {"Ref": "AWS::StackName"},
        {"Ref": "InferenceFunction"},
        {"Ref": "Api"},
        {"Ref": "AlarmTopic"},
        {"Fn::GetAtt": ["ReleaseAlarm", "Arn"]},
    ]
    assert KNOWN["ReleaseAlarm"]["AlarmName"] == {"Fn::Sub": "${AWS::StackName}-release"}
