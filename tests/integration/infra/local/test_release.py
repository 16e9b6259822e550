"""Versions and the alias of the local run, moved as on AWS: by boto3, or the AWS CLI."""

import asyncio
import json
import shutil
from collections import Counter
from functools import partial
from pathlib import Path

import httpx
import pytest
from mypy_boto3_lambda import LambdaClient

from infra.local.platform import Platform
from tests.tiny_stack import FUNCTION, connect, release


@pytest.fixture
def functions(local: Platform) -> LambdaClient:
    client: LambdaClient = connect(local, "lambda")
    return client


async def ask(client: httpx.AsyncClient) -> tuple[str, str]:
    answer = (await client.get("/echo")).json()
    return answer["release"], answer["environment"]["AWS_LAMBDA_FUNCTION_VERSION"]


async def test_a_deleted_version_is_gone_and_its_number_is_not_given_again(
    local: Platform, functions: LambdaClient, build: Path
) -> None:
    # GIVEN two versions besides the one that serves, one of them in use
    for name in ("two", "three"):
        await release(local, build, name)
    await local.function.warm("2")
    [environment] = local.function.environments("2")
    folder = local.function.find("2").place.task
    assert folder.exists()
    # WHEN it is deleted, as `infra prune` does
    delete = partial(functions.delete_function, FunctionName=FUNCTION, Qualifier="2")
    await asyncio.to_thread(delete)
    # THEN it cannot be invoked, and nothing of it is left
    with pytest.raises(functions.exceptions.ResourceNotFoundException):
        await asyncio.to_thread(
            partial(functions.invoke, FunctionName=FUNCTION, Qualifier="2", Payload="{}")
        )
    assert not environment.alive
    assert not folder.exists()
    # AND the next version has a number of its own, even if the newest was deleted
    assert await release(local, build, "four") == "4"
    await asyncio.to_thread(delete, Qualifier="4")
    assert await release(local, build, "five") == "5"
    listed = functions.list_versions_by_function(FunctionName=FUNCTION)["Versions"]
    assert [one["Version"] for one in listed] == ["$LATEST", "1", "3", "5"]
    for number, name in (("3", "three"), ("5", "five")):
        held = functions.get_function_configuration(FunctionName=f"{FUNCTION}:{number}")
        assert (held["Version"], held["FunctionArn"].rpartition(":")[2]) == (number, number)
        event = json.dumps({"rawPath": "/echo"})
        answer = await asyncio.to_thread(
            partial(functions.invoke, FunctionName=FUNCTION, Qualifier=number, Payload=event)
        )
        assert json.loads(json.loads(answer["Payload"].read())["body"])["release"] == name


async def test_a_deletion_that_is_refused_changes_nothing(
    local: Platform, functions: LambdaClient
) -> None:
    # GIVEN no version 9
    delete = partial(functions.delete_function, FunctionName=FUNCTION, Qualifier="9")
    with pytest.raises(functions.exceptions.ResourceNotFoundException):
        await asyncio.to_thread(delete)
    assert local.function.environments("1")


async def test_aws_knows_the_function(functions: LambdaClient, local: Platform) -> None:
    # WHEN a tool asks AWS THEN it finds the function, its alias, its layers and the stack
    configuration = functions.get_function_configuration(FunctionName=FUNCTION, Qualifier="1")
    assert (configuration["MemorySize"], configuration["Timeout"]) == (256, 3)
    assert configuration["Runtime"] == "python3.13"
    assert [layer["Arn"].split(":")[6] for layer in configuration["Layers"]] == [
        "RuntimeLayer",
        "ModelLayer",
    ]
    alias = functions.get_alias(FunctionName=FUNCTION, Name="live")
    assert alias["FunctionVersion"] == "1"
    [stack] = connect(local, "cloudformation").describe_stacks(StackName="shop")["Stacks"]
    assert {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]} == {
        "ApiUrl": local.url,
        "FunctionName": FUNCTION,
        "AliasArn": alias["AliasArn"],
    }
    [group] = connect(local, "logs").describe_log_groups()["logGroups"]
    assert group["logGroupName"] == "/aws/lambda/shop-inference"


