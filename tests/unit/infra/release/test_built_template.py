"""The build against what is deployed."""

from pathlib import Path
from typing import Any

import pytest
from samcli.lib.package.utils import make_zip, zip_folder
from samcli.yamlhelper import yaml_parse

from infra.project import Project
from infra.release.built_template import (
    BuiltTemplate,
    complete,
    publishes,
    read_built_template,
)
from infra.release.errors import ReleaseError

TEMPLATE = """
Parameters:
  DeploymentType: {Type: String, Default: Canary10Percent10Minutes}
  AllowContractChange: {Type: String, Default: "false"}
  MaxAnswerChange: {Type: Number, Default: 10}
  ReleaseAttempt: {Type: Number, Default: 1}
  Rate: {Type: Number, Default: 1}
Resources:
  InferenceFunction:
    Type: AWS::Serverless::Function
    Properties:
      Description: !Sub Serves (attempt ${ReleaseAttempt})
      CodeUri: InferenceFunction
      MemorySize: 1769
      Layers: [!Ref ModelLayer]
      AutoPublishAlias: live
  ModelLayer:
    Type: AWS::Serverless::LayerVersion
    Properties: {ContentUri: ModelLayer}
  GateFunction:
    Type: AWS::Serverless::Function
    Properties: {CodeUri: GateFunction, Timeout: 180}
Outputs:
  FunctionName: {Value: !Ref InferenceFunction}
"""
FOLDERS = ("InferenceFunction", "ModelLayer", "GateFunction")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = Project(tmp_path)
    project.build.mkdir(parents=True)
    (project.build / "template.yaml").write_text(TEMPLATE)
    for name in FOLDERS:
        (project.build / name).mkdir()
        (project.build / name / "file.py").write_text(name)
    return project


@pytest.fixture
def deployed(project: Project) -> Any:
    """Template as SAM CLI sends it: with the keys under which it would upload the folders."""
    template = yaml_parse(TEMPLATE)
    for name in FOLDERS:
        with zip_folder(str(project.build / name), make_zip) as (_, digest):
            properties = template["Resources"][name]["Properties"]
            field = "ContentUri" if name == "ModelLayer" else "CodeUri"
            properties[field] = f"s3://bucket/serverless-onnx-dev/{digest}"
    return template


def test_the_same_files_publish_nothing(project: Project, deployed: Any) -> None:
    assert publishes(read_built_template(project.build), deployed) is False


@pytest.mark.parametrize(
    ("name", "expected"),
    [("InferenceFunction", True), ("ModelLayer", True), ("GateFunction", False)],
)
def test_changed_code_or_model_publishes(
    project: Project, deployed: Any, name: str, expected: bool
) -> None:
    (project.build / name / "file.py").write_text("changed")
    assert publishes(read_built_template(project.build), deployed) is expected


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("MemorySize: 1769", "MemorySize: 3008", True),
        ("Default: 1}\nResources", "Default: 2}\nResources", False),
        ("Timeout: 180", "Timeout: 200", False),
    ],
)
def test_a_changed_setting_of_the_function_publishes(
    project: Project, deployed: Any, before: str, after: str, expected: bool
) -> None:
    assert TEMPLATE.count(before) == 1
    (project.build / "template.yaml").write_text(TEMPLATE.replace(before, after))
    assert publishes(read_built_template(project.build), deployed) is expected


def test_code_in_the_form_of_an_object_is_read_too(project: Project, deployed: Any) -> None:
    properties = deployed["Resources"]["InferenceFunction"]["Properties"]
    _, _, bucket, key = properties["CodeUri"].split("/", 3)
    properties["CodeUri"] = {"Bucket": bucket, "Key": key}
    assert publishes(read_built_template(project.build), deployed) is False


def test_a_stack_without_such_a_function_shows_nothing(project: Project) -> None:
    assert publishes(read_built_template(project.build), {"Resources": {}}) is None


BATCH = """
  BatchLayer:
    Type: AWS::Serverless::LayerVersion
    Properties: {ContentUri: BatchLayer}
  BatchFunction:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: BatchFunction
      Layers: [!Ref BatchLayer]
      AutoPublishAlias: live
"""


@pytest.mark.parametrize(
    ("name", "expected"), [("BatchLayer", False), ("BatchFunction", False), ("ModelLayer", True)]
)
def test_of_several_functions_with_an_alias_the_stacks_output_names_the_released_one(
    project: Project, deployed: Any, name: str, expected: bool
) -> None:
    # GIVEN a function with an alias and a layer of its own, before the stack's
    resources = "Resources:" + BATCH.rstrip()
    template = TEMPLATE.replace("Resources:", resources, 1)
    (project.build / "template.yaml").write_text(template)
    deployed["Resources"] = yaml_parse(template)["Resources"] | deployed["Resources"]
    for folder in ("BatchLayer", "BatchFunction"):
        (project.build / folder).mkdir()
    # WHEN one part changes
    (project.build / name / "file.py").write_text("changed")
    # THEN a version of the released function is published only for its own
    assert publishes(read_built_template(project.build), deployed) is expected


def test_without_a_build_it_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ReleaseError, match="run `sam build`"):
        read_built_template(tmp_path)


@pytest.mark.parametrize(
    ("versions", "publishes", "attempt"),
    [
        (["4", "5"], True, None),
        (["4", "5", "6"], True, "7"),
        (["4", "5", "6"], None, "7"),
        (["4", "5", "6"], False, None),
        (["5", "9", "10"], True, "11"),
    ],
)
def test_what_a_failed_release_left_makes_the_next_one_an_attempt_of_its_own(
    project: Project, versions: list[str], publishes: bool | None, attempt: str | None
) -> None:
    found = complete(
        read_built_template(project.build), {"Rate": "2"}, versions, "5", publishes=publishes
    )

    assert found.pop("ReleaseAttempt", None) == attempt
    # AND what was set for one release does not stay for the next
    assert found == {
        "AllowContractChange": "false",
        "DeploymentType": "Canary10Percent10Minutes",
        "MaxAnswerChange": "10",
        "Rate": "2",
    }


def test_what_is_set_is_not_replaced_by_the_default(project: Project) -> None:
    template = read_built_template(project.build)
    found = complete(template, {"DeploymentType": "AllAtOnce"}, ["5"], "5", publishes=True)
    assert found["DeploymentType"] == "AllAtOnce"


def test_a_template_of_somebody_elses_gets_no_parameters_of_ours() -> None:
    assert complete(BuiltTemplate(Path(), {}), {"A": "1"}, ["5", "6"], "5", publishes=True) == {
        "A": "1"
    }
