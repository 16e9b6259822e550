"""Releases with the real `infra` command, on the local run of the files that deploy."""

import asyncio
import json
import math
import os
import sys
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from onnx import ModelProto

from infra.local.functions import managed_runtime
from infra.local.platform import Platform, serve
from infra.local.stack import BuiltStack, read_stack
from infra.project import MARKS
from tests import local_aws
from tests.model_variants import with_columns
from tests.onnx_models import logistic, package
from tests.sam_template import PROJECT

BUILT = Path(__file__).parents[2] / ".aws-sam/build"
NAME = "serverless-onnx"
REGION = "eu-west-1"
ALL_AT_ONCE = ("--parameter", "DeploymentType=AllAtOnce")


@dataclass(frozen=True)
class Result:
    """How a command ended; `told` is the JSON that it printed, if it was asked for that."""

    code: int
    out: str
    err: str

    @property
    def told(self) -> Any:
        return json.loads(self.out)


@dataclass(frozen=True)
class Shop:
    """A service on the local run, and a checkout from which it is operated."""

    checkout: Path
    local: Platform
    client: httpx.AsyncClient

    async def infra(self, *arguments: str) -> Result:
        """Run the command to its end."""
        process = await self.start(*arguments)
        out, err = await process.communicate()
        assert process.returncode is not None
        return Result(process.returncode, out.decode(), err.decode())

    async def start(self, *arguments: str) -> asyncio.subprocess.Process:
        """Start the command without a terminal."""
        tools = Path(sys.executable).parent
        path = f"{tools}{os.pathsep}{os.environ['PATH']}"  # messages then say `infra`
        return await asyncio.create_subprocess_exec(
            tools / "infra",
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=self.checkout,
            env=os.environ | dict(self.local.cloud.variables()) | {"PATH": path},
        )

    def build(self, version: str, model: ModelProto | None = None, **fields: Any) -> BuiltStack:
        """Do what `sam build` would do with another version of the model; return the stack."""
        package(
            self.checkout / ".aws-sam/build/ModelLayer/model",
            model or logistic(),
            version=version,
            **fields,
        )
        return read_stack(self.checkout / ".aws-sam/build", NAME, REGION)

    async def ask(self) -> str:
        """Return the function's version that answers the next request."""
        answer = await self.client.get("/v2")
        assert answer.status_code == 200
        return str(answer.json()["version"])

    async def count(self, requests: int) -> Counter[str]:
        """Return how many of the requests each version answered."""
        return Counter([await self.ask() for _ in range(requests)])

    def alias(self) -> Any:
        client = local_aws.connect(self.local.cloud.variables(), "lambda")
        return client.get_alias(FunctionName=f"{NAME}-InferenceFunction", Name="live")


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    """Service whose version 1 serves a tiny model, without a golden sample."""
    build = tmp_path / ".aws-sam/build"
    build.mkdir(parents=True)
    for path in BUILT.iterdir():
        if path.name != "ModelLayer":
            (build / path.name).symlink_to(path)
    package(build / "ModelLayer/model", logistic())
    for name in MARKS:
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (0, 0))  # older than the build

    def read(_: str | None, parameters: Any) -> BuiltStack:
        return read_stack(build, NAME, REGION, parameters)

    async with (
        serve(
            read(None, {"ThrottleRate": "10000", "ThrottleBurst": "1000"}),
            python=await managed_runtime.prepare(PROJECT.managed_runtime),
            directory=tmp_path / "run",
            read=read,
            metric_delay=0,
            watch=False,
        ) as local,
        httpx.AsyncClient(base_url=local.url, timeout=60) as client,
    ):
        yield Shop(tmp_path, local, client)


