"""The commands of a release against AWS as moto plays it: what they say, ask, do and return."""

import io
import json
import os
import pty
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest
from moto.awslambda.exceptions import LambdaClientError
from moto.awslambda.responses import LambdaResponse
from moto.core.responses import ActionResult
from typer.testing import CliRunner, Result

from infra.cli import app
from infra.errors import OperatorError
from infra.local.control.cloud import Cloud
from infra.local.control.patches import patched
from infra.local.metrics import Sample, Series
from infra.project import MARKS
from infra.release.deployments import CodeDeployment
from infra.release.errors import ReleaseError
from infra.release.freeze import estimate_duration, find_freeze, read_scaling
from infra.release.version import Identity
from infra.stack import StackError
from tests import local_aws

REGION = "eu-west-1"
NAME = "shop-fn"
ARN = f"arn:aws:lambda:{REGION}:123456789012:function:{NAME}"
TOPIC = f"arn:aws:sns:{REGION}:123456789012:shop-AlarmTopic"
OUTPUTS = {
    "FunctionName": NAME,
    "AliasArn": f"{ARN}:live",
    "FunctionVersion": "3",
    "DeploymentApplication": "app",
    "DeploymentGroup": "group",
    "AlarmTopicArn": TOPIC,
    "GateFunctionName": "gate",
}


@dataclass(frozen=True)
class Aws:
    """AWS with the stack `shop`, whose function has four versions; live is on the third."""

    cloud: Cloud
    functions: Any
    cloudwatch: Any
    scaling: Any

    def alias(self) -> tuple[str, Mapping[str, float]]:
        held = self.functions.get_alias(FunctionName=NAME, Name="live")
        routing = held.get("RoutingConfig") or {}
        return held["FunctionVersion"], routing.get("AdditionalVersionWeights") or {}

    def versions(self) -> list[str]:
        listed = self.functions.list_versions_by_function(FunctionName=NAME)["Versions"]
        return [one["Version"] for one in listed if one["Version"] != "$LATEST"]

    def move(self, version: str, weights: Mapping[str, float], description: str = "") -> None:
        self.functions.update_alias(
            FunctionName=NAME,
            Name="live",
            FunctionVersion=version,
            RoutingConfig={"AdditionalVersionWeights": weights},
            Description=description,
        )


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[Aws]:
    cloud = Cloud(REGION)
    cloud.start(0)
    for name, value in cloud.variables().items():
        monkeypatch.setenv(name, value)

    create_stack("shop", OUTPUTS)
    role = connect("iam").create_role(RoleName="role", AssumeRolePolicyDocument="{}")["Role"]
    functions = connect("lambda")
    functions.create_function(
        FunctionName=NAME,
        Role=role["Arn"],
        Runtime="python3.13",
        Handler="app.handler",
        Code={"ZipFile": archive("0")},
    )
    for number in "1234":
        layer = functions.publish_layer_version(
            LayerName="model", Content={"ZipFile": archive(number)}
        )
        functions.update_function_configuration(
            FunctionName=NAME, Layers=[layer["LayerVersionArn"]]
        )
        functions.publish_version(FunctionName=NAME)
    functions.create_alias(FunctionName=NAME, Name="live", FunctionVersion="3")
    with patched(LambdaResponse, invoke=crash):
        yield Aws(cloud, functions, connect("cloudwatch"), connect("application-autoscaling"))
    cloud.stop()


def crash(_: LambdaResponse) -> Any:
    """Answer an invocation as a function does that cannot start."""
    return 200, {"x-amz-function-error": "Unhandled"}, '{"errorType": "Runtime.ExitError"}'


def connect(service: Any) -> Any:
    return local_aws.connect(os.environ, service)


def create_stack(name: str, outputs: Mapping[str, str]) -> None:
    template = {
        "Resources": {"Topic": {"Type": "AWS::SNS::Topic"}},
        "Outputs": {key: {"Value": value} for key, value in outputs.items()},
    }
    connect("cloudformation").create_stack(StackName=name, TemplateBody=json.dumps(template))


