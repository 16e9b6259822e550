"""UpdateStack on the local run: what `infra deploy` sends there."""

import asyncio
import shutil
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from botocore.exceptions import ClientError

from infra.local.errors import UpdateError
from infra.local.platform import Platform
from infra.local.stack import BuiltStack, read_stack
from infra.release.built_template import publishes, read_built_template
from infra.stack import DeployedStack
from tests.canary_stack import (
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


async def update(local: Platform, **arguments: Any) -> str:
    """Update the stack to what is built; return its status when that is over."""
    client = connect(local, "cloudformation")
    await asyncio.to_thread(partial(client.update_stack, StackName="shop", **arguments))
    async with asyncio.timeout(60):
        while read_status(local)[0] == "UPDATE_IN_PROGRESS":  # noqa: ASYNC110 moto tells nobody
            await asyncio.sleep(0.05)
    return read_status(local)[0]


def read_body(build: Path) -> dict[str, str]:
    return {"TemplateBody": (build / "template.yaml").read_text()}


def read_parameters(local: Platform) -> dict[str, str]:
    [stack] = connect(local, "cloudformation").describe_stacks(StackName="shop")["Stacks"]
    return {one["ParameterKey"]: one["ParameterValue"] for one in stack["Parameters"]}


def give(**values: str) -> list[dict[str, str]]:
    return [{"ParameterKey": key, "ParameterValue": value} for key, value in values.items()]


async def test_releases_what_is_built_with_its_parameters(local: Platform, build: Path) -> None:
    # GIVEN a stack as it was created, and another build
    assert read_status(local)[0] == "CREATE_COMPLETE"
    assert read_parameters(local) == {"Burst": "1000", "DeploymentType": "Canary10Percent5Minutes"}
    rebuild(build)
    # WHEN the stack is updated, with a parameter
    parameters = give(DeploymentType="AllAtOnce")
    assert await update(local, **read_body(build), Parameters=parameters) == "UPDATE_COMPLETE"
    # THEN the build is released, and the stack tells so
    assert read_alias(local) == ("2", {})
    assert read_status(local)[1]["FunctionVersion"] == "2"
    assert read_parameters(local) == {"Burst": "1000", "DeploymentType": "AllAtOnce"}
    [deployment] = connect(local, "codedeploy").list_deployments()["deployments"]
    config = read_deployment(local, deployment)["deploymentConfigName"]
    assert config == "CodeDeployDefault.LambdaAllAtOnce"
    async with httpx.AsyncClient(base_url=local.url) as client:
        assert (await client.get("/echo")).json()["release"] == "two"


async def test_publishes_nothing_if_nothing_changed(local: Platform, build: Path) -> None:
    # WHEN only a parameter changes THEN it takes effect without a release
    parameters = give(Burst="1")
    assert await update(local, **read_body(build), Parameters=parameters) == "UPDATE_COMPLETE"
    versions = connect(local, "lambda").list_versions_by_function(FunctionName=FUNCTION)["Versions"]
    assert {version["Version"] for version in versions} == {"$LATEST", "1"}
    assert connect(local, "codedeploy").list_deployments()["deployments"] == []
    assert read_parameters(local)["Burst"] == "1"
    async with httpx.AsyncClient(base_url=local.url) as client:
        requests = (client.get("/echo") for _ in range(20))
        assert 429 in {answer.status_code for answer in await asyncio.gather(*requests)}


async def test_the_template_shows_whether_another_build_would_publish(
    local: Platform, build: Path
) -> None:
    # GIVEN the template as it was deployed, with digests of the folders in the place of their paths
    def differs() -> bool | None:
        account: Any = SimpleNamespace(session=SimpleNamespace(client=partial(connect, local)))
        template = DeployedStack(account, "shop").read_template()
        return publishes(read_built_template(build), template)

    assert differs() is False
    # WHEN something else is built THEN it would be published, until it is
    rebuild(build)
    assert differs() is True
    assert await update(local, **read_body(build)) == "UPDATE_COMPLETE"
    assert differs() is False
    # AND a release that is taken back leaves the template as it was
    rebuild(build, "Failed", release="three")
    assert await update(local, **read_body(build)) == "UPDATE_ROLLBACK_COMPLETE"
    assert differs() is True
    # AND so does an alias that was moved by hand
    rebuild(build)
    connect(local, "lambda").update_alias(FunctionName=FUNCTION, Name="live", FunctionVersion="1")
    assert differs() is False
    parameters = give(Burst="1")
    assert await update(local, **read_body(build), Parameters=parameters) == "UPDATE_COMPLETE"
    assert read_alias(local) == ("1", {})


async def test_what_was_refused_cannot_be_published_again(local: Platform, build: Path) -> None:
    # GIVEN a release that the gate refused
    rebuild(build, "Failed")
    assert await update(local, **read_body(build)) == "UPDATE_ROLLBACK_COMPLETE"
    assert read_status(local)[1]["FunctionVersion"] == "1"
    # WHEN it is tried again THEN Lambda has that version already, and there is no deployment
    before = connect(local, "codedeploy").list_deployments()["deployments"]
    assert await update(local, **read_body(build)) == "UPDATE_ROLLBACK_COMPLETE"
    assert connect(local, "codedeploy").list_deployments()["deployments"] == before
    # AND another build is released
    rebuild(build, release="three")
    assert await update(local, **read_body(build)) == "UPDATE_COMPLETE"
    assert read_alias(local) == ("3", {})


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        (give(Absent="1"), r"Parameters: \[Absent\] do not exist in the template"),
        (give(DeploymentType="Mine"), "parameter DeploymentType is Mine, allowed: Canary10"),
    ],
)
async def test_refuses_parameters_that_cloudformation_refuses(
    local: Platform, build: Path, parameters: Any, message: str
) -> None:
    with pytest.raises(connect(local, "cloudformation").exceptions.ClientError, match=message):
        await update(local, **read_body(build), Parameters=parameters)
    assert read_status(local)[0] == "CREATE_COMPLETE"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("GREETING: hello", "LD_PRELOAD: /tmp/x.so", "LD_PRELOAD, which the loader"),
        ("GREETING: hello", "PYTHONPATH: /tmp", "PYTHONPATH, which an interpreter"),
        ("CodeUri: InferenceFunction", "CodeUri: /tmp", "takes code from a folder named 'tmp'"),
        ("ContentUri: RuntimeLayer", "ContentUri: ../x", "takes code from a folder named 'x'"),
        ("Handler: app.handler", "Handler: os.system", r"Handler is 'os\.system'"),
        ("Runtime: python3.13", "Runtime: x/../..", "Runtime is"),
    ],
)
async def test_a_template_that_reaches_out_of_its_build_is_refused(
    local: Platform, build: Path, old: str, new: str, message: str
) -> None:
    # GIVEN a template that would run something else on this machine
    body = (build / "template.yaml").read_text()
    assert old in body
    # WHEN it is to be released THEN the error names it
    with pytest.raises(ClientError, match=message) as raised:
        await update(local, TemplateBody=body.replace(old, new))
    assert raised.value.response["Error"]["Code"] == "ValidationError"
    # AND what runs goes on
    assert read_status(local)[0] == "CREATE_COMPLETE"
    async with httpx.AsyncClient(base_url=local.url) as client:
        assert (await client.get("/echo")).json()["greeting"] == "good morning"


