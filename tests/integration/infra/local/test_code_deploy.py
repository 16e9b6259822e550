"""A release on the local run: CodeDeploy's part and CloudFormation's, on a faster clock."""

import asyncio
import contextlib
import hashlib
import json
import shutil
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from infra.local.control.api_resources import Stages
from infra.local.control.code_deploy import ReleaseEvent, plan
from infra.local.errors import UpdateError
from infra.local.platform import Platform
from infra.local.stack import read_stack
from tests.canary_stack import (
    GATE,
    MINUTE,
    add_canary,
    read_alias,
    read_deployment,
    read_status,
    rebuild,
    start_canary,
)
from tests.tiny_stack import FUNCTION, REGION, STACK_NAME, Starter, connect


@pytest.fixture
def build(build: Path) -> Path:
    """The tiny stack with a gate, an alarm and a deployment type."""
    return add_canary(build)


@pytest.fixture
async def local(start: Starter) -> Platform:
    """Local run of it, whose minutes are short."""
    return await start_canary(start)


def list_alarms(local: Platform) -> set[str]:
    found = local.cloudwatch.describe_alarms()["MetricAlarms"]
    return {alarm["AlarmName"] for alarm in found}


def read_versions(deployment: Any) -> tuple[str, str]:
    content = json.loads(deployment["revision"]["appSpecContent"]["content"])
    versions = content["Resources"][0][FUNCTION]["Properties"]
    return versions["CurrentVersion"], versions["TargetVersion"]


@contextlib.asynccontextmanager
async def failing_requests(local: Platform) -> AsyncIterator[None]:
    """Send requests that fail, one after the other."""

    async def send() -> None:
        async with httpx.AsyncClient(base_url=local.url) as client:
            while True:
                await client.get("/raise")

    sending = asyncio.create_task(send())
    try:
        yield
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)


@pytest.mark.parametrize(
    ("config", "steps"),
    [
        ("CodeDeployDefault.LambdaAllAtOnce", [(0, 100)]),
        ("CodeDeployDefault.LambdaCanary10Percent30Minutes", [(0, 10), (30, 100)]),
        (
            "CodeDeployDefault.LambdaLinear10PercentEvery1Minute",
            [(minute, 10 * minute + 10) for minute in range(10)],
        ),
        ("CodeDeployDefault.LambdaLinear10PercentEvery10Minutes", [(90, 100)]),
    ],
)
def test_deployment_types_are_those_of_codedeploy(
    config: str, steps: list[tuple[float, float]]
) -> None:
    assert plan(config)[-len(steps) :] == steps


def test_unknown_deployment_type_is_refused() -> None:
    with pytest.raises(UpdateError, match="does not know the deployment type Mine"):
        plan("Mine")


async def test_a_release_that_fails_takes_its_new_alarms_with_it(
    local: Platform, build: Path
) -> None:
    # GIVEN a bad release, whose template has one alarm more
    rebuild(build, "Failed")
    template = build / "template.yaml"
    text = template.read_text()
    begin, end = text.index("  ErrorsAlarm:"), text.index("Outputs:")
    more = text[begin:end].replace("ErrorsAlarm", "MoreAlarm").replace("-errors-", "-more-")
    template.write_text(text[:end] + more + text[end:])

    # WHEN the gate refuses it
    release = await local.release(read_stack(build, STACK_NAME, REGION))

    # THEN the stack is as it was
    assert release.status == "Failed"
    assert read_status(local)[0] == "UPDATE_ROLLBACK_COMPLETE"
    assert list_alarms(local) == {"shop-errors-v1"}


