"""The build against what is deployed, and the arguments that deploy it."""

from pathlib import Path
from typing import Any

import pytest
from samcli.lib.package.utils import make_zip, zip_folder
from samcli.yamlhelper import yaml_parse

from infra.release.build import Build, complete, publishes, read_build
from infra.release.deploy import arguments_of
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
      AutoPublishAlias: live
  ModelLayer:
    Type: AWS::Serverless::LayerVersion
    Properties: {ContentUri: ModelLayer}
  GateFunction:
    Type: AWS::Serverless::Function
    Properties: {CodeUri: GateFunction, Timeout: 180}
"""
FOLDERS = ("InferenceFunction", "ModelLayer", "GateFunction")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "template.yaml").write_text(TEMPLATE)
    for name in FOLDERS:
        (tmp_path / name).mkdir()
        (tmp_path / name / "file.py").write_text(name)
    return tmp_path


@pytest.fixture
def deployed(directory: Path) -> Any:
    """Template as SAM CLI sends it: with the keys under which it would upload the folders."""
    template = yaml_parse(TEMPLATE)
    for name in FOLDERS:
        with zip_folder(str(directory / name), make_zip) as (_, digest):
            properties = template["Resources"][name]["Properties"]
            field = "ContentUri" if name == "ModelLayer" else "CodeUri"
            properties[field] = f"s3://bucket/serverless-onnx-dev/{digest}"
    return template


def test_the_same_files_publish_nothing(directory: Path, deployed: Any) -> None:
    assert publishes(read_build(directory), deployed) is False


@pytest.mark.parametrize(
    ("name", "expected"),
    [("InferenceFunction", True), ("ModelLayer", True), ("GateFunction", False)],
)
def test_changed_code_or_model_publishes(
    directory: Path, deployed: Any, name: str, expected: bool
) -> None:
    (directory / name / "file.py").write_text("changed")
    assert publishes(read_build(directory), deployed) is expected


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("MemorySize: 1769", "MemorySize: 3008", True),
        ("Default: 1}\nResources", "Default: 2}\nResources", False),
        ("Timeout: 180", "Timeout: 200", False),
    ],
)
def test_a_changed_setting_of_the_function_publishes(
    directory: Path, deployed: Any, before: str, after: str, expected: bool
) -> None:
    assert TEMPLATE.count(before) == 1
    (directory / "template.yaml").write_text(TEMPLATE.replace(before, after))
    assert publishes(read_build(directory), deployed) is expected


def test_code_in_the_form_of_an_object_is_read_too(directory: Path, deployed: Any) -> None:
    properties = deployed["Resources"]["InferenceFunction"]["Properties"]
    _, _, bucket, key = properties["CodeUri"].split("/", 3)
    properties["CodeUri"] = {"Bucket": bucket, "Key": key}
    assert publishes(read_build(directory), deployed) is False


def test_a_stack_without_such_a_function_tells_nothing(directory: Path) -> None:
    assert publishes(read_build(directory), {"Resources": {}}) is None


def test_without_a_build_it_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ReleaseError, match="run `sam build`"):
        read_build(tmp_path)


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
    directory: Path, versions: list[str], publishes: bool | None, attempt: str | None
) -> None:
    found = complete(read_build(directory), {"Rate": "2"}, versions, "5", publishes=publishes)

    assert found.pop("ReleaseAttempt", None) == attempt
    # AND what was set for one release does not stay for the next
    assert found == {
        "AllowContractChange": "false",
        "DeploymentType": "Canary10Percent10Minutes",
        "MaxAnswerChange": "10",
        "Rate": "2",
    }


def test_what_is_set_is_not_replaced_by_the_default(directory: Path) -> None:
    build = read_build(directory)
    found = complete(build, {"DeploymentType": "AllAtOnce"}, ["5"], "5", publishes=True)
    assert found["DeploymentType"] == "AllAtOnce"


def test_a_template_of_somebody_elses_gets_no_parameters_of_ours() -> None:
    assert complete(Build(Path(), {}), {"A": "1"}, ["5", "6"], "5", publishes=True) == {"A": "1"}


def test_sam_understands_the_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    # GIVEN values with what a command line could mistake
    from samcli.cli.context import Context
    from samcli.commands.deploy.command import cli as sam_deploy

    monkeypatch.chdir(Path(__file__).parents[4])
    monkeypatch.setenv("SAM_CLI_TELEMETRY", "0")
    overrides = {"Rate": "1", "Text": "two words", "Empty": "", "Email": "a+b=c@example.com"}

    # WHEN SAM CLI itself parses the arguments
    arguments = arguments_of(
        stack="shop", region="eu-west-1", env="prod", overrides=overrides, asks=False
    )
    context = sam_deploy.make_context("deploy", arguments)

    # THEN they say what was meant, and win over samconfig.toml
    assert context.params["parameter_overrides"] == overrides
    assert context.params["stack_name"] == "shop"
    assert context.ensure_object(Context).region == "eu-west-1"
    assert context.params["confirm_changeset"] is False


def test_sam_asks_itself_where_samconfig_wants_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from samcli.commands.deploy.command import cli as sam_deploy

    monkeypatch.chdir(Path(__file__).parents[4])
    monkeypatch.setenv("SAM_CLI_TELEMETRY", "0")
    arguments = arguments_of(stack="shop", region="eu-west-1", env="prod", overrides={}, asks=True)
    assert sam_deploy.make_context("deploy", arguments).params["confirm_changeset"] is True
