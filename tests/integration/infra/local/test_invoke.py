"""Lambda's Invoke on the local run, as boto3 and the AWS CLI call it."""

import asyncio
import base64
import json
import re
from collections import Counter
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest
from botocore.config import Config
from mypy_boto3_lambda import LambdaClient

from infra.local.platform import Platform
from infra.local.stack import read_stack
from tests.tiny_stack import FUNCTION, Gate, Starter, connect, release

EXITED = "RequestId: {} Error: Runtime exited with error:"
ARN = f"arn:aws:lambda:eu-west-1:123456789012:function:{FUNCTION}"


@pytest.fixture
def functions(local: Platform) -> LambdaClient:
    client: LambdaClient = connect(local, "lambda")
    return client


async def invoke(functions: LambdaClient, path: str = "/echo", **arguments: Any) -> Any:
    """Invoke the function with what the HTTP API would send for `path`, as far as it is read."""
    path, _, query = path.partition("?")
    event = {"rawPath": path, "queryStringParameters": dict(parse_qsl(query))}
    call = partial(functions.invoke, **{"FunctionName": FUNCTION, **arguments})
    return await asyncio.to_thread(call, Payload=json.dumps(event))


def read_answer(answer: Any) -> Any:
    return json.loads(json.loads(answer["Payload"].read())["body"])


@pytest.mark.parametrize(
    ("target", "qualifier", "version", "arn"),
    [
        (FUNCTION, "1", "1", f"{ARN}:1"),
        (f"{ARN}:1", None, "1", f"{ARN}:1"),
        (ARN, "live", "1", f"{ARN}:live"),
        (f"{FUNCTION}:live", None, "1", f"{ARN}:live"),
        (FUNCTION, None, "$LATEST", ARN),
        (FUNCTION, "$LATEST", "$LATEST", f"{ARN}:$LATEST"),
    ],
)
async def test_runs_the_version_that_is_named(
    functions: LambdaClient, target: str, qualifier: str | None, version: str, arn: str
) -> None:
    # WHEN the function is invoked by a name that Lambda takes
    named = {"Qualifier": qualifier} if qualifier else {}
    answer = await invoke(functions, FunctionName=target, **named)
    # THEN that version runs, and both sides know which
    assert (answer["StatusCode"], answer["ExecutedVersion"]) == (200, version)
    assert "FunctionError" not in answer
    assert "LogResult" not in answer
    echo = read_answer(answer)
    assert echo["environment"]["AWS_LAMBDA_FUNCTION_VERSION"] == version
    assert echo["arn"] == arn


async def test_latest_is_what_was_published_last(
    local: Platform, functions: LambdaClient, build: Path
) -> None:
    assert read_answer(await invoke(functions))["release"] == "one"
    await release(local, build, "two")
    assert read_answer(await invoke(functions))["release"] == "two"
    assert read_answer(await invoke(functions, Qualifier="live"))["release"] == "one"


async def test_an_alias_follows_its_weights(
    local: Platform, functions: LambdaClient, build: Path
) -> None:
    # GIVEN an alias that sends half of the requests to version 2
    await release(local, build, "two")
    functions.update_alias(
        FunctionName=FUNCTION,
        Name="live",
        RoutingConfig={"AdditionalVersionWeights": {"2": 0.5}},
    )
    # WHEN it is invoked 60 times THEN about half are: within 4 standard deviations (3.9) of 30
    answers = [await invoke(functions, Qualifier="live") for _ in range(60)]
    counts = Counter(answer["ExecutedVersion"] for answer in answers)
    assert counts.total() == 60
    assert 30 - 16 <= counts["2"] <= 30 + 16


async def test_log_result_is_the_log_of_that_request(functions: LambdaClient) -> None:
    # GIVEN an earlier request
    await invoke(functions, "/raise", Qualifier="1")
    # WHEN the log is asked for
    answer = await invoke(functions, Qualifier="1", LogType="Tail")
    # THEN it has that request's lines, as Lambda writes them, and no other's
    log = base64.b64decode(answer["LogResult"]).decode()
    request_id = read_answer(answer)["request_id"]
    assert log.startswith(f"START RequestId: {request_id} Version: 1\n")
    assert re.search(rf"REPORT RequestId: {request_id}\tDuration: \d+\.\d\d ms\t", log)
    assert set(re.findall(r"RequestId: (\S+)", log)) == {request_id}


async def test_log_result_has_the_last_4_kb(functions: LambdaClient) -> None:
    # WHEN a request prints more than that
    body = "".join(f"{i:07}\n" for i in range(1000))
    payload = json.dumps({"rawPath": "/emf", "body": body})
    answer = await asyncio.to_thread(
        partial(functions.invoke, FunctionName=FUNCTION, Payload=payload, LogType="Tail")
    )
    # THEN the end of it is told
    log = base64.b64decode(answer["LogResult"])
    assert len(log) == 4096
    assert b"0000999\n" in log
    assert b"\nREPORT RequestId: " in log