async def test_a_canary_by_hand_and_the_way_back(shop: Shop) -> None:
    # GIVEN a second version, published and not served
    assert await shop.local.publish(shop.build("2")) == "2"
    assert await shop.ask() == "1"

    # WHEN it is to get 10 %, and nobody can confirm that THEN it gets none
    result = await shop.infra("shift", "10")
    assert result.code == 1
    assert "Error: there is no terminal to confirm on: `infra shift 10 --yes` does it" in result.err
    assert await shop.count(20) == {"1": 20}

    # WHEN it gets 10 %
    result = await shop.infra("shift", "10", "--yes")
    assert result.code == 0, result.err
    assert "Version 2 will get 10 % of the traffic, version 1 will keep 90 %." in result.err
    assert result.out.startswith("Of the traffic, version 1 has 90 %, 2 has 10 %.\n")

    # THEN about 40 of 400 requests reach it: within 5 standard deviations of a binomial
    counts = await shop.count(400)
    assert counts.total() == 400
    assert abs(counts["2"] - 40) <= 5 * math.sqrt(400 * 0.1 * 0.9)
    assert counts["1"] + counts["2"] == 400

    # AND the status tells both, with their models
    await shop.local.flush()
    status = (await shop.infra("status", "--json")).told
    told = {one["version"]: one for one in status["versions"]}
    assert {version: one["share"] for version, one in told.items()} == {"1": 0.9, "2": 0.1}
    assert [one["model_version"] for one in told.values()] == ["1", "2"]
    assert len(told["1"]["sha256"]) == 64
    assert told["2"]["requests"] >= counts["2"]
    assert told["2"]["error_percent"] == 0
    assert (status["agrees"], status["deployment"], status["alarms"]) == (False, None, [])

    # WHEN it is rolled back THEN the next requests are all the old version's
    result = await shop.infra("rollback", "--yes")
    assert result.code == 0, result.err
    assert "Version 1 has all traffic, after " in result.out
    assert await shop.count(50) == {"1": 50}
    assert shop.alias()["FunctionVersion"] == "1"


async def test_a_promotion_by_hand_is_rolled_back_without_history(shop: Shop) -> None:
    # GIVEN version 2, promoted by hand
    await shop.local.publish(shop.build("2"))
    assert (await shop.infra("shift", "50", "--to", "2", "--yes")).code == 0
    promoted = (await shop.infra("promote", "--yes", "--json")).told
    assert (promoted["version"], promoted["shares"]) == ("2", {"2": 1.0})
    assert await shop.ask() == "2"
    assert shop.alias()["Description"].startswith("promoted from 1 to 2 at ")

    # WHEN it is rolled back THEN the record of that promotion tells where to
    back = await shop.infra("rollback", "--yes", "--json")
    assert back.code == 0, back.err
    assert (back.told["version"], back.told["changed"]) == ("1", True)
    assert await shop.ask() == "1"
    assert shop.alias()["Description"].startswith("rolled back from 2 to 1 at ")

    # AND a second time changes nothing
    again = await shop.infra("rollback", "--yes", "--json")
    assert (again.code, again.told["changed"], again.told["version"]) == (0, False, "1")


async def test_what_cannot_begin_is_reported_in_one_line(shop: Shop) -> None:
    shop.build("2")
    result = await shop.infra("deploy", "--yes", "--env", "nope")
    assert (result.code, result.out) == (1, "")
    assert result.err.startswith("Error: samconfig.toml names no stack for nope: ")
    result = await shop.infra("deploy", "--yes", "--parameter", "DeploymentType=Slow")
    assert result.code == 1
    assert result.err.startswith("Error: DeploymentType is 'Slow', expected one of ")
    result = await shop.infra("rollback", "--yes")
    assert result.err == "Error: there is only version 1, nothing to go back to: `infra status`\n"
    assert await shop.ask() == "1"


async def test_a_release_is_deployed_rolled_back_and_fixed(shop: Shop) -> None:
    # GIVEN a release that passes the gate
    shop.build("2")
    result = await shop.infra("deploy", "--yes", "--json", *ALL_AT_ONCE)
    assert result.code == 0, result.err
    assert (result.told["result"], result.told["version"]) == ("promoted", "2")
    assert await shop.ask() == "2"

    # WHEN it is rolled back THEN CodeDeploy's history tells where to
    back = await shop.infra("rollback", "--yes")
    assert back.code == 0, back.err
    assert "Version 1 will get all traffic at once, version 2 none." in back.err
    assert "CloudFormation still has live on version 2. Fix" in back.out
    assert await shop.ask() == "1"

    # WHEN only a parameter changes THEN it is deployed, and the alias stays where it is
    changed = await shop.infra("deploy", "--yes", "--json", "--parameter", "MaxErrorPercent=2")
    assert changed.code == 0, changed.err
    assert (changed.told["result"], changed.told["version"]) == ("unchanged", "1")
    assert "live is on version 1: no version will be published, so it stays" in changed.err
    assert await shop.ask() == "1"

    # WHEN the fixed one is deployed at once THEN the preflight refuses, and says how
    shop.build("3")
    refused = await shop.infra("deploy", "--yes")
    assert refused.code == 1
    assert "and CloudFormation has it on 2: `infra deploy --resync`" in refused.err
    assert await shop.ask() == "1"

    # WHEN it is deployed so THEN the new version has all traffic
    fixed = await shop.infra("deploy", "--resync", "--yes", "--json")
    assert fixed.code == 0, fixed.err
    assert (fixed.told["result"], fixed.told["version"]) == ("promoted", "3")
    assert await shop.ask() == "3"

    # AND a rollback of it never goes to the version that was rolled back
    back = await shop.infra("rollback", "--yes", "--json")
    assert back.code == 0, back.err
    assert back.told["version"] == "1"
    assert await shop.ask() == "1"


