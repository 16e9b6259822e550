"""The log of the local run in CloudWatch Logs, as Lambda would write it."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from infra.cloudwatch.logs import parse, parse_version, read
from infra.local.control import cloud
from infra.local.platform import Platform
from tests import local_aws
from tests.tiny_stack import Starter

GROUP = "/aws/lambda/shop-inference"


def connect(local: Platform) -> Any:
    return local_aws.connect(local.cloud.variables(), "logs")


@pytest.fixture
def json_build(build: Path) -> Path:
    """Change the build: its function's log is JSON."""
    template = build / "template.yaml"
    setting = "LoggingConfig: {LogGroup: !Ref LogGroup"
    assert setting in template.read_text()
    template.write_text(template.read_text().replace(setting, f"{setting}, LogFormat: JSON"))
    return build


async def test_each_environment_has_its_stream(client: httpx.AsyncClient, local: Platform) -> None:
    # GIVEN a request, and one in an environment of its own after a crash
    first = (await client.get("/echo")).json()
    await client.get("/exit")
    second = (await client.get("/echo")).json()
    # WHEN the log is written THEN each is in the stream of which its environment was told
    await local.flush()
    events = list(read(connect(local), GROUP, 0))
    for answer in (first, second):
        stream = answer["environment"]["AWS_LAMBDA_LOG_STREAM_NAME"]
        lines = [event.line for event in events if event.stream == stream]
        assert f"START RequestId: {answer['request_id']} Version: 1" in lines
        assert f"END RequestId: {answer['request_id']}" in lines
    assert len({event.stream for event in events}) == 2
    assert {parse_version(event) for event in events} == {"1"}
    # AND the crash is an error
    errors = [parse(event.line) for event in events if parse(event.line).level == "ERROR"]
    assert len(errors) == 1
    assert "Runtime.ExitError: Runtime exited with error: exit status 7" in errors[0].message


@pytest.mark.usefixtures("json_build")
async def test_platform_writes_json_if_that_is_the_format(start: Starter) -> None:
    # GIVEN a function whose log is JSON WHEN it answers, raises and crashes
    local = await start()
    async with httpx.AsyncClient(base_url=local.url) as client:
        for path in ("/echo", "/raise", "/kill", "/echo"):
            await client.get(path)
    # THEN the platform's records tell how each request ended, and only one was a cold start
    await local.flush()
    lines = [event.line for event in read(connect(local), GROUP, 0)]
    records = [json.loads(line) for line in lines if line.startswith("{")]
    reports = [one["record"] for one in records if one.get("type") == "platform.report"]
    assert [(one["status"], one.get("errorType")) for one in reports] == [
        ("success", None),
        ("error", "ValueError"),
        ("failure", "Runtime.ExitError"),
        ("success", None),
    ]
    assert ["initDurationMs" in one["metrics"] for one in reports] == [False, False, False, True]
    started = [one["record"]["requestId"] for one in records if one.get("type") == "platform.start"]
    assert started == [one["requestId"] for one in reports]
    # AND the error that the function raised is told once by the runtime client
    [raised] = [entry for entry in map(parse, lines) if "no such customer" in entry.message]
    assert (raised.level, raised.request_id) == ("ERROR", reports[1]["requestId"])
    assert raised.message == "ValueError: no such customer"


@pytest.mark.usefixtures("json_build")
async def test_person_at_the_terminal_sees_the_error(start: Starter) -> None:
    seen: list[tuple[str, str]] = []
    local = await start(on_error=lambda version, line: seen.append((version, line)))
    async with httpx.AsyncClient(base_url=local.url) as client:
        await client.get("/raise")
    assert [version for version, line in seen if "no such customer" in line] == ["1"]


async def test_oldest_lines_go_when_there_are_too_many(
    client: httpx.AsyncClient, local: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cloud, "KEPT_LOG_EVENTS", 4)
    for _ in range(2):
        answer = (await client.get("/echo")).json()
        await local.flush()
    events = list(read(connect(local), GROUP, 0))
    assert len(events) == 4
    assert events[-1].line.startswith(f"REPORT RequestId: {answer['request_id']}")


async def test_goes_on_when_somebody_deletes_the_log_group(
    client: httpx.AsyncClient, local: Platform
) -> None:
    connect(local).delete_log_group(logGroupName=GROUP)
    assert (await client.get("/echo")).status_code == 200
    await local.flush()
