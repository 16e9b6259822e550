"""Stacks that are created again, side by side, or not to their end."""

import asyncio
import json
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import NoReturn

import pytest
from botocore.exceptions import ClientError

from infra.local.control.moto_resources import MotoResources
from infra.local.control.resource import Held
from infra.local.errors import BuildError, LocalRunError, TemplateError, UpdateError
from infra.local.functions.invoker import Target
from infra.local.functions.versions import LATEST, Call, HostedFunction
from infra.local.platform import Platform, open_platform
from infra.local.stack import read_stack
from tests.canary_stack import GATE, add_canary
from tests.lane import build_lane, read_lane
from tests.tiny_stack import FUNCTION, REGION, STACK_NAME, Gate, connect

NAMED = {"CodeUri: Asker": "CodeUri: Asker\n      FunctionName: asker"}
DELETE = MotoResources.delete
BAD = """  Bad:
    Type: AWS::IAM::Role
    DependsOn: Asker
    Properties: {AssumeRolePolicyDocument: {}, Boundary: x}
Outputs:"""


@pytest.fixture
async def account(tmp_path: Path, managed_python: Path) -> AsyncIterator[Platform]:
    """An account without a stack."""
    async with open_platform(REGION, python=managed_python, directory=tmp_path / "x") as local:
        yield local


async def keep_outbox(resources: MotoResources, held: Held) -> None:
    """Delete a resource, but fail at one."""
    if held.wanted.logical_id == "Outbox":
        raise RuntimeError("the queue is in use")
    await DELETE(resources, held)


async def test_a_deleted_stack_can_be_created_again(account: Platform, build: Path) -> None:
    # GIVEN a stack that was deleted
    await account.create_stack(read_stack(build, STACK_NAME, REGION))
    await account.delete_stack(STACK_NAME)
    # WHEN it is created again from the same build
    await account.create_stack(read_stack(build, STACK_NAME, REGION))
    # THEN its version has the next number, as on Lambda, and an environment that is started
    hosted = account.invoker.hosted[FUNCTION]
    assert account.invoker.pick(Target(FUNCTION, "live")) == "2"
    assert len(hosted.environments("2")) == 1


async def test_two_stacks_may_have_a_gate_each(
    account: Platform, build: Path, tmp_path: Path
) -> None:
    # WHEN the same build is deployed as two stacks
    add_canary(build)
    await account.create_stack(read_stack(build, STACK_NAME, REGION))
    await account.create_stack(read_stack(build, "other", REGION))
    # THEN each hook has a folder of its own
    for name in (GATE, "CodeDeployHook_other_gate"):
        assert (tmp_path / "x" / name / "versions" / "1" / "task" / "gate.py").exists()


async def test_a_cancelled_invocation_leaves_no_busy_environment(
    account: Platform, build: Path, gate: Gate
) -> None:
    # GIVEN an invocation that is cancelled while the handler works
    await account.create_stack(read_stack(build, STACK_NAME, REGION))
    hosted = account.invoker.hosted[FUNCTION]
    port = gate.path.rpartition("=")[2]
    wait = {"rawPath": "/wait", "queryStringParameters": {"port": port}}
    running = asyncio.create_task(hosted.invoke("1", json.dumps(wait).encode(), Call("")))
    await gate.arrival()
    [busy] = hosted.environments("1")
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    # THEN its environment has ended, and another one answers the next event
    assert not busy.alive
    assert b"good morning" in await hosted.invoke("1", b'{"rawPath": "/echo"}', Call(""))


async def test_a_function_s_name_is_taken_once(account: Platform, tmp_path: Path) -> None:
    # GIVEN a stack whose function has a name of its own
    lane_build = build_lane(tmp_path / "lane-build", NAMED)
    await account.create_stack(read_lane(lane_build, REGION))
    hosted = account.invoker.hosted["asker"]
    # WHEN another stack has a function of that name THEN it is refused, and the first one stays
    with pytest.raises(UpdateError, match="asker already exists"):
        await account.create_stack(read_stack(lane_build, "second", REGION))
    assert account.invoker.hosted["asker"] is hosted
    assert connect(account, "lambda").get_function(FunctionName="asker")


