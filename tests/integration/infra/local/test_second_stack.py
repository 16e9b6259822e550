"""Two stacks on one platform: a queue's function asks the alias of another stack's function."""

import asyncio
import json
from functools import partial
from pathlib import Path

import httpx
import pytest
from botocore.exceptions import ClientError

from infra.local.errors import TemplateError, UpdateError
from infra.local.platform import Platform, open_platform
from infra.local.stack import read_stack
from tests.canary_stack import add_canary, rebuild, start_canary
from tests.lane import Lane, build_lane, read_lane
from tests.tiny_stack import FUNCTION, REGION, STACK_NAME, Starter, connect

RULE = """
  Rule:
    Type: AWS::Events::Rule
    Properties: {ScheduleExpression: rate(1 minute), Targets: []}
"""
ROLE = """
  Role:
    Type: AWS::IAM::Role
    Properties: {AssumeRolePolicyDocument: {}, Boundary: x}
"""
ALIAS = f"arn:aws:lambda:{REGION}:123456789012:function:{FUNCTION}:live"


@pytest.fixture
def build(build: Path) -> Path:
    """The tiny stack with a gate, an alarm and a deployment type."""
    return add_canary(build)


@pytest.fixture
async def local(start: Starter) -> Platform:
    """Local run of it, whose minutes are short."""
    return await start_canary(start)


async def open_lane(local: Platform, folder: Path, edits: dict[str, str] | None = None) -> Lane:
    """Create the second stack beside the first."""
    build = build_lane(folder / "lane-build", edits)
    await local.create_stack(read_lane(build, REGION, AliasArn=ALIAS))
    return Lane(local)


async def test_a_message_reaches_the_other_stack_s_function_through_its_alias(
    local: Platform, build: Path, tmp_path: Path
) -> None:
    # GIVEN the service, and a second stack with a queue and a function
    short = {"Timeout: 10}": "Timeout: 2}", "VisibilityTimeout: 10": "VisibilityTimeout: 2"}
    lane = await open_lane(local, tmp_path, short)
    # WHEN a message comes THEN its function asks the alias, and writes the answer down
    lane.send("first")
    answer = json.loads(await lane.receive())
    assert (answer["body"], answer["release"], answer["version"]) == ("first", "one", "1")
    # WHEN the service is released meanwhile
    rebuild(build)
    released = await local.release(
        read_stack(build, STACK_NAME, REGION, {"DeploymentType": "AllAtOnce"})
    )
    assert released.is_promoted
    # THEN the next message has its answer of the new version
    lane.send("second")
    answer = json.loads(await lane.receive())
    assert (answer["body"], answer["release"], answer["version"]) == ("second", "two", "2")
    # AND a message that fails is tried again, and ends among the dead letters
    lane.send("fail")
    assert await lane.receive("DeadLetters") == "fail"
    assert (lane.count("Inbox"), lane.count("Outbox")) == (0, 0)
    # AND the release of one stack has left the other as it was
    functions = connect(local, "lambda")
    versions = functions.list_versions_by_function(FunctionName=lane.urls["Asker"])["Versions"]
    assert [one["Version"] for one in versions] == ["$LATEST"]


async def test_a_function_without_an_alias_is_invoked_as_latest(
    local: Platform, tmp_path: Path
) -> None:
    lane = await open_lane(local, tmp_path)
    functions = connect(local, "lambda")
    call = partial(functions.invoke, FunctionName=lane.urls["Asker"], Payload='{"do": "x"}')
    answer = await asyncio.to_thread(call)
    assert answer["ExecutedVersion"] == "$LATEST"
    assert json.loads(answer["Payload"].read()) == {"done": {"do": "x"}}
    # AND its log is in a folder of its own, and in its own log group
    await local.flush()
    [log] = (tmp_path / "local" / lane.urls["Asker"] / "logs").iterdir()
    assert "REPORT RequestId" in log.read_text()
    events = connect(local, "logs").filter_log_events(logGroupName="/aws/lambda/lane-Asker")
    assert any("REPORT RequestId" in event["message"] for event in events["events"])