async def test_a_good_release_is_promoted_step_by_step(local: Platform, build: Path) -> None:
    # GIVEN a second release
    rebuild(build)
    aliases = []

    def tell(event: ReleaseEvent) -> None:
        aliases.append((event.kind, event.percent, local.versions.weights(FUNCTION, "live")))

    # WHEN it is released
    release = await local.release(read_stack(build, STACK_NAME, REGION), tell)

    # THEN the gate goes first, then a tenth of the traffic, then all of it
    assert (release.version, release.status, release.reason) == ("2", "Succeeded", "")
    assert aliases == [
        ("created", 0, {"1": 1}),
        ("gate-started", 0, {"1": 1}),
        ("gate-passed", 0, {"1": 1}),
        ("shifted", 10, {"1": 0.9, "2": 0.1}),
        ("promoted", 100, {"2": 1}),
    ]
    times = {event.kind: event.time for event in release.events}
    assert times["promoted"] - times["shifted"] >= 5 * MINUTE
    # AND AWS tells the same
    assert read_alias(local) == ("2", {})
    status, outputs = read_status(local)
    assert (status, outputs["FunctionVersion"]) == ("UPDATE_COMPLETE", "2")
    assert list_alarms(local) == {"shop-errors-v2"}
    deployment = read_deployment(local, release.deployment_id)
    assert (deployment["status"], deployment["creator"]) == ("Succeeded", "CloudFormation")
    assert deployment["deploymentOverview"]["Succeeded"] == 1
    assert deployment["completeTime"] >= deployment["createTime"]
    content = json.loads(deployment["revision"]["appSpecContent"]["content"])
    assert content["Resources"][0][FUNCTION]["Properties"] == {
        "Name": FUNCTION,
        "Alias": "live",
        "CurrentVersion": "1",
        "TargetVersion": "2",
    }
    assert content["Hooks"] == [{"BeforeAllowTraffic": GATE}]
    group = connect(local, "codedeploy").get_deployment_group(
        applicationName=outputs["DeploymentApplication"],
        deploymentGroupName=outputs["DeploymentGroup"],
    )["deploymentGroupInfo"]
    assert group["deploymentConfigName"] == "CodeDeployDefault.LambdaCanary10Percent5Minutes"
    assert group["alarmConfiguration"] == {"enabled": True, "alarms": [{"name": "shop-errors-v2"}]}
    assert group["autoRollbackConfiguration"]["enabled"] is True


@pytest.mark.parametrize(
    ("order", "reason"),
    [
        ("Failed", "the gate refused the new version: version 2: Unhandled"),
        ("silent", f"{GATE} ended without a report to CodeDeploy: version 2: Unhandled"),
        ("crash", f"{GATE} ended without a report to CodeDeploy: no such golden sample"),
    ],
)
async def test_what_the_gate_refuses_gets_no_traffic(
    local: Platform, build: Path, order: str, reason: str
) -> None:
    # GIVEN a release whose gate, which comes with it, does not report success
    rebuild(build, order)
    # WHEN it is released
    release = await local.release(read_stack(build, STACK_NAME, REGION))
    # THEN it never has traffic, and everything is as it was
    assert (release.status, release.reason) == ("Failed", reason)
    kinds = ["created", "gate-started", "gate-refused", "rolled-back"]
    assert [event.kind for event in release.events] == kinds
    assert read_alias(local) == ("1", {})
    status, outputs = read_status(local)
    assert (status, outputs["FunctionVersion"]) == ("UPDATE_ROLLBACK_COMPLETE", "1")
    assert list_alarms(local) == {"shop-errors-v1"}
    deployment = read_deployment(local, release.deployment_id)
    assert deployment["errorInformation"] == {"code": "HOOK_EXECUTION_FAILURE", "message": reason}
    back = read_deployment(local, deployment["rollbackInfo"]["rollbackDeploymentId"])
    assert (back["creator"], back["status"]) == ("codeDeployRollback", "Succeeded")
    assert back["rollbackInfo"]["rollbackTriggeringDeploymentId"] == release.deployment_id
    assert read_versions(back) == ("2", "1")
    # AND the gate is the one that came with version 1
    client = connect(local, "lambda")
    answer = await asyncio.to_thread(client.invoke, FunctionName=GATE, Payload="{}")
    assert json.loads(answer["Payload"].read())["version"] == "1"