async def test_a_release_that_answers_otherwise_is_refused_or_remarked_on(shop: Shop) -> None:
    # GIVEN a model that takes its columns in another order
    ranges = [{"name": name, "minimum": -10.0, "maximum": 10.0} for name in "abcd"]
    table = [{"name": "features", "datatype": "FP32", "shape": [-1, 4], "features": ranges}]
    shop.build("2", with_columns(logistic(), [1, 2, 0, 3]), inputs=table)

    # WHEN it is deployed THEN the gate's line says how to release it all the same
    result = await shop.infra("deploy", "--yes", *ALL_AT_ONCE)
    assert result.code == 3, result.err
    assert "of 1,000 numbers (" in result.out
    command = "infra deploy --parameter MaxAnswerChange=100"
    assert f"(`{command}` releases it nevertheless)" in result.out
    assert await shop.ask() == "1"

    # WHEN that is done
    again = await shop.infra(*command.split()[1:], "--yes", "--json", *ALL_AT_ONCE)
    assert (again.code, again.told["result"]) == (0, "promoted"), again.err
    assert "version 3 passed; look at how its answers change: rows drawn" in again.told["remark"]

    # THEN the next release is judged again
    shop.build("4", inputs=table)
    result = await shop.infra("deploy", "--yes", *ALL_AT_ONCE)
    assert result.code == 3, result.err
    assert "at most 10 % is allowed" in result.out


async def test_a_release_that_the_gate_refuses_says_why(shop: Shop) -> None:
    # GIVEN a model that does not answer its own golden sample
    sample = {"inputs": {"features": [[0, 0, 0, 0]]}, "outputs": {"scores": [[0.9]]}}
    shop.build("2", golden=[sample])

    # WHEN it is deployed THEN it gets no traffic, and the exit code says so
    result = await shop.infra("deploy", "--yes", "--json")
    assert result.code == 3, result.err
    assert (result.told["result"], result.told["version"]) == ("rolled back", "1")
    assert "golden" in result.told["reason"]
    assert "checks=" not in result.told["reason"]
    assert await shop.ask() == "1"

    # AND whoever looks later finds out, too
    status = await shop.infra("status")
    assert "of version 2 ended as Failed: the gate refused the new version: " in status.out
    assert "Version 2 gets no traffic." in status.out
    await shop.local.flush()
    assert "version 2 refused: " in (await shop.infra("logs", "--errors")).out
    assert "WARNING: Deployment d-" in (await shop.infra("shift", "10")).err

    # AND there is nothing to roll back
    back = await shop.infra("rollback", "--yes")
    assert (back.code, back.out) == (0, "")
    assert "ended as Failed." in back.err

    # AND what it left behind does not stand in the way of the next release
    shop.build("2")
    fixed = await shop.infra("deploy", "--yes", "--json", *ALL_AT_ONCE)
    assert fixed.code == 0, fixed.err
    assert (fixed.told["result"], fixed.told["version"]) == ("promoted", "3")


async def test_a_canary_of_codedeploy_is_stopped(shop: Shop) -> None:
    # GIVEN a release that is on its way
    shop.build("2")
    deploying = await shop.start("deploy", "--yes", "--json")
    try:
        while not (shop.alias().get("RoutingConfig") or {}).get("AdditionalVersionWeights"):
            assert deploying.returncode is None
            await asyncio.sleep(0.1)
        status = (await shop.infra("status", "--json")).told
        assert status["deployment"]["status"] == "InProgress"
        assert (await shop.infra("shift", "50", "--yes")).code == 1
        second = await shop.infra("deploy", "--yes")
        assert second.code == 1
        assert "is UPDATE_IN_PROGRESS: wait until that is over" in second.err

        # WHEN it is rolled back THEN all traffic is the old version's
        back = await shop.infra("rollback", "--yes", "--json")
        assert back.code == 0, back.err
        assert back.told["version"] == "1"
        assert await shop.count(30) == {"1": 30}
    finally:
        out, err = await deploying.communicate()

    # AND the deploy ends as rolled back, with nothing to fix
    assert deploying.returncode == 3, err
    told = json.loads(out)
    assert (told["result"], told["reason"]) == (
        "rolled back",
        "the deployment was stopped by request",
    )
    # AND it has told each step
    assert b"the gate tries it first." in err
    assert b"The gate has passed: 10 % of the requests go to version 2 until about " in err
    assert (await shop.infra("status", "--json")).told["agrees"] is True