@pytest.mark.parametrize("body", ["x", "[]", "{", "Resources: 1", "Resources: {A: 1}", "a: !b"])
async def test_what_is_no_template_is_refused(local: Platform, body: str) -> None:
    with pytest.raises(ClientError) as raised:
        await update(local, TemplateBody=body)
    assert raised.value.response["Error"]["Code"] == "ValidationError"


async def test_keeps_a_parameter_that_is_to_stay(local: Platform, build: Path) -> None:
    await update(local, **read_body(build), Parameters=give(Burst="7"))
    same = [{"ParameterKey": "Burst", "UsePreviousValue": True}]
    await update(local, **read_body(build), Parameters=same)
    assert read_parameters(local)["Burst"] == "7"


async def test_refuses_new_stacks_and_change_sets(local: Platform, build: Path) -> None:
    client = connect(local, "cloudformation")
    body = read_body(build)
    calls = (
        (partial(client.create_stack, StackName="other"), "start the local run again"),
        (partial(client.create_change_set, StackName="shop", ChangeSetName="x"), "UpdateStack"),
    )
    for call, advice in calls:
        with pytest.raises(ClientError, match=advice) as raised:
            call(**body)
        assert raised.value.response["Error"]["Code"] == "ValidationError"
    assert [one["StackName"] for one in client.describe_stacks()["Stacks"]] == ["shop"]