@pytest.mark.parametrize(
    ("path", "kind", "message"),
    [
        ("/raise", "ValueError", "no such customer"),
        (
            "/exit",
            "Runtime.ExitError",
            f"{EXITED} exit status 7",
        ),
        (
            "/kill",
            "Runtime.ExitError",
            f"{EXITED} signal: killed",
        ),
    ],
)
async def test_failures_are_reported_as_lambda_reports_them(
    functions: LambdaClient, path: str, kind: str, message: str
) -> None:
    answer = await invoke(functions, path, Qualifier="1", LogType="Tail")
    assert (answer["StatusCode"], answer["FunctionError"]) == (200, "Unhandled")
    log = base64.b64decode(answer["LogResult"]).decode()
    [request_id] = set(re.findall(r"REPORT RequestId: (\S+)", log))
    payload = json.loads(answer["Payload"].read())
    assert payload["errorType"] == kind
    assert payload["errorMessage"] == message.format(request_id)
    # AND what the runtime client said is all there
    if path == "/raise":
        assert payload["requestId"] == request_id
        assert any("app.py" in line for line in payload["stackTrace"])


async def test_a_failed_initialisation_is_reported(
    local: Platform, functions: LambdaClient, build: Path
) -> None:
    (build / "RuntimeLayer" / "python" / "greeting.py").unlink()
    await release(local, build, "two")
    answer = await invoke(functions, Qualifier="2")
    assert answer["FunctionError"] == "Unhandled"
    payload = json.loads(answer["Payload"].read())
    assert payload["errorType"] == "Runtime.ImportModuleError"
    assert "No module named 'greeting'" in payload["errorMessage"]


@pytest.mark.parametrize(
    "arguments",
    [{"Qualifier": "9"}, {"Qualifier": "absent"}, {"FunctionName": "other"}],
)
async def test_what_is_not_there_is_not_found(
    functions: LambdaClient, arguments: dict[str, str]
) -> None:
    with pytest.raises(functions.exceptions.ResourceNotFoundException, match="Function not found"):
        await invoke(functions, **arguments)


async def test_refuses_what_is_not_json(functions: LambdaClient) -> None:
    with pytest.raises(functions.exceptions.InvalidRequestContentException, match="into json"):
        await asyncio.to_thread(partial(functions.invoke, FunctionName=FUNCTION, Payload=b"{"))


async def test_too_many_at_one_time_are_throttled(start: Starter, gate: Gate) -> None:
    # GIVEN a function that may run once, and does
    local = await start(concurrency=1)
    functions = connect(local, "lambda", Config(retries={"total_max_attempts": 1}))
    path, _, port = gate.path.partition("?port=")
    waiting = asyncio.create_task(invoke(functions, f"{path}?port={port}", Qualifier="1"))
    writer = await gate.arrival()
    # WHEN it is invoked again
    with pytest.raises(functions.exceptions.TooManyRequestsException, match="Rate Exceeded"):
        await invoke(functions, Qualifier="1")
    # THEN the first is not disturbed
    writer.close()
    assert (await waiting)["StatusCode"] == 200


async def test_only_an_alias_counts_for_its_version(start: Starter, build: Path) -> None:
    """So that what a gate provokes in a version cannot set off the alarm on its traffic."""
    # GIVEN metrics of one minute
    begun = datetime(2026, 11, 22, 12, tzinfo=UTC)
    local = await start(clock=lambda _: begun.timestamp(), watch=False)
    functions = connect(local, "lambda")
    assert read_stack(build, "shop", "eu-west-1").function.name == FUNCTION
    # WHEN failures are provoked by version, by alias, and by neither
    for arguments in ({"Qualifier": "1"}, {"Qualifier": "live"}, {}):
        await invoke(functions, "/raise", **arguments)
    await local.flush()

    # THEN each has the dimensions that it has on AWS
    def count(**dimensions: str) -> float:
        points = local.cloudwatch.get_metric_statistics(
            Namespace="AWS/Lambda",
            MetricName="Errors",
            Dimensions=[{"Name": name, "Value": value} for name, value in dimensions.items()],
            StartTime=begun,
            EndTime=begun + timedelta(minutes=1),
            Period=60,
            Statistics=["Sum"],
        )["Datapoints"]
        return sum(point["Sum"] for point in points)

    name = {"FunctionName": FUNCTION}
    assert count(**name) == 3
    assert count(**name, Resource=FUNCTION) == 1
    assert count(**name, Resource=f"{FUNCTION}:1") == 1
    assert count(**name, Resource=f"{FUNCTION}:live") == 1
    assert count(**name, Resource=f"{FUNCTION}:live", ExecutedVersion="1") == 1
    assert count(**name, Resource=f"{FUNCTION}:1", ExecutedVersion="1") == 0