async def test_a_gate_that_bars_the_way_back_leaves_the_stack_as_it_is(
    local: Platform, build: Path
) -> None:
    """A rollback is a deployment of its own, and its hooks run as those of any other."""
    # GIVEN a release whose gate refuses the rollback, too
    rebuild(build, "bar")
    # WHEN
    release = await local.release(read_stack(build, STACK_NAME, REGION))
    # THEN
    assert [event.kind for event in release.events][-2:] == ["gate-refused", "failed"]
    assert release.events[-1].text == "the gate refused the way back: no way back"
    deployment = read_deployment(local, release.deployment_id)
    back = read_deployment(local, deployment["rollbackInfo"]["rollbackDeploymentId"])
    assert (back["status"], back["errorInformation"]["code"]) == (
        "Failed",
        "HOOK_EXECUTION_FAILURE",
    )
    assert read_status(local)[0] == "UPDATE_ROLLBACK_FAILED"


async def test_a_stack_that_fails_after_the_promotion_takes_the_alias_back_through_codedeploy(
    local: Platform, build: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # GIVEN a resource that fails once the alias has moved
    rebuild(build)

    put = Stages.put

    async def fail(stages: Stages, *arguments: Any) -> Any:
        if read_alias(local) == ("2", {}):
            raise UpdateError("the dashboard is no JSON")
        return await put(stages, *arguments)

    template = build / "template.yaml"
    template.write_text(template.read_text().replace("RateLimit: 1000", "RateLimit: 999"))
    monkeypatch.setattr("infra.local.control.api_resources.Stages.put", fail)
    # WHEN it is released
    stack = read_stack(build, STACK_NAME, REGION, {"DeploymentType": "AllAtOnce"})
    release = await local.release(stack)
    # THEN the version before has all traffic again, and everything is as it was
    assert not release.is_promoted
    assert release.reason == "the stack failed after the promotion: the dashboard is no JSON"
    assert [event.kind for event in release.events][-2:] == ["promoted", "rolled-back"]
    assert read_alias(local) == ("1", {})
    status, outputs = read_status(local)
    assert (status, outputs["FunctionVersion"]) == ("UPDATE_ROLLBACK_COMPLETE", "1")
    assert list_alarms(local) == {"shop-errors-v1"}
    # AND that was a deployment, too
    ids = connect(local, "codedeploy").list_deployments()["deployments"]
    [back] = [
        one
        for one in (read_deployment(local, identity) for identity in ids)
        if one["creator"] == "CloudFormationRollback"
    ]
    assert (back["status"], read_versions(back)) == ("Succeeded", ("2", "1"))


async def test_an_alarm_takes_the_traffic_back(local: Platform, build: Path) -> None:
    # GIVEN a release under requests that all fail, and half an hour to notice
    rebuild(build)
    stack = read_stack(build, STACK_NAME, REGION, {"DeploymentType": "Canary10Percent30Minutes"})
    # WHEN it is released
    async with failing_requests(local):
        release = await local.release(stack)
    # THEN the old version gets its requests back
    kinds = ["created", "gate-started", "gate-passed", "shifted", "alarm", "rolled-back"]
    assert [event.kind for event in release.events] == kinds
    assert (release.status, release.reason) == ("Stopped", "alarms are active: shop-errors-v2")
    assert read_alias(local) == ("1", {})
    assert list_alarms(local) == {"shop-errors-v1"}
    deployment = read_deployment(local, release.deployment_id)
    assert deployment["errorInformation"]["code"] == "ALARM_ACTIVE"
    assert deployment["deploymentOverview"]["Failed"] == 1


async def test_what_the_gate_provokes_sets_off_no_alarm(local: Platform, build: Path) -> None:
    """The gate of these tests makes the new version fail, by its number."""
    rebuild(build)
    release = await local.release(read_stack(build, STACK_NAME, REGION))
    assert release.is_promoted
    log = (build.parent / "local" / "logs" / "2.log").read_text()
    assert "ValueError: no such customer" in log


async def test_each_file_is_read_once_for_its_digest(
    local: Platform, build: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Large layers take half a second each time, just when a rehearsal measures latencies."""
    # GIVEN
    rebuild(build)
    digest = hashlib.file_digest
    names = []

    def note(file: Any, kind: str) -> Any:
        names.append(file.name)
        return digest(file, kind)

    monkeypatch.setattr("infra.local.control.archives.hashlib.file_digest", note)
    # WHEN
    release = await local.release(read_stack(build, STACK_NAME, REGION))
    # THEN
    assert release.is_promoted
    assert {Path(name).name for name in names} >= {"app.py", "gate.py", "model.json"}
    assert len(names) == len(set(names))


async def test_after_a_rollback_the_gate_has_its_own_code_again(
    local: Platform, build: Path
) -> None:
    # GIVEN a release with another gate
    client = connect(local, "lambda")
    before = client.get_function_configuration(FunctionName=GATE)["CodeSha256"]
    rebuild(build, "Failed")
    with (build / "GateFunction" / "gate.py").open("a") as file:
        file.write("# stricter\n")
    # WHEN it is taken back THEN AWS tells the gate that came with version 1
    assert not (await local.release(read_stack(build, STACK_NAME, REGION))).is_promoted
    assert client.get_function_configuration(FunctionName=GATE)["CodeSha256"] == before


@pytest.mark.parametrize(("order", "left"), [("Succeeded", "1"), ("Failed", "2")])
async def test_the_version_that_lost_keeps_no_process(
    local: Platform, build: Path, order: str, left: str
) -> None:
    """Each holds a model in memory, and one release follows the other."""
    rebuild(build, order)
    await local.release(read_stack(build, STACK_NAME, REGION))
    assert local.function.environments(left) == []
    # AND it can still be invoked
    client = connect(local, "lambda")
    call = partial(client.invoke, FunctionName=FUNCTION, Qualifier=left)
    answer = await asyncio.to_thread(call, Payload='{"rawPath": "/echo"}')
    assert answer["ExecutedVersion"] == left
    assert "FunctionError" not in answer


async def begin(local: Platform, build: Path, kind: str, **parameters: str) -> Any:
    """Begin a release, and wait for an event of that kind; return the task of the release."""
    reached = asyncio.Event()

    def tell(event: ReleaseEvent) -> None:
        if event.kind == kind:
            reached.set()

    stack = read_stack(build, STACK_NAME, REGION, parameters)
    releasing = asyncio.create_task(local.release(stack, tell))
    async with asyncio.timeout(30):
        await reached.wait()
    return releasing


async def test_a_person_can_stop_a_deployment(local: Platform, build: Path) -> None:
    # GIVEN a canary in flight
    rebuild(build)
    slow = {"DeploymentType": "Canary10Percent30Minutes"}
    releasing = await begin(local, build, "shifted", **slow)
    client = connect(local, "codedeploy")
    _, outputs = read_status(local)
    group = {
        "applicationName": outputs["DeploymentApplication"],
        "deploymentGroupName": outputs["DeploymentGroup"],
    }
    [running] = client.list_deployments(**group, includeOnlyStatuses=["InProgress"])["deployments"]
    assert read_alias(local) == ("1", {"2": 0.1})
    # WHEN it is stopped
    answer = await asyncio.to_thread(
        client.stop_deployment, deploymentId=running, autoRollbackEnabled=True
    )
    # THEN the old version has all traffic when that is answered
    assert answer["status"] == "Succeeded"
    assert read_alias(local) == ("1", {})
    release = await releasing
    assert [event.kind for event in release.events][-2:] == ["stopped", "rolled-back"]
    deployment = read_deployment(local, running)
    assert (deployment["status"], deployment["errorInformation"]["code"]) == (
        "Stopped",
        "MANUAL_STOP",
    )
    assert client.list_deployments(**group, includeOnlyStatuses=["InProgress"])["deployments"] == []
    # AND it cannot be stopped twice
    with pytest.raises(client.exceptions.DeploymentAlreadyCompletedException):
        client.stop_deployment(deploymentId=running)


async def test_another_build_does_not_bar_the_way_back(local: Platform, build: Path) -> None:
    # GIVEN a canary in flight, and somebody who builds the fix
    rebuild(build)
    slow = {"DeploymentType": "Canary10Percent30Minutes"}
    releasing = await begin(local, build, "shifted", **slow)
    shutil.rmtree(build)
    # WHEN it is stopped
    client = connect(local, "codedeploy")
    [running] = client.list_deployments(includeOnlyStatuses=["InProgress"])["deployments"]
    await asyncio.to_thread(client.stop_deployment, deploymentId=running)
    # THEN everything is as it was
    assert (await releasing).status == "Stopped"
    assert read_status(local)[0] == "UPDATE_ROLLBACK_COMPLETE"
    assert list_alarms(local) == {"shop-errors-v1"}


async def test_a_deployment_can_be_stopped_while_the_gate_works(
    local: Platform, build: Path
) -> None:
    rebuild(build, "wait")
    releasing = await begin(local, build, "gate-started")
    client = connect(local, "codedeploy")
    [running] = client.list_deployments(includeOnlyStatuses=["InProgress"])["deployments"]
    await asyncio.to_thread(client.stop_deployment, deploymentId=running)
    assert (await releasing).status == "Stopped"
    assert read_alias(local) == ("1", {})


async def test_one_release_at_a_time(local: Platform, build: Path) -> None:
    # GIVEN a release that is under way
    rebuild(build)
    stack = read_stack(build, STACK_NAME, REGION)
    releasing = await begin(local, build, "gate-started")
    # WHEN another is asked for THEN neither way takes it
    with pytest.raises(UpdateError, match="a release of stack shop is in progress"):
        await local.release(stack)
    client = connect(local, "cloudformation")
    body = (build / "template.yaml").read_text()
    with pytest.raises(client.exceptions.ClientError, match="is in UPDATE_IN_PROGRESS state"):
        await asyncio.to_thread(client.update_stack, StackName="shop", TemplateBody=body)
    assert (await releasing).is_promoted


@pytest.mark.parametrize(
    ("version", "weights"), [("2", {}), ("1", {"2": 0.5})], ids=["moved", "weighted"]
)
async def test_an_alias_that_somebody_moved_is_refused(
    local: Platform, build: Path, version: str, weights: dict[str, float]
) -> None:
    # GIVEN an alias that is not where CloudFormation left it
    await local.publish(read_stack(build, STACK_NAME, REGION))
    connect(local, "lambda").update_alias(
        FunctionName=FUNCTION,
        Name="live",
        FunctionVersion=version,
        RoutingConfig={"AdditionalVersionWeights": weights},
    )
    # WHEN there is a release THEN CodeDeploy leaves the alias alone
    rebuild(build)
    release = await local.release(read_stack(build, STACK_NAME, REGION))
    assert release.status == "Failed"
    assert release.reason.endswith("not all to the current version 1")
    assert read_alias(local) == (version, weights)
    error = read_deployment(local, release.deployment_id)["errorInformation"]
    assert error["code"] == "INVALID_LAMBDA_CONFIGURATION"


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"status": "Skipped"}, "InvalidLifecycleEventHookExecutionStatusException"),
        ({"status": "Failed"}, "InvalidLifecycleEventHookExecutionIdException"),
        ({"status": "Failed", "deploymentId": "d-ABSENT123"}, "DeploymentDoesNotExistException"),
    ],
)
async def test_reports_of_strangers_are_refused(
    local: Platform, build: Path, arguments: dict[str, str], error: str
) -> None:
    rebuild(build)
    releasing = await begin(local, build, "gate-started")
    client = connect(local, "codedeploy")
    [running] = client.list_deployments(includeOnlyStatuses=["InProgress"])["deployments"]
    report = {"deploymentId": running, "lifecycleEventHookExecutionId": "another", **arguments}
    with pytest.raises(client.exceptions.from_code(error)):
        await asyncio.to_thread(client.put_lifecycle_event_hook_execution_status, **report)
    assert (await releasing).is_promoted
