"""Stacks that are created again, side by side, or not to their end."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from infra.local.functions.invoker import Target
from infra.local.platform import Platform, open_platform
from infra.local.stack import read_stack
from tests.canary_stack import GATE, add_canary
from tests.tiny_stack import FUNCTION, REGION, STACK_NAME

NAMED = {"CodeUri: Asker": "CodeUri: Asker\n      FunctionName: asker"}
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