async def test_a_function_that_cannot_be_copied_is_taken_back(
    account: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # GIVEN a disk that is full when the code is copied
    async def fail(*_: object) -> NoReturn:
        raise BuildError(OSError(28, "No space left on device"))

    lane_build = build_lane(tmp_path / "lane-build", NAMED)
    with monkeypatch.context() as patched:
        patched.setattr(HostedFunction, "add", fail)
        with pytest.raises(BuildError):
            await account.create_stack(read_lane(lane_build, REGION))
    # THEN nothing of the function is left, and the stack can be created
    assert "asker" not in account.invoker.hosted
    assert connect(account, "lambda").list_functions()["Functions"] == []
    await account.create_stack(read_lane(lane_build, REGION))


async def test_a_rollback_restores_the_reserved_concurrency(
    account: Platform, tmp_path: Path
) -> None:
    # GIVEN a function that may run, and an update that fails after it was forbidden
    lane_build = build_lane(tmp_path / "lane-build", NAMED)
    await account.create_stack(read_lane(lane_build, REGION))
    template = lane_build / "template.yaml"
    text = template.read_text().replace("Outputs:", BAD)
    reserved = "FunctionName: asker\n      ReservedConcurrentExecutions: 0"
    template.write_text(text.replace("FunctionName: asker", reserved))
    with pytest.raises(LocalRunError, match="does not know Boundary"):
        await account.formation.update(read_lane(lane_build, REGION))
    # THEN it may run again
    assert account.formation.find("lane").record.status == "UPDATE_ROLLBACK_COMPLETE"
    answer = await account.invoker.hosted["asker"].invoke(LATEST, b'{"do": "x"}', Call(""))
    assert json.loads(answer) == {"done": {"do": "x"}}


async def test_a_stack_that_cannot_be_deleted_can_be_deleted_later(
    account: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # GIVEN a stack of which one resource cannot be deleted
    await account.create_stack(read_lane(build_lane(tmp_path / "lane-build"), REGION))
    formation = connect(account, "cloudformation")
    delete = partial(asyncio.to_thread, partial(formation.delete_stack, StackName="lane"))
    # WHEN it is deleted THEN its status is that of CloudFormation
    with monkeypatch.context() as patched:
        patched.setattr(MotoResources, "delete", keep_outbox)
        with pytest.raises(ClientError, match=r"Outbox .*the queue is in use"):
            await delete()
    [stack] = formation.describe_stacks(StackName="lane")["Stacks"]
    assert stack["StackStatus"] == "DELETE_FAILED"
    assert "the queue is in use" in stack["StackStatusReason"]
    # AND once nothing is in the way, what is left can be deleted
    await delete()
    assert "lane" not in account.formation
    assert "QueueUrls" not in connect(account, "sqs").list_queues(QueueNamePrefix="lane-")


async def test_a_creation_that_cannot_be_taken_back_can_be_deleted_later(
    account: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # GIVEN a creation that fails, and so does the deletion of what it has made
    lane_build = build_lane(tmp_path / "lane-build", {"Outputs:": BAD})
    with monkeypatch.context() as patched:
        patched.setattr(MotoResources, "delete", keep_outbox)
        with pytest.raises(TemplateError, match="does not know Boundary"):
            await account.create_stack(read_lane(lane_build, REGION))
    # THEN the stack is there, with the status of CloudFormation, until it is deleted
    [stack] = connect(account, "cloudformation").describe_stacks(StackName="lane")["Stacks"]
    assert stack["StackStatus"] == "ROLLBACK_FAILED"
    assert "the queue is in use" in stack["StackStatusReason"]
    await account.delete_stack("lane")
    assert "QueueUrls" not in connect(account, "sqs").list_queues(QueueNamePrefix="lane-")


async def test_a_function_keeps_its_layers_when_another_one_goes(
    account: Platform, build: Path
) -> None:
    # GIVEN two functions with the same layers
    add_canary(build)
    await account.create_stack(read_stack(build, STACK_NAME, REGION))
    inference, gate = (account.invoker.hosted[name] for name in (FUNCTION, GATE))
    places = [hosted.find(LATEST).place for hosted in (inference, gate)]
    # THEN the layers are on the disk once, and each function has a folder with them
    models = [place.opt / "model" / "model.json" for place in places]
    assert models[0] != models[1]
    assert models[0].samefile(models[1])
    # WHEN either is cleared THEN the other one keeps its folder
    await account.hosting.clear(inference)
    assert not places[0].opt.exists()
    assert models[1].exists()


async def test_a_replaced_function_that_was_never_published_leaves_no_files(
    account: Platform, tmp_path: Path
) -> None:
    # GIVEN a function without versions
    lane_build = build_lane(tmp_path / "lane-build", NAMED)
    await account.create_stack(read_lane(lane_build, REGION))
    handler = lane_build / "Asker" / "asker.py"
    # WHEN it is updated again and again
    for number in range(4):
        handler.write_text(f"{handler.read_text()}\n# {number}\n")
        await account.formation.update(read_lane(lane_build, REGION))
        while account.formation.find("lane").record.status != "UPDATE_COMPLETE":  # noqa: ASYNC110 it tells nobody
            await asyncio.sleep(0.05)
    # THEN there is the code of now, and the one before, for a rollback
    folders = list(account.invoker.hosted["asker"].files.iterdir())
    assert sorted(folder.name for folder in folders) == ["4", "5"]