def archive(text: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as files:
        files.writestr("app.py", text)
    return file.getvalue()


def infra(*arguments: str, says: str | None = None, monkeypatch: Any = None) -> Result:
    """Run a command, at a terminal if somebody `says` something there."""
    if says is not None:
        monkeypatch.setattr("infra.command.has_terminal", lambda: True)
    return CliRunner().invoke(app, [*arguments, "--stack-name", "shop"], input=says)


# Asking, and the result.


def test_prune_says_what_goes_and_deletes_it_if_asked_to(
    aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    # GIVEN a promotion by hand, so a rollback would go to version 2
    aws.move("3", {}, "promoted from 2 to 3 at 2026-11-22T15:00:00Z")
    # WHEN a person confirms
    result = infra("prune", "--keep", "1", says="y\n", monkeypatch=monkeypatch)
    # THEN what was said has happened: the versions, and the layers of no other version
    assert result.exit_code == 0, result.output
    assert "Version 1 will be deleted for good, and so will 1 versions of layers." in result.stderr
    assert "Version 2 stays: a rollback would go to it." in result.stderr
    assert "Version 3 stays: alias live refers to it." in result.stderr
    assert result.stdout == "Deleted 1 versions and 1 of layers.\n"
    assert aws.versions() == ["2", "3", "4"]
    layers = aws.functions.list_layer_versions(LayerName="model")["LayerVersions"]
    assert {layer["Version"] for layer in layers} == {2, 3, 4}


def test_who_declines_changes_nothing(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    result = infra("prune", "--keep", "1", says="n\n", monkeypatch=monkeypatch)
    assert result.exit_code == 1
    assert result.stderr.endswith("Nothing was changed.\n")
    assert aws.versions() == ["1", "2", "3", "4"]


def test_without_a_terminal_nothing_is_changed(aws: Aws) -> None:
    result = infra("prune", "--keep", "1")
    assert isinstance(result.exception, OperatorError)
    assert str(result.exception) == (
        "there is no terminal to confirm on: `infra prune --keep 1 --stack-name shop --yes` "
        "does it without asking"
    )
    assert aws.versions() == ["1", "2", "3", "4"]


def test_a_real_terminal_is_asked(aws: Aws) -> None:
    # GIVEN a terminal at which somebody answers no
    ours, theirs = pty.openpty()
    os.write(ours, b"n\n")
    # WHEN the command runs in it
    command = [str(Path(sys.executable).parent / "infra"), "prune", "--keep", "1"]
    done = subprocess.run(
        [*command, "--stack-name", "shop", "--json"],
        stdin=theirs,
        capture_output=True,
        text=True,
        check=False,
    )
    os.close(ours)
    os.close(theirs)
    # THEN it asks where results do not go, and takes the answer
    assert done.returncode == 1
    assert "Go on? [y/N]:" in done.stderr
    assert done.stdout == ""
    assert aws.versions() == ["1", "2", "3", "4"]


def test_json_is_all_that_standard_output_gets(aws: Aws) -> None:
    result = infra("prune", "--keep", "2", "--yes", "--json")
    assert result.exit_code == 0
    told = json.loads(result.stdout)
    assert (told["versions"], told["deleted"], told["snap_start"]) == (["1"], 1, 0)
    # AND where nothing says what served before version 3, version 2 stays
    assert aws.versions() == ["2", "3", "4"]


def test_with_nothing_to_prune_nothing_is_asked(aws: Aws) -> None:
    assert aws
    result = infra("prune")
    assert (result.exit_code, result.stdout) == (
        0,
        "No version is older than the newest 5 and unused.\n",
    )


def test_resync_warns_and_follows_cloudformation(aws: Aws) -> None:
    aws.move("2", {}, "rolled back from 3 to 2 at 2026-11-22T15:00:00Z")
    result = infra("resync", "--yes")
    assert result.exit_code == 0, result.output
    text = "Version 3, which was taken back at 2026-11-22T15:00:00Z, will get ALL traffic of live"
    assert text in result.stderr
    assert result.stdout == "Of the traffic, version 3 has 100 %.\n"
    assert aws.alias() == ("3", {})


def test_resync_again_changes_nothing(aws: Aws) -> None:
    result = infra("resync", "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["changed"] is False
    assert aws.alias() == ("3", {})


def test_a_share_by_hand_is_taken_back_and_promoted(aws: Aws) -> None:
    aws.move("3", {"4": 0.25})
    assert infra("rollback", "--yes").exit_code == 0
    assert aws.alias() == ("3", {})
    aws.move("3", {"4": 0.25})
    result = infra("promote", "--yes")
    assert result.exit_code == 0, result.output
    assert aws.alias() == ("4", {})
    # AND it says what CloudFormation thinks of that
    assert "CloudFormation still has live on version 3." in result.stdout


def test_a_version_that_cannot_start_gets_no_traffic(aws: Aws) -> None:
    result = infra("shift", "10", "--yes")
    assert str(result.exception) == (
        "version 4 does not answer: Runtime.ExitError "
        "(see `infra logs --errors --version 4 --stack-name shop`)"
    )
    assert aws.alias() == ("3", {})


@pytest.mark.parametrize("command", ["promote", "rollback"])
def test_a_release_that_began_while_a_person_was_asked_is_left_alone(
    aws: Aws, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    # GIVEN a share by hand, and somebody else who deploys before the question is answered
    aws.move("3", {"4": 0.25})
    running = CodeDeployment("d-1", "InProgress", datetime.now(UTC), "", "3", "5", "")

    def begin(_text: str, *, yes: bool) -> None:
        assert not yes
        monkeypatch.setattr("infra.release.deployments.find_running", lambda *_: running)

    monkeypatch.setattr("infra.release.cli.confirm", begin)
    # WHEN
    result = infra(command)
    # THEN only CodeDeploy moves the alias
    assert "deployment d-1 of version 5 is in progress" in str(result.exception)
    assert aws.alias() == ("3", {"4": 0.25})


@pytest.mark.parametrize("percent", ["-1", "101", "many"])
def test_a_percentage_that_is_none_is_a_usage_error(aws: Aws, percent: str) -> None:
    assert aws
    assert infra("shift", "--", percent).exit_code == 2


# What is wrong, in one line.


def test_an_unknown_stack_is_reported_with_account_and_region(aws: Aws) -> None:
    assert aws
    result = CliRunner().invoke(app, ["status", "--stack-name", "shoe"])
    assert isinstance(result.exception, StackError)
    text = f"there is no stack shoe in {REGION} of account 123456789012"
    assert str(result.exception).startswith(text)


def test_a_stack_of_another_kind_is_reported(aws: Aws) -> None:
    assert aws
    create_stack("topics", {"Url": "x"})
    result = CliRunner().invoke(app, ["status", "--stack-name", "topics"])
    assert "stack topics has no output FunctionName" in str(result.exception)


def test_a_deleted_alias_is_reported(aws: Aws) -> None:
    aws.functions.delete_alias(FunctionName=NAME, Name="live")
    result = infra("rollback", "--yes")
    assert str(result.exception).startswith(f"there is no alias live of {NAME} in {REGION}: `aws ")


# Status.


def put(aws: Aws, name: str, version: str, values: list[float]) -> None:
    dimensions = (("service", "shop"), ("function_version", version))
    unit = "Milliseconds" if name.endswith("Latency") else "Count"
    series = Series("ServerlessOnnx", name, unit, dimensions)
    aws.cloud.put_metrics([Sample(series, int(time.time()) - 60, values)])


def ring(aws: Aws, alarm: str, topic: str) -> None:
    aws.cloudwatch.put_metric_alarm(
        AlarmName=alarm,
        AlarmActions=[topic],
        Namespace="N",
        MetricName="M",
        Period=60,
        EvaluationPeriods=1,
        Statistic="Sum",
        Threshold=1,
        ComparisonOperator="GreaterThanThreshold",
    )
    aws.cloudwatch.set_alarm_state(AlarmName=alarm, StateValue="ALARM", StateReason="too many")


def test_status_counts_by_version(aws: Aws) -> None:
    # GIVEN a canary by hand, with traffic and a crash, and an alarm that fires
    aws.move("3", {"4": 0.1})
    put(aws, "Requests", "3", [1.0] * 90)
    put(aws, "Requests", "4", [1.0] * 9)
    put(aws, "ServerErrors", "4", [1.0])
    put(aws, "RequestLatency", "4", [1.0, 2.0, 3.0, 40.0])
    executed = (
        ("FunctionName", NAME),
        ("Resource", f"{NAME}:live"),
        ("ExecutedVersion", "4"),
    )
    series = Series("AWS/Lambda", "Errors", "Count", executed)
    aws.cloud.put_metrics([Sample(series, int(time.time()) - 60, [1.0])])
    ring(aws, "shop-ErrorRateAlarm", TOPIC)
    ring(aws, "shop-eu-ErrorRateAlarm", TOPIC.replace("shop", "shop-eu"))
    # WHEN the status is asked for
    result = infra("status", "--minutes", "30", "--json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    # THEN each version has its own numbers
    three, four = told["versions"]
    assert (three["version"], three["share"], three["requests"]) == ("3", 0.9, 90)
    assert (three["error_percent"], three["p99_ms"]) == (0, None)
    assert (four["version"], four["share"], four["requests"], four["crashes"]) == ("4", 0.1, 9, 1)
    assert four["error_percent"] == pytest.approx(20)  # an error and a crash of ten requests
    assert (four["p50_ms"], four["p99_ms"]) == (pytest.approx(2.5, abs=0.6), pytest.approx(40, 0.1))
    # AND a version that does not answer is shown as such
    assert four["model"] == ""
    assert "version 4" in four["error"]
    # AND only this stack's alarms
    assert told["alarms"] == [{"name": "shop-ErrorRateAlarm", "reason": "too many"}]
    assert told["agrees"] is False
    assert (told["deployment"], told["record"]) == (None, "")


def test_status_in_words(aws: Aws) -> None:
    aws.move("2", {}, "rolled back from 3 to 2 at 2026-11-22T15:00:00Z")
    result = infra("status")
    assert result.exit_code == 0, result.output
    for text in (
        f"live of {NAME}, stack shop (CREATE_COMPLETE) in {REGION}, last 60 min",
        "does not answer",
        "No deployment is in progress.",
        "CloudFormation does NOT agree: it has live on version 3.",
        "Moved by hand: rolled back from 3 to 2 at 2026-11-22T15:00:00Z.",
        "No alarms are firing.",
        "then `infra deploy --resync --stack-name shop`",
    ):
        assert text in result.stdout


def test_status_shows_weights_of_lambdas_own(aws: Aws) -> None:
    # GIVEN an alias that was just moved, and provisioned concurrency that is not there yet
    aws.move("2", {"3": 1.0})
    state = ActionResult({"Status": "IN_PROGRESS"})
    with patched(LambdaResponse, get_provisioned_concurrency_config=lambda _: state):
        result = infra("status")
        told = json.loads(infra("status", "--json").stdout)
    # THEN
    text = "live is in transition to version 2 (provisioned concurrency: IN_PROGRESS)"
    assert text in result.stdout
    assert "version 3 has 100 %" in told["transition"]


def test_status_breaks_no_line_of_its_table_at_80_columns(
    aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    # GIVEN the example's model, with as much traffic as a day has
    aws.move("3", {"4": 0.1})
    put(aws, "Requests", "3", [1.0] * 90_000)
    put(aws, "RequestLatency", "3", [1234.5])
    monkeypatch.setenv("COLUMNS", "80")
    identity = Identity("purchase-propensity", "1", 64 * "a")
    monkeypatch.setattr("infra.release.status.identify", lambda *_: identity)
    # WHEN / THEN
    lines = infra("status").stdout.splitlines()
    assert [line.split()[0] for line in lines[1:4]] == ["Version", "3", "4"]
    assert lines[2].split()[-3:] == ["purchase-propensity", "1", 12 * "a"]


def test_a_record_of_the_past_is_not_shown(aws: Aws) -> None:
    aws.move("3", {}, "rolled back from 3 to 2 at 2026-11-22T15:00:00Z")
    assert json.loads(infra("status", "--json").stdout)["record"] == ""


# Deploy.


@pytest.fixture
def build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = tmp_path / ".aws-sam/build"
    directory.mkdir(parents=True)
    (directory / "template.yaml").write_text(
        "Parameters: {MaxErrorPercent: {Type: Number, Default: 1}}\nResources: {}\n"
    )
    for name in MARKS:
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (0, 0))  # older than the build
    monkeypatch.chdir(tmp_path)
    return directory


def test_the_preflight_reports_everything_at_once(aws: Aws, build: Path) -> None:
    # GIVEN an alias that was moved, and a parameter that there is not
    assert build
    aws.move("2", {})
    result = infra("deploy", "--yes", "--json", "--parameter", "MaxErorPercent=2")
    assert result.exit_code == 1
    told = json.loads(result.stdout)
    assert told["result"] == "refused"
    assert [finding["level"] for finding in told["findings"]] == ["error", "error"]
    assert "no parameter MaxErorPercent" in told["findings"][0]["text"]
    assert "`infra deploy --resync --stack-name shop`" in told["findings"][1]["text"]


def test_yes_does_not_override_a_warning(aws: Aws, build: Path) -> None:
    assert build
    ring(aws, "shop-ErrorRateAlarm", TOPIC)
    result = infra("deploy", "--yes")
    assert "Warning: alarm shop-ErrorRateAlarm fires" in result.stderr
    assert str(result.exception) == (
        "nothing was deployed: --yes does not override warnings; use `infra deploy --stack-name "
        "shop --yes --force`"
    )


def test_a_warning_that_stops_a_deploy_is_in_the_json(aws: Aws, build: Path) -> None:
    assert build
    ring(aws, "shop-ErrorRateAlarm", TOPIC)
    result = infra("deploy", "--yes", "--json")
    assert isinstance(result.exception, ReleaseError)
    written = json.loads(result.stdout)
    assert written["result"] == "refused"
    assert [finding["level"] for finding in written["findings"]] == ["warning"]


def test_a_parameter_without_a_value_is_a_usage_error(aws: Aws, build: Path) -> None:
    assert aws
    assert build
    assert infra("deploy", "--yes", "--parameter", "MaxErrorPercent").exit_code == 2


def test_a_build_older_than_its_sources_is_reported(aws: Aws, build: Path) -> None:
    # GIVEN two files that were written after the build, and one that Python made
    assert aws
    built = (build / "template.yaml").stat().st_mtime
    for name in ("functions/api/handler.py", "layers/model/model.onnx", "functions/__pycache__/a"):
        path = Path(name)
        path.parent.mkdir(parents=True)
        path.touch()
        os.utime(path, (built + 1, built + 1))
    # WHEN / THEN
    result = infra("deploy", "--yes")
    text = f"sources are newer than {Path('.aws-sam/build')} (functions/api/handler.py and 1 more)"
    assert f"Warning: {text}: `sam build` first" in result.stderr
    assert "nothing was deployed" in str(result.exception)


def test_a_build_older_than_its_nested_template_is_reported(aws: Aws, build: Path) -> None:
    assert aws
    path = Path("infra/stacks/monitoring.yaml")
    path.parent.mkdir(parents=True)
    path.touch()
    built = (build / "template.yaml").stat().st_mtime
    os.utime(path, (built + 1, built + 1))
    # WHEN / THEN
    text = f"sources are newer than {Path('.aws-sam/build')} ({path})"
    assert f"Warning: {text}: `sam build` first" in infra("deploy", "--yes").stderr


def test_whoever_interrupts_a_deploy_learns_that_it_goes_on(
    aws: Aws, build: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert aws
    assert build

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("infra.release.apply.apply", interrupt)
    result = infra("deploy", "--yes")
    assert result.exit_code == 130
    assert "A release that has begun goes on: `infra status --stack-name shop`" in result.stderr
    assert "`infra rollback --stack-name shop` takes it back" in result.stderr


def test_without_a_build_there_is_nothing_to_deploy(
    aws: Aws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert aws
    for name in MARKS:
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    result = infra("deploy", "--yes")
    assert "run `sam build`" in str(result.exception)


class Sam:
    """Stands in for SAM CLI: notes its arguments, and where the alias was when it was started."""

    def __init__(self, aws: Aws, *statuses: int) -> None:
        self.aws = aws
        self.statuses = list(statuses)
        self.calls: list[list[str]] = []
        self.aliases: list[str] = []

    def __call__(self, command: list[str], cwd: Path, stdout: Any) -> Any:
        assert cwd == Path()
        assert stdout is not None  # with --json its output may not go where the result goes
        assert command[:4] == [sys.executable, "-m", "samcli", "deploy"]
        self.calls.append(command[4:])
        self.aliases.append(self.aws.alias()[0])
        process = MagicMock()
        process.wait.return_value = self.statuses.pop(0)
        return process


@pytest.fixture
def sam(aws: Aws, build: Path, monkeypatch: pytest.MonkeyPatch) -> Sam:
    """SAM CLI's stand-in for a template that has the release's parameters."""
    sam = Sam(aws)
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    monkeypatch.setattr("infra.account.connect.is_local", lambda: False)
    monkeypatch.setattr("infra.account.aws.Popen", sam)
    (build / "template.yaml").write_text(
        "Parameters:\n"
        "  Rate: {Type: Number, Default: 1}\n"
        "  DeploymentType: {Type: String, Default: Canary10Percent10Minutes}\n"
        "  MaxAnswerChange: {Type: Number, Default: 10}\n"
        "  ReleaseAttempt: {Type: Number, Default: 1}\n"
        "Resources: {}\n"
    )
    Path("samconfig.toml").write_text(
        '[prod.deploy.parameters]\nparameter_overrides = ["Rate=7"]\n'
    )
    return sam


DEPLOY = ("deploy", "--env", "prod", "--yes", "--json")
FIXED = ["--config-env", "prod", "--stack-name", "shop", "--region", REGION]


def test_sam_gets_all_parameters_of_the_environment(sam: Sam) -> None:
    # GIVEN version 4, left of a failed release
    sam.statuses = [0]
    result = infra(*DEPLOY, "--parameter", "Rate=8")
    assert result.exit_code == 0, result.output
    # THEN SAM CLI is told what is set, what is for this release only, and asks nothing
    overrides = [
        'DeploymentType="Canary10Percent10Minutes"',
        'MaxAnswerChange="10"',
        'ReleaseAttempt="5"',
        'Rate="8"',
    ]
    assert sam.calls == [[*FIXED, "--parameter-overrides", *overrides, "--no-confirm-changeset"]]
    assert json.loads(result.stdout)["result"] == "unchanged"


def test_sams_failure_is_ours(sam: Sam) -> None:
    sam.statuses = [2]
    result = infra(*DEPLOY)
    assert "the deploy failed with exit status 2 before a version" in str(result.exception)


def test_a_resync_comes_after_the_upload(sam: Sam) -> None:
    # GIVEN a rollback
    sam.aws.move("2", {}, "rolled back from 3 to 2 at 2026-11-22T15:00:00Z")
    sam.statuses = [0, 1]
    # WHEN the deploy after it fails
    result = infra(*DEPLOY, "--resync")
    assert "the deploy failed with exit status 1" in str(result.exception)
    # THEN the bad version had the traffic only after the upload, and without a canary
    upload, deployed = sam.calls
    assert upload[-1] == "--no-execute-changeset"
    assert "--no-execute-changeset" not in deployed
    assert 'DeploymentType="AllAtOnce"' in deployed
    # THEN its answers were no measure for those of the fix
    assert 'MaxAnswerChange="100"' in deployed
    assert sam.aliases == ["2", "3"]
    # AND the version before has it again
    assert sam.aws.alias() == ("2", {})
    assert "Version 2 has all traffic again." in result.stderr


def test_an_upload_that_fails_changes_nothing(sam: Sam) -> None:
    sam.aws.move("2", {})
    sam.statuses = [1]
    result = infra(*DEPLOY, "--resync")
    assert "nothing was changed" in str(result.exception)
    assert sam.aws.alias() == ("2", {})


@pytest.mark.parametrize(
    ("payload", "code", "text"),
    [
        ('{"status": "Succeeded", "reason": "", "version": "1", "checks": 9}', 0, ""),
        ('{"status": "Failed", "reason": "wrong sha256", "version": "1"}', 1, "wrong sha256"),
    ],
)
def test_a_stack_that_is_created_is_smoke_tested(
    sam: Sam, monkeypatch: pytest.MonkeyPatch, payload: str, code: int, text: str
) -> None:
    # GIVEN no stack, and SAM CLI that creates it with a gate that answers so
    def create(command: list[str], **options: Any) -> Any:
        create_stack("shoe", OUTPUTS)
        return sam(command, **options)

    sam.statuses = [0]
    monkeypatch.setattr("infra.account.aws.Popen", create)
    # WHEN it is deployed
    with patched(LambdaResponse, invoke=lambda _: (200, {}, payload)):
        result = CliRunner().invoke(app, [*DEPLOY, "--stack-name", "shoe"])
    # THEN that is what counts
    assert result.exit_code == code
    assert text in str(result.exception)
    if not code:
        assert json.loads(result.stdout)["result"] == "created"


def test_a_stack_that_a_person_declined_is_reported(sam: Sam) -> None:
    # GIVEN SAM CLI, which asked and was told no
    sam.statuses = [0]
    result = CliRunner().invoke(app, [*DEPLOY, "--stack-name", "shoe"])
    assert str(result.exception) == (
        "the stack was not created: SAM CLI was told not to; `infra deploy --stack-name shoe --env "
        "prod` asks again"
    )


def test_a_stack_without_outputs_is_of_another_kind(sam: Sam) -> None:
    assert sam
    create_stack("topics", {})
    result = CliRunner().invoke(app, [*DEPLOY, "--stack-name", "topics"])
    assert "stack topics has no output FunctionName" in str(result.exception)


def test_a_stack_that_is_not_created_is_reported(sam: Sam) -> None:
    sam.statuses = [1]
    result = CliRunner().invoke(app, [*DEPLOY, "--stack-name", "shoe"])
    assert "the stack was not created" in str(result.exception)
    assert sam.calls[0][3] == "shoe"


def test_the_preflight_knows_the_accounts_quota(sam: Sam, monkeypatch: pytest.MonkeyPatch) -> None:
    # GIVEN a new account, and parameters that a template has by default, or had when deployed
    monkeypatch.setattr("infra.local.control.account.CONCURRENT_EXECUTIONS", 10)
    template = Path(".aws-sam/build/template.yaml")
    template.write_text(
        template.read_text().replace(
            "Rate:", "MaxConcurrency: {Type: Number, Default: 50}\n  Rate:"
        )
    )
    result = infra(*DEPLOY)
    # THEN it asks, whether there is a stack or not
    assert "Warning: MaxConcurrency is 50, but Lambda runs 10 req" in result.stderr
    result = CliRunner().invoke(app, [*DEPLOY, "--stack-name", "shoe"])
    assert "set MaxConcurrency=10" in result.stderr
    assert sam.calls == []
    # AND not of what fits, nor where nobody may ask
    sam.statuses = [0, 0]
    assert infra(*DEPLOY, "--parameter", "MaxConcurrency=10").exit_code == 0

    def deny(_: LambdaResponse) -> Any:
        raise LambdaClientError("AccessDeniedException", "not authorized")

    with patched(LambdaResponse, get_account_settings=deny):
        result = infra(*DEPLOY)
    assert result.exit_code == 0
    assert "Note: Lambda's quota of this account is unknown" in result.stderr


def test_a_scheduled_action_freezes_releases(aws: Aws) -> None:
    # GIVEN the companion stack's schedule
    target = {
        "ServiceNamespace": "lambda",
        "ResourceId": f"function:{NAME}:live",
        "ScalableDimension": "lambda:function:ProvisionedConcurrency",
    }
    aws.scaling.register_scalable_target(**target, MinCapacity=0, MaxCapacity=0)
    aws.scaling.put_scheduled_action(
        **target,
        ScheduledActionName="black-friday-begin",
        Schedule="at(2026-11-27T05:30:00)",
        Timezone="Europe/Berlin",
        ScalableTargetAction={"MinCapacity": 200, "MaxCapacity": 200},
    )

    now, duration = (
        datetime(2026, 11, 27, 4, 10, tzinfo=UTC),
        estimate_duration("Canary10Percent10Minutes"),
    )
    # WHEN a canary would not be over before it THEN it is refused
    actions, targets = read_scaling(aws.scaling, NAME, "live")
    assert find_freeze(actions, targets, now, duration) == (
        "scheduled action black-friday-begin comes due at 2026-11-27 04:30 UTC"
    )
    # AND while it holds
    aws.scaling.register_scalable_target(**target, MinCapacity=200, MaxCapacity=200)
    actions, targets = read_scaling(aws.scaling, NAME, "live")
    assert "holds 200 environments ready" in find_freeze(actions, targets, now, duration)
