"""How a command finds the stack that it works on."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from infra.deployment import DeploymentError, explained, find, list_resources
from infra.local.cloud import Cloud

REGION = "eu-west-1"


@pytest.fixture(autouse=True)
def _no_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the settings of whoever runs the tests away."""
    for name in ("AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """AWS on this machine with two stacks, each with one topic; its endpoint."""
    cloud = Cloud(REGION)
    url = cloud.start(0)
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    client = boto3.client(
        "cloudformation",
        region_name=REGION,
        aws_access_key_id="test",
        aws_secret_access_key="test",  # noqa: S106 moto takes any
    )
    for name in ("serverless-onnx", "shop"):
        template = {
            "Resources": {
                "Topic": {"Type": "AWS::SNS::Topic", "Properties": {"TopicName": f"{name}-news"}}
            },
            "Outputs": {"FunctionName": {"Value": f"{name}-function"}},
        }
        client.create_stack(StackName=name, TemplateBody=json.dumps(template))
    yield url
    cloud.stop()


def test_takes_the_local_run_if_its_endpoint_is_set(
    cloud: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # GIVEN no credentials, and the Region with which the local run was started
    assert cloud
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    # WHEN nothing else is said THEN the local run's stack is found
    deployment = find(None, None)
    assert deployment.name == "serverless-onnx"
    assert deployment.output("FunctionName") == "serverless-onnx-function"
    # AND with a name and a Region any other
    assert find("shop", REGION).output("FunctionName") == "shop-function"


def test_takes_the_stack_of_samconfig_on_aws(
    cloud: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # GIVEN credentials, and CloudFormation elsewhere than the local run's
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    monkeypatch.setenv("AWS_ENDPOINT_URL_CLOUDFORMATION", cloud)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    # WHEN there is no samconfig.toml THEN a name must be given
    with pytest.raises(DeploymentError, match=r"samconfig\.toml names no stack for default: "):
        find(None, REGION)
    # WHEN it names a stack THEN that is the one
    settings = '[default.global.parameters]\nstack_name = "shop"'
    (tmp_path / "samconfig.toml").write_text(settings)
    assert find(None, REGION).name == "shop"


def test_says_that_there_is_no_such_stack(cloud: str) -> None:
    with pytest.raises(DeploymentError) as raised:
        find("shoe", REGION)
    assert str(raised.value) == (
        f"there is no stack shoe in {REGION} of account 123456789012 ({cloud}): "
        "deploy it, or name another with --stack-name"
    )


def test_says_that_an_output_is_missing(cloud: str) -> None:
    assert cloud
    with pytest.raises(DeploymentError, match="stack shop has no output LogGroupName"):
        find("shop", REGION).output("LogGroupName")


def test_lists_the_resources_of_one_type(cloud: str) -> None:
    assert cloud
    client = find("shop", REGION).session.client("cloudformation")
    [topic] = list_resources(client, "shop", "AWS::SNS::Topic")
    assert topic.endswith(":shop-news")
    assert list_resources(client, "shop", "AWS::Lambda::Function") == []


def test_says_that_nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    with pytest.raises(DeploymentError, match=f'"{url}/"; is the local run up'):
        find(None, None)


def test_says_that_there_are_no_credentials() -> None:
    with pytest.raises(DeploymentError, match="no AWS credentials; for the local run set AWS_END"):
        find("shop", REGION)


def test_says_that_there_is_no_region() -> None:
    with pytest.raises(DeploymentError, match="You must specify a region"):
        find("shop", None)


def test_says_that_there_is_no_such_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "absent")
    with pytest.raises(DeploymentError, match=r"\(absent\) could not be found"):
        find("shop", REGION)


def test_passes_on_what_aws_refuses(cloud: str) -> None:
    assert cloud
    logs = find("shop", REGION).session.client("logs")
    with pytest.raises(DeploymentError, match="ResourceNotFoundException"), explained():
        logs.filter_log_events(logGroupName="absent")
