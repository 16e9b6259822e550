"""Functions that nobody waits for: events, retries, destinations, queues, and loops of these."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError
from moto import mock_aws
from moto.sqs.models import sqs_backends

from infra.local.control import sqs_messages
from infra.local.control.event_sources import SqsQueue
from infra.local.functions.asynchronous import MAX_EVENT_BYTES
from infra.local.functions.tracing import MOST_INVOCATIONS
from infra.local.platform import Platform, open_platform
from tests import local_aws
from tests.lane import Lane, build_lane, read_lane
from tests.tiny_stack import REGION, connect

type Open = Callable[..., Any]

ASKER = "lane-Asker"
ARN = f"arn:aws:lambda:{REGION}:123456789012:function:{ASKER}"
CONFIG = """
      EventInvokeConfig:
        MaximumRetryAttempts: 1
        DestinationConfig:
          OnSuccess: {Type: SQS, Destination: !GetAtt Outbox.Arn}
          OnFailure: {Type: SQS, Destination: !GetAtt DeadLetters.Arn}
      Environment:"""
BURIED = """
      DeadLetterQueue: {Type: SQS, TargetArn: !GetAtt DeadLetters.Arn}
      EventInvokeConfig: {MaximumRetryAttempts: 0}
      Environment:"""


@pytest.fixture
async def platform(tmp_path: Path, managed_python: Path) -> AsyncIterator[Platform]:
    """An account whose minutes last 0.05 s."""
    begun = time.time()
    async with AsyncExitStack() as exits:
        yield await exits.enter_async_context(
            open_platform(
                REGION,
                python=managed_python,
                directory=tmp_path / "local",
                clock=lambda now: begun + (now - begun) * 1200,
                watch=False,
            )
        )


@pytest.fixture
def open_lane(platform: Platform, tmp_path: Path) -> Open:
    """Create the stack with the queue, with texts of its template replaced."""

    async def open_stack(edits: dict[str, str] | None = None) -> Lane:
        build = build_lane(tmp_path / "build", edits)
        await platform.create_stack(read_lane(build, REGION))
        return Lane(platform)

    return open_stack


async def invoke(platform: Platform, payload: Any, **arguments: Any) -> Any:
    call = {"FunctionName": ASKER, "InvocationType": "Event", **arguments}
    functions = connect(platform, "lambda", Config(retries={"total_max_attempts": 1}))
    return await asyncio.to_thread(partial(functions.invoke, Payload=json.dumps(payload), **call))


async def test_an_event_is_accepted_at_once_and_runs_later(
    platform: Platform, open_lane: Open
) -> None:
    lane = await open_lane()
    answer = await invoke(platform, {"do": "something"})
    assert (answer["StatusCode"], answer["Payload"].read()) == (202, b"")
    assert json.loads(await lane.receive())["do"] == "something"


async def test_results_go_to_the_destinations_of_the_template(
    platform: Platform, open_lane: Open
) -> None:
    # GIVEN a function with one retry and two destinations
    lane = await open_lane({"\n      Environment:": CONFIG})
    # WHEN it answers THEN the record of that comes after what it has written itself
    await invoke(platform, {"do": "something"})
    assert json.loads(await lane.receive())["do"] == "something"
    record = json.loads(await lane.receive())
    assert record["requestContext"]["condition"] == "Success"
    assert record["requestContext"]["functionArn"] == f"{ARN}:$LATEST"
    assert record["responseContext"] == {"statusCode": 200, "executedVersion": "$LATEST"}
    assert record["responsePayload"] == {"done": {"do": "something"}}
    # WHEN it fails THEN it is tried once more, in a minute, by the same id
    await invoke(platform, {"do": "raise"})
    traces = [json.loads(await lane.receive())["trace_id"] for _ in range(2)]
    assert traces[0] == traces[1]
    record = json.loads(await lane.receive("DeadLetters"))
    assert record["requestContext"]["condition"] == "RetriesExhausted"
    assert record["requestContext"]["approximateInvokeCount"] == 2
    assert record["requestPayload"] == {"do": "raise"}
    assert record["responseContext"]["functionError"] == "Unhandled"
    assert record["responsePayload"]["errorMessage"] == "no such lane"


async def test_dead_letters_are_the_events_themselves(platform: Platform, open_lane: Open) -> None:
    lane = await open_lane({"\n      Environment:": BURIED})
    await invoke(platform, {"do": "raise"})
    [message] = await lane.receive_whole("DeadLetters")
    assert json.loads(message["Body"]) == {"do": "raise"}
    attributes = {key: one["StringValue"] for key, one in message["MessageAttributes"].items()}
    assert len(attributes.pop("RequestID")) == 36
    assert attributes == {"ErrorCode": "200", "ErrorMessage": "no such lane"}


async def test_a_result_may_go_to_a_function_a_topic_or_a_bus(
    platform: Platform, open_lane: Open
) -> None:
    # GIVEN a topic, and a bus whose rule sends to a queue
    lane = await open_lane()
    sns, sqs = connect(platform, "sns"), connect(platform, "sqs")
    events, functions = connect(platform, "events"), connect(platform, "lambda")
    topic = sns.create_topic(Name="news")["TopicArn"]
    queues = {}
    for name in ("of-topic", "of-bus"):
        queues[name] = sqs.create_queue(QueueName=name)["QueueUrl"]
        lane.urls[name] = queues[name]
    arn = f"arn:aws:sqs:{REGION}:123456789012:"
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=f"{arn}of-topic")
    pattern = json.dumps({"source": ["lambda"]})
    events.put_rule(Name="results", EventPattern=pattern)
    events.put_targets(Rule="results", Targets=[{"Id": "1", "Arn": f"{arn}of-bus"}])
    bus = events.describe_event_bus(Name="default")["Arn"]

    async def send_to(destination: str) -> None:
        put = functions.put_function_event_invoke_config
        config = {"OnSuccess": {"Destination": destination}}
        put(FunctionName=ASKER, MaximumRetryAttempts=0, DestinationConfig=config)
        await invoke(platform, {"do": "x"})
        assert json.loads(await lane.receive())["do"] == "x"

    # WHEN each is the destination THEN it has the record
    await send_to(topic)
    told = json.loads(json.loads(await lane.receive("of-topic"))["Message"])
    assert told["requestContext"]["condition"] == "Success"
    await send_to(bus)
    told = json.loads(await lane.receive("of-bus"))
    assert told["detail-type"] == "Lambda Function Invocation Result - Success"
    assert told["detail"]["requestPayload"] == {"do": "x"}
    await send_to(ARN)
    # AND a function that is its own destination ends after a while
    written = [json.loads(await lane.receive()) for _ in range(3)]
    assert all("requestContext" in one for one in written)


async def test_a_topic_invokes_a_function(platform: Platform, open_lane: Open) -> None:
    lane = await open_lane()
    sns = connect(platform, "sns")
    topic = sns.create_topic(Name="news")["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="lambda", Endpoint=ARN)
    await asyncio.to_thread(partial(sns.publish, TopicArn=topic, Message="hello"))
    answer = json.loads(await lane.receive())
    assert answer["record"]["Sns"]["Message"] == "hello"


async def test_a_dry_run_runs_nothing(platform: Platform, open_lane: Open) -> None:
    lane = await open_lane()
    answer = await invoke(platform, {"do": "x"}, InvocationType="DryRun")
    assert (answer["StatusCode"], answer["Payload"].read()) == (204, b"")
    with pytest.raises(ClientError, match="Function not found"):
        await invoke(platform, {}, InvocationType="DryRun", FunctionName="nobody")
    assert lane.count("Outbox") == 0


@pytest.mark.parametrize(
    ("payload", "arguments", "code"),
    [
        ({}, {"FunctionName": "nobody"}, "ResourceNotFoundException"),
        ({}, {"Qualifier": "9"}, "ResourceNotFoundException"),
        ({}, {"InvocationType": "Later"}, "InvalidParameterValueException"),
        ("x" * MAX_EVENT_BYTES, {}, "RequestTooLargeException"),
    ],
    ids=["function", "version", "type", "size"],
)
async def test_refuses_an_event_as_lambda_does(
    platform: Platform, open_lane: Open, payload: Any, arguments: Any, code: str
) -> None:
    await open_lane()
    with pytest.raises(ClientError) as raised:
        await invoke(platform, payload, **arguments)
    assert raised.value.response["Error"]["Code"] == code


async def test_each_qualifier_has_its_own_configuration(
    platform: Platform, open_lane: Open
) -> None:
    await open_lane()
    functions = connect(platform, "lambda")
    put = partial(functions.put_function_event_invoke_config, FunctionName=ASKER)
    put(MaximumRetryAttempts=0)
    put(Qualifier="live", MaximumRetryAttempts=1, MaximumEventAgeInSeconds=60)
    functions.update_function_event_invoke_config(
        FunctionName=ASKER, Qualifier="live", MaximumRetryAttempts=2
    )
    get = functions.get_function_event_invoke_config
    assert get(FunctionName=ASKER)["MaximumRetryAttempts"] == 0
    live = get(FunctionName=ASKER, Qualifier="live")
    assert (live["MaximumRetryAttempts"], live["MaximumEventAgeInSeconds"]) == (2, 60)
    listed = functions.list_function_event_invoke_configs(FunctionName=ASKER)
    arns = {one["FunctionArn"] for one in listed["FunctionEventInvokeConfigs"]}
    assert arns == {f"{ARN}:$LATEST", f"{ARN}:live"}
    functions.delete_function_event_invoke_config(FunctionName=ASKER)
    with pytest.raises(functions.exceptions.ResourceNotFoundException):
        get(FunctionName=ASKER)
    with pytest.raises(ClientError, match="MaximumRetryAttempts is 3, expected 0 to 2"):
        put(MaximumRetryAttempts=3)


async def test_a_mapping_is_seen_and_changed_by_lambda_s_api(
    platform: Platform, open_lane: Open
) -> None:
    # GIVEN the mapping of the template
    lane = await open_lane()
    functions = connect(platform, "lambda")
    [mapping] = functions.list_event_source_mappings(FunctionName=ASKER)["EventSourceMappings"]
    assert (mapping["State"], mapping["BatchSize"]) == ("Enabled", 5)
    assert mapping["FunctionArn"] == ARN
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    # WHEN it is disabled THEN messages stay in the queue
    identity = mapping["UUID"]
    await asyncio.to_thread(
        partial(functions.update_event_source_mapping, UUID=identity, Enabled=False)
    )
    await asyncio.sleep(0.3)
    lane.send("waits")
    await asyncio.sleep(0.5)
    assert lane.count("Inbox") == 1
    # WHEN it is enabled THEN they go out
    await asyncio.to_thread(
        partial(functions.update_event_source_mapping, UUID=identity, Enabled=True)
    )
    assert json.loads(await lane.receive())["body"] == "waits"
    # WHEN it is deleted, and made by hand THEN it works as well, for each message once
    await asyncio.to_thread(partial(functions.delete_event_source_mapping, UUID=identity))
    create = partial(
        functions.create_event_source_mapping,
        FunctionName=ASKER,
        EventSourceArn=f"arn:aws:sqs:{REGION}:123456789012:lane-Inbox",
    )
    await asyncio.to_thread(create)
    for i in range(20):
        lane.send(f"{i}")
    bodies = [json.loads(await lane.receive())["body"] for _ in range(20)]
    assert sorted(bodies, key=int) == [f"{i}" for i in range(20)]
    await asyncio.sleep(0.3)
    assert (lane.count("Inbox"), lane.count("Outbox")) == (0, 0)
    with pytest.raises(ClientError, match="has no trigger for"):
        create(EventSourceArn=f"arn:aws:kinesis:{REGION}:123456789012:stream/x")


async def test_a_mapping_is_checked_when_it_changes(platform: Platform, open_lane: Open) -> None:
    await open_lane()
    functions = connect(platform, "lambda")
    [mapping] = functions.list_event_source_mappings(FunctionName=ASKER)["EventSourceMappings"]
    update = partial(functions.update_event_source_mapping, UUID=mapping["UUID"])
    for change, text in (
        ({"FilterCriteria": {"Filters": [{"Pattern": "{}"}]}}, "does not know FilterCriteria"),
        ({"BatchSize": 11}, "MaximumBatchingWindowInSeconds must be set"),
        ({"FunctionName": "nobody"}, "there is no function"),
    ):
        with pytest.raises(ClientError, match=text):
            await asyncio.to_thread(partial(update, **change))
    [after] = functions.list_event_source_mappings(FunctionName=ASKER)["EventSourceMappings"]
    assert after["BatchSize"] == 5


async def test_a_mapping_that_moves_to_another_queue_is_replaced(
    platform: Platform, tmp_path: Path
) -> None:
    # GIVEN a stack whose function has messages of one queue
    build = build_lane(tmp_path / "build")
    await platform.create_stack(read_lane(build, REGION))
    functions = connect(platform, "lambda")
    [before] = functions.list_event_source_mappings(FunctionName=ASKER)["EventSourceMappings"]
    # WHEN the template names another one
    template = build / "template.yaml"
    text = template.read_text().replace("Queue: !GetAtt Inbox.Arn", "Queue: !GetAtt Other.Arn")
    other = "  Other: {Type: AWS::SQS::Queue}\n  Outbox: {Type"
    text = text.replace("  Outbox: {Type", other, 1)
    template.write_text(text.replace("Outputs:", "Outputs:\n  Other: {Value: !Ref Other}"))
    await platform.formation.update(read_lane(build, REGION))
    async with asyncio.timeout(30):
        while "Other" not in (lane := Lane(platform)).urls:  # noqa: ASYNC110 moto tells nobody
            await asyncio.sleep(0.05)
    # THEN messages of that one reach the function, and those of the first stay
    lane.send("first")
    lane.send("other", "Other")
    assert json.loads(await lane.receive())["body"] == "other"
    [after] = functions.list_event_source_mappings(FunctionName=ASKER)["EventSourceMappings"]
    assert after["UUID"] != before["UUID"]
    assert lane.count("Inbox") == 1


async def test_a_function_that_feeds_its_own_queue_ends(
    platform: Platform, open_lane: Open
) -> None:
    # GIVEN a function that sends two messages to its queue for each that comes
    lane = await open_lane({"OUTBOX: !Ref Outbox": "OUTBOX: !Ref Inbox"})
    # WHEN one comes THEN it is stopped after a while, and the last ones are dead letters
    lane.send("begin")
    letter = json.loads(await lane.receive("DeadLetters"))
    assert letter["body"]
    await platform.flush()
    log = connect(platform, "logs").filter_log_events(logGroupName=f"/aws/lambda/{ASKER}")
    reports = [one for one in log["events"] if one["message"].startswith("REPORT")]
    assert len(reports) == MOST_INVOCATIONS
    assert lane.count("Inbox") == 0


async def test_a_queue_takes_no_more_than_this_machine_can_hold(
    open_lane: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    lane = await open_lane()
    monkeypatch.setattr(sqs_messages, "MOST_MESSAGES", 3)
    monkeypatch.setattr(sqs_messages, "MOST_BYTES", 100)
    with pytest.raises(ClientError, match="keeps at most"):
        lane.send("x" * 101, "DeadLetters")
    for _ in range(3):
        lane.send("x", "DeadLetters")
    with pytest.raises(ClientError, match="this machine keeps at most 3 messages") as raised:
        lane.send("x", "DeadLetters")
    assert raised.value.response["Error"]["Code"].endswith("OverLimit")


def test_a_released_message_is_as_if_nobody_had_received_it() -> None:
    # GIVEN a message that somebody has received
    with mock_aws():
        backend = sqs_backends["123456789012"][REGION]
        messages = SqsQueue(backend, backend.create_queue("inbox"))
        backend.send_message("inbox", "x")
        [first] = messages.receive(10)
        assert not messages.receive(10)
        # WHEN it is released THEN it comes again, for the first time
        messages.release(first.receipt)
        time.sleep(0.01)
        [again] = messages.receive(10)
    assert again.id == first.id
    assert again.record["attributes"]["ApproximateReceiveCount"] == "1"


async def test_nobody_without_the_key_sends_or_receives(
    platform: Platform, open_lane: Open
) -> None:
    lane = await open_lane()
    variables = dict(platform.cloud.variables())
    stranger = variables | {"AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE"}
    for given, config in ((variables, Config(signature_version=UNSIGNED)), (stranger, None)):
        sqs = local_aws.connect(given, "sqs", config)
        for call in (
            partial(sqs.send_message, QueueUrl=lane.urls["Inbox"], MessageBody="x"),
            partial(sqs.receive_message, QueueUrl=lane.urls["Inbox"]),
            sqs.list_queues,
        ):
            with pytest.raises(ClientError) as raised:
                call()
            assert raised.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    assert lane.count("Inbox") == lane.count("Outbox") == 0
