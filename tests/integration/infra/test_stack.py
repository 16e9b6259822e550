"""How a command finds the stack that it works on."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from typer.testing import CliRunner

from infra.cli import app
from infra.local.control.access_key import create_access_key
from infra.local.control.cloud import Cloud
from infra.project import Project, ProjectError
from infra.stack import DeploymentError, explained, find, list_resources, name_stack
from tests import local_aws

REGION = "eu-west-1"


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A folder without settings; those of whoever runs the tests are kept away."""
    for name in ("AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return Project(tmp_path)


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """AWS on this machine with two stacks, each with one topic; its endpoint."""
    cloud = Cloud(REGION)
    url = cloud.start(0)
    for name in ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, cloud.variables()[name])
    client = local_aws.connect(cloud.variables(), "cloudformation")
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


@contextmanager
def serve_json(body: bytes) -> Iterator[str]:
    """Answer every request with 404 and `body`; the server's URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(404)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_takes_the_local_run_if_its_endpoint_is_set(
    project: Project, cloud: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # GIVEN the local run's access key, and the Region with which it was started
    assert cloud
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    # WHEN nothing else is said THEN the local run's stack is found
    deployment = find(project, None, None)
    assert deployment.name == "serverless-onnx"
    assert deployment.output("FunctionName") == "serverless-onnx-function"
    # AND with a name and a Region any other
    assert find(project, "shop", REGION).output("FunctionName") == "shop-function"


def test_takes_the_stack_of_samconfig_on_aws(
    project: Project, cloud: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # GIVEN credentials, and CloudFormation elsewhere than the local run's
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    monkeypatch.setenv("AWS_ENDPOINT_URL_CLOUDFORMATION", cloud)
    # WHEN there is no samconfig.toml THEN a name must be given
    with pytest.raises(ProjectError, match=r"samconfig\.toml names no stack for default: "):
        find(project, None, REGION)
    # WHEN it names a stack THEN that is the one
    settings = '[default.global.parameters]\nstack_name = "shop"'
    (tmp_path / "samconfig.toml").write_text(settings)
    assert find(project, None, REGION).name == "shop"


def test_says_that_there_is_no_such_stack(project: Project, cloud: str) -> None:
    with pytest.raises(DeploymentError) as raised:
        find(project, "shoe", REGION)
    assert str(raised.value) == (
        f"there is no stack shoe in {REGION} of account 123456789012 ({cloud}): "
        "was the local run started in another Region (--region)?"
    )


def test_says_that_an_output_is_missing(project: Project, cloud: str) -> None:
    assert cloud
    with pytest.raises(DeploymentError, match="stack shop has no output LogGroupName"):
        find(project, "shop", REGION).output("LogGroupName")


def test_lists_the_resources_of_one_type(project: Project, cloud: str) -> None:
    assert cloud
    client = find(project, "shop", REGION).session.client("cloudformation")
    [topic] = list_resources(client, "shop", "AWS::SNS::Topic")
    assert topic.endswith(":shop-news")
    assert list_resources(client, "shop", "AWS::Lambda::Function") == []


def test_a_page_that_cannot_be_written_is_a_usage_error(
    cloud: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cloud
    monkeypatch.setattr("infra.pages.dashboard.make.make_page", lambda *_: "<html>")
    (tmp_path / "file").touch()
    for output, why in ((tmp_path, "Is a directory"), (tmp_path / "file/page.html", "File exists")):
        arguments = ["dashboard", "--stack-name", "shop", "--region", REGION, "--output"]
        result = CliRunner().invoke(app, [*arguments, str(output)], env={"COLUMNS": "300"})
        assert result.exit_code == 2
        assert f"Invalid value for '--output': {output} cannot be written: {why}" in result.output


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the access key of a local run."""
    access_key = create_access_key()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", access_key.id)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", access_key.secret)


@pytest.mark.usefixtures("key")
def test_says_that_nobody_answers(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    with pytest.raises(DeploymentError, match=f'"{url}/"; is the local run up'):
        find(project, None, None)


@pytest.mark.parametrize(
    "endpoint",
    ["...", "127.0.0.1:5000", "nonsense", "http://", "http://[::1", "http://127.0.0.1:99999"],
)
def test_says_that_the_endpoint_is_none(
    project: Project, endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    with pytest.raises(DeploymentError, match=r"AWS_ENDPOINT_URL is not a URL: .* `infra run`"):
        find(project, "shop", REGION)


@pytest.mark.usefixtures("key")
def test_says_that_the_endpoint_is_not_that_of_aws(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    # GIVEN a server that answers in JSON, as the API of the local run does
    with serve_json(b'{"error": "not found"}') as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        # WHEN / THEN
        with pytest.raises(DeploymentError, match=f"^{url} does not answer as AWS does: "):
            find(project, "shop", REGION)


def test_says_that_the_local_run_has_no_such_region(project: Project, cloud: str) -> None:
    assert cloud
    with pytest.raises(DeploymentError, match=r"^the local run has no Region mars-1: "):
        find(project, "shop", "mars-1")


def test_an_environment_must_be_in_samconfig_on_the_local_run_too(
    project: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:5000")
    (tmp_path / "samconfig.toml").write_text('[prod.global.parameters]\nstack_name = "shop-prod"')
    assert name_stack(project, "default") == "serverless-onnx"
    assert name_stack(project, "prod") == "serverless-onnx"
    with pytest.raises(ProjectError, match=r"/samconfig\.toml names no stack for nope: "):
        name_stack(project, "nope")


@pytest.mark.parametrize("key_id", ["", "AKIAIOSFODNN7EXAMPLE"])
def test_keeps_an_access_key_of_a_real_account_from_a_local_run(
    project: Project, key_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # GIVEN a terminal with somebody's credentials, into which only the endpoint was pasted
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key_id)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        # WHEN a command is run THEN it says what to paste
        with pytest.raises(DeploymentError, match="paste the whole line `export AWS_ENDPOINT_URL="):
            find(project, None, None)
        # AND nothing was sent
        with pytest.raises(BlockingIOError):
            listener.accept()


@pytest.mark.usefixtures("cloud")
def test_says_that_the_key_is_of_another_run(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", create_access_key().id)
    with pytest.raises(
        DeploymentError, match=r"InvalidClientTokenId.* paste the whole line `export"
    ):
        find(project, "shop", REGION)


def test_says_that_there_are_no_credentials(project: Project) -> None:
    with pytest.raises(
        DeploymentError, match="no AWS credentials; for the local run paste the whole line"
    ):
        find(project, "shop", REGION)


def test_says_that_there_is_no_region(project: Project) -> None:
    with pytest.raises(
        DeploymentError, match=r"no AWS Region \(give --region .* paste the whole line"
    ):
        find(project, "shop", None)


def test_says_that_there_is_no_such_profile(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "absent")
    with pytest.raises(DeploymentError, match=r"\(absent\) could not be found"):
        find(project, "shop", REGION)


def test_passes_on_what_aws_refuses(project: Project, cloud: str) -> None:
    assert cloud
    logs = find(project, "shop", REGION).session.client("logs")
    with pytest.raises(DeploymentError, match="ResourceNotFoundException"), explained():
        logs.filter_log_events(logGroupName="absent")
