"""template.yaml, what the SAM translator makes of it, and the stack that is nested in it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from samcli.lib.utils.hash import dir_checksum
from samcli.yamlhelper import yaml_parse
from samtranslator.translator.transform import transform

from infra.project import Project

ROOT = Path(__file__).parents[1]
PROJECT = Project(ROOT)
SOURCE = (ROOT / "template.yaml").read_text("utf-8")
MONITORING = "infra/stacks/monitoring.yaml"
VERSIONED = {
    "InferenceFunction": "CodeUri",
    "RuntimeLayer": "ContentUri",
    "ModelLayer": "ContentUri",
}
ARTIFACTS = {**VERSIONED, "GateFunction": "CodeUri"}

type Template = dict[str, Any]


class NoPolicies:
    """Stands where SAM would ask IAM for the names of managed policies: ours are ARNs."""

    def load(self) -> dict[str, str]:
        raise AssertionError("the template names a managed policy without its ARN")


def parse(source: str = SOURCE) -> Template:
    template: Template = yaml_parse(source)
    return template


def parse_monitoring() -> Template:
    """Read the template of the nested stack, which has no transform."""
    return parse((ROOT / MONITORING).read_text("utf-8"))


def translate(
    template: Template, built: dict[str, Path], parameters: dict[str, Any] | None = None
) -> Template:
    """Do what `sam deploy` and CloudFormation do: upload by digest, then expand the transform."""
    for name, uri in ARTIFACTS.items():
        digest = dir_checksum(str(built[name]))
        template["Resources"][name]["Properties"][uri] = f"s3://artifacts/{digest}"
    translated: Template = transform(template, parameters or {}, NoPolicies())
    return translated


def find(template: Template, kind: str) -> dict[str, Template]:
    """Return the resources of a type by their logical ids."""
    return {
        name: resource
        for name, resource in template["Resources"].items()
        if resource["Type"] == kind
    }


def find_version(template: Template) -> str:
    """Return the logical id of the function's version: a new one publishes a new version."""
    (version,) = find(template, "AWS::Lambda::Version")
    alias = template["Resources"]["InferenceFunctionAliaslive"]["Properties"]
    assert alias["FunctionVersion"] == {"Fn::GetAtt": [version, "Version"]}
    return version


def walk(node: Any) -> Iterator[dict[str, Any]]:
    """Yield every mapping in a template."""
    if isinstance(node, dict):
        yield node
    if isinstance(node, dict | list):
        for child in node.values() if isinstance(node, dict) else node:
            yield from walk(child)


def properties(template: Template, name: str) -> dict[str, Any]:
    found: dict[str, Any] = template["Resources"][name]["Properties"]
    return found