async def test_a_published_version_gets_no_traffic_until_the_alias_moves(
    client: httpx.AsyncClient, local: Platform, functions: LambdaClient, build: Path
) -> None:
    # GIVEN a second release that is published
    assert await release(local, build, "two") == "2"
    assert await ask(client) == ("one", "1")
    # WHEN the alias moves to it THEN the very next request is its
    functions.update_alias(FunctionName=FUNCTION, Name="live", FunctionVersion="2")
    assert await ask(client) == ("two", "2")
    # WHEN it is rolled back THEN the very next request is the old version's
    functions.update_alias(FunctionName=FUNCTION, Name="live", FunctionVersion="1")
    assert await ask(client) == ("one", "1")


async def test_a_tenth_of_the_traffic_goes_to_the_canary(
    client: httpx.AsyncClient, local: Platform, functions: LambdaClient, build: Path
) -> None:
    # GIVEN a second version with a weight of 10 %
    await release(local, build, "two")
    functions.update_alias(
        FunctionName=FUNCTION,
        Name="live",
        RoutingConfig={"AdditionalVersionWeights": {"2": 0.1}},
    )
    # WHEN 400 requests are sent THEN about 40 reach it: within 4 standard deviations (6) of that
    counts = Counter([(await ask(client))[0] for _ in range(400)])
    assert counts.total() == 400
    assert 40 - 24 <= counts["two"] <= 40 + 24
    # WHEN the weights are cleared THEN none does
    functions.update_alias(
        FunctionName=FUNCTION, Name="live", RoutingConfig={"AdditionalVersionWeights": {}}
    )
    assert {(await ask(client))[0] for _ in range(50)} == {"one"}


async def test_a_build_does_not_change_a_running_version(
    client: httpx.AsyncClient, local: Platform, build: Path
) -> None:
    # GIVEN a version that is served
    pid = (await client.get("/echo")).json()["pid"]
    # WHEN a build changes and removes the files that it was made of, and its process ends
    (build / "RuntimeLayer" / "python" / "greeting.py").write_text('WORD = "changed"')
    shutil.rmtree(build / "InferenceFunction")
    assert (await client.get("/exit")).status_code == 500
    # THEN its next process is the same version
    answer = (await client.get("/echo")).json()
    assert answer["pid"] != pid
    assert (answer["release"], answer["greeting"]) == ("one", "good morning")
    assert local.function.environments("1")[0].pid == answer["pid"]


async def test_a_version_that_cannot_start_fails_its_own_requests(
    client: httpx.AsyncClient, local: Platform, functions: LambdaClient, build: Path
) -> None:
    # GIVEN a release without a package that it imports
    (build / "RuntimeLayer" / "python" / "greeting.py").unlink()
    await release(local, build, "two")
    functions.update_alias(FunctionName=FUNCTION, Name="live", FunctionVersion="2")
    # WHEN it is asked THEN it fails as a crashed function, until the alias moves back
    assert (await client.get("/echo")).status_code == 500
    functions.update_alias(FunctionName=FUNCTION, Name="live", FunctionVersion="1")
    assert await ask(client) == ("one", "1")


async def test_a_function_without_its_alias_fails(
    client: httpx.AsyncClient, functions: LambdaClient
) -> None:
    functions.delete_alias(FunctionName=FUNCTION, Name="live")
    assert (await client.get("/echo")).text == '{"message":"Internal Server Error"}'


async def test_a_version_without_code_fails(
    client: httpx.AsyncClient, functions: LambdaClient
) -> None:
    functions.update_function_configuration(FunctionName=FUNCTION, MemorySize=512)
    functions.publish_version(FunctionName=FUNCTION)
    functions.update_alias(FunctionName=FUNCTION, Name="live", FunctionVersion="2")
    assert (await client.get("/echo")).status_code == 500