async def test_the_second_stack_is_updated_and_deleted_by_itself(
    local: Platform, tmp_path: Path
) -> None:
    lane = await open_lane(local, tmp_path)
    lane_build = tmp_path / "lane-build"
    # WHEN its function changes, and a queue comes
    handler = lane_build / "Asker" / "asker.py"
    handler.write_text(handler.read_text().replace('"done"', '"finished"'))
    template = lane_build / "template.yaml"
    more = "  More: {Type: AWS::SQS::Queue}\nOutputs:"
    template.write_text(template.read_text().replace("Outputs:", more))
    await local.formation.update(read_lane(lane_build, REGION, AliasArn=ALIAS))
    # THEN both are there, and the queue's messages with it
    functions = connect(local, "lambda")
    call = partial(functions.invoke, FunctionName=lane.urls["Asker"], Payload='{"do": "x"}')
    assert json.loads((await asyncio.to_thread(call))["Payload"].read()) == {
        "finished": {"do": "x"}
    }
    queues = connect(local, "sqs").list_queues(QueueNamePrefix="lane-")["QueueUrls"]
    assert len(queues) == 4
    # WHEN it is deleted, as by the AWS CLI
    formation = connect(local, "cloudformation")
    await asyncio.to_thread(partial(formation.delete_stack, StackName="lane"))
    # THEN nothing of it is left, and the first stack goes on
    assert "QueueUrls" not in connect(local, "sqs").list_queues(QueueNamePrefix="lane-")
    assert functions.list_event_source_mappings()["EventSourceMappings"] == []
    with pytest.raises(ClientError, match="Function not found"):
        await asyncio.to_thread(call)
    with pytest.raises(ClientError, match="does not exist"):
        formation.describe_stacks(StackName="lane")
    async with httpx.AsyncClient(base_url=local.url) as client:
        assert (await client.get("/echo")).json()["release"] == "one"
    # AND it can be created again
    await local.create_stack(read_lane(lane_build, REGION, AliasArn=ALIAS))


async def test_a_stack_that_fails_to_be_created_leaves_nothing(
    local: Platform, tmp_path: Path
) -> None:
    # GIVEN a mapping that Lambda refuses, as the queue shows messages before the function is done
    edits = {"VisibilityTimeout: 10": "VisibilityTimeout: 5"}
    with pytest.raises(TemplateError, match=r"Queue visibility timeout: 5 seconds is less than"):
        await open_lane(local, tmp_path, edits)
    assert "QueueUrls" not in connect(local, "sqs").list_queues(QueueNamePrefix="lane-")
    assert "lane-Asker" not in local.invoker.hosted
    with pytest.raises(UpdateError, match="exists already"):
        await local.create_stack(read_stack(tmp_path / "build", STACK_NAME, REGION))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("AWS::SQS::Queue}", "AWS::Nobody::Knows}", "has no AWS::Nobody::Knows"),
        ("AWS::SQS::Queue}", "AWS::CloudFormation::WaitCondition}", "has no AWS::Cloud"),
        ("{Type: AWS::SQS::Queue}", "{Type: Custom::Thing}", "has no Custom::Thing"),
        ("BatchSize: 5", "FilterCriteria: {Filters: [{Pattern: x}]}", "know FilterCriteria of a"),
        ("BatchSize: 5", "BatchSize: 50", "MaximumBatchingWindowInSeconds must be set"),
        ("Timeout: 10}", "Timeout: 10, VpcConfig: {SubnetIds: [x]}}", "know VpcConfig of function"),
        ("Outputs:", f"{RULE}Outputs:", r"has no rules on a schedule: Rule \(AWS::Events::Rule\)"),
        ("Outputs:", f"{ROLE}Outputs:", "does not know Boundary of Role"),
        ("!Ref Outbox}", "!GetAtt Outbox.Nothing}", "refers to Outbox.Nothing, which is not there"),
    ],
)
async def test_what_the_platform_has_not_is_refused_by_name(
    local: Platform, tmp_path: Path, old: str, new: str, message: str
) -> None:
    with pytest.raises((TemplateError, UpdateError), match=message):
        await open_lane(local, tmp_path, {old: new})
    assert "QueueUrls" not in connect(local, "sqs").list_queues(QueueNamePrefix="lane-")


async def test_two_apis_have_a_port_each(start: Starter, build: Path) -> None:
    # GIVEN a template with a second API before the same function
    template = build / "template.yaml"
    text = template.read_text().replace(
        "  LogGroup:\n",
        "  Other:\n    Type: AWS::Serverless::HttpApi\n    Properties: {StageName: beta}\n"
        "  LogGroup:\n",
        1,
    )
    text = text.replace(
        "        Model:\n",
        "        Else:\n          Type: HttpApi\n"
        "          Properties: {ApiId: !Ref Other, Path: /other, Method: GET}\n        Model:\n",
    )
    text += (
        "  OtherUrl: {Value: !Sub 'https://${Other}.execute-api.${AWS::Region}.amazonaws.com'}\n"
    )
    template.write_text(text)
    local = await start()
    [stack] = connect(local, "cloudformation").describe_stacks(StackName="shop")["Stacks"]
    url = {one["OutputKey"]: one["OutputValue"] for one in stack["Outputs"]}["OtherUrl"]
    # WHEN both are asked THEN each has its own routes
    async with httpx.AsyncClient() as client:
        assert (await client.get(f"{local.url}/echo")).status_code == 200
        other = await client.get(f"{url}/other")
        assert other.json()["event"]["requestContext"]["apiId"] == "local2"
        assert (await client.get(f"{url}/echo")).status_code == 404


async def test_a_stack_may_have_no_api(tmp_path: Path, managed_python: Path) -> None:
    async with open_platform(REGION, python=managed_python, directory=tmp_path / "x") as local:
        lane_build = build_lane(tmp_path / "lane-build")
        await local.create_stack(read_lane(lane_build, REGION))
        lane = Lane(local)
        lane.send("hello")
        assert json.loads(await lane.receive())["body"] == "hello"