async def test_other_stacks_are_moto_s(local: Platform) -> None:
    # GIVEN a stack of somebody else
    client = connect(local, "cloudformation")
    topic = '{"Resources": {"Topic": {"Type": "AWS::SNS::Topic"}%s}}'
    local.cloud.stacks.create_stack("other", topic % "", {})
    # WHEN it is updated THEN that is no release
    more = topic % ', "More": {"Type": "AWS::SNS::Topic"}'
    client.update_stack(StackName="other", TemplateBody=more)
    assert len(client.list_stack_resources(StackName="other")["StackResourceSummaries"]) == 2
    assert read_alias(local) == ("1", {})


async def test_a_build_that_is_gone_meanwhile_is_reported(start: Starter, build: Path) -> None:
    # GIVEN somebody who builds again just after the template was read
    def read(body: str | None, parameters: Mapping[str, str]) -> BuiltStack:
        stack = read_stack(build, STACK_NAME, REGION, parameters, body)
        shutil.rmtree(build / "ModelLayer")
        return stack

    local = await start(read=read)
    rebuild(build)
    client = connect(local, "cloudformation")
    # WHEN it is to be released
    with pytest.raises(client.exceptions.ClientError) as raised:
        await update(local, **read_body(build))
    # THEN one line says what to do, without a path, and nothing has changed
    error = raised.value.response["Error"]
    assert error["Code"] == "ValidationError"
    assert error["Message"] == (
        "what was built cannot be read (No such file or directory): build it again"
    )
    assert read_status(local)[0] == "CREATE_COMPLETE"
    assert {"$LATEST", "1"} == {
        one["Version"]
        for one in connect(local, "lambda").list_versions_by_function(FunctionName=FUNCTION)[
            "Versions"
        ]
    }


async def test_a_build_that_is_gone_while_it_is_copied_is_reported(
    local: Platform, build: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # GIVEN a file that goes after everything was read once
    rebuild(build)
    copytree = shutil.copytree

    def vanish(source: Path, *arguments: Any, **options: Any) -> Any:
        if source.name == "InferenceFunction":
            shutil.rmtree(source)
        return copytree(source, *arguments, **options)

    monkeypatch.setattr("infra.local.functions.versions.shutil.copytree", vanish)
    client = connect(local, "cloudformation")
    # WHEN / THEN
    with pytest.raises(client.exceptions.ClientError, match="what was built cannot be read"):
        await update(local, **read_body(build))
    assert read_status(local)[0] == "UPDATE_ROLLBACK_COMPLETE"
    assert read_alias(local) == ("1", {})


async def test_of_two_updates_at_once_one_is_refused(local: Platform, build: Path) -> None:
    # GIVEN a change that needs no release
    stack = read_stack(build, STACK_NAME, REGION, {"Burst": "7"})
    # WHEN two ask for it at the same time
    formation = local.formation
    answers = await asyncio.gather(
        formation.update(stack), formation.update(stack), return_exceptions=True
    )
    # THEN
    done, refused = sorted(answers, key=lambda answer: answer is not None)
    assert done is None
    assert isinstance(refused, UpdateError)
    assert read_status(local)[0] == "UPDATE_COMPLETE"


async def test_without_a_build_there_is_nothing_to_release(start: Starter, build: Path) -> None:
    local = await start()
    client = connect(local, "cloudformation")
    with pytest.raises(client.exceptions.ClientError, match="without a build"):
        await update(local, **read_body(build))


async def test_a_stack_without_a_deployment_group_moves_its_alias(
    start: Starter, build: Path
) -> None:
    # GIVEN a template whose function has no deployment preference
    template = build / "template.yaml"
    text = template.read_text()
    begin, end = text.index("      DeploymentPreference:\n"), text.index("      Events:\n")
    text = text[:begin] + text[end:]
    begin = text.index("  DeploymentApplication:\n")
    template.write_text(text[:begin])

    def read(body: str | None, parameters: Mapping[str, str]) -> BuiltStack:
        return read_stack(build, STACK_NAME, REGION, parameters, body)

    local = await start(read=read)
    # WHEN it is updated THEN the alias moves at once, without gate or CodeDeploy
    rebuild(build, "Failed")
    assert await update(local, **read_body(build)) == "UPDATE_COMPLETE"
    assert read_alias(local) == ("2", {})
