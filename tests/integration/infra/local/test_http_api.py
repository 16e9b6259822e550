"""The local run seen by an HTTP client: real processes, real runtime client."""

import asyncio
import base64
import gzip
import json
import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from infra.local.functions.runtime_api import MAX_RESPONSE_BYTES
from infra.local.platform import Platform
from infra.local.triggers.http_api import MAX_EVENT_BYTES
from tests.tiny_stack import Gate, Starter

FAILED = b'{"message":"Internal Server Error"}'


def check_own_answer(response: httpx.Response, status: int, body: bytes) -> None:
    """Check an answer that an HTTP API gives by itself, to the last header."""
    assert (response.status_code, response.content) == (status, body)
    assert response.headers["content-type"] == "application/json"
    assert re.fullmatch(r"[\w+/]{15}=", response.headers["apigw-requestid"])
    assert set(response.headers) == {"content-type", "apigw-requestid", "content-length", "date"}


async def test_function_gets_the_event_and_the_client_its_answer(client: httpx.AsyncClient) -> None:
    # WHEN a client posts JSON
    response = await client.post("/models/churn?a=1&a=2", json={"x": 1}, headers={"X-Test": "yes"})
    # THEN the function saw an event of payload format 2.0, through the alias
    answer = response.json()
    event = answer["event"]
    assert response.status_code == 200
    assert event["routeKey"] == "POST /models/{model}"
    assert event["pathParameters"] == {"model": "churn"}
    assert (event["rawPath"], event["rawQueryString"]) == ("/models/churn", "a=1&a=2")
    assert (event["headers"]["x-test"], event["body"]) == ("yes", '{"x":1}')
    assert event["requestContext"]["http"]["sourceIp"] == "127.0.0.1"
    assert event["requestContext"]["requestId"] == response.headers["apigw-requestid"]
    assert answer["arn"].endswith(":function:shop-InferenceFunction:live")
    assert 2000 < answer["remaining"] <= 3000


async def test_binary_travels_both_ways(client: httpx.AsyncClient) -> None:
    # GIVEN bytes without a type, as tritonclient sends them
    data = bytes(range(256))
    event = (await client.post("/echo", content=data)).json()["event"]
    assert (base64.b64decode(event["body"]), event["isBase64Encoded"]) == (data, True)
    # WHEN the function answers in base64 THEN the client gets bytes
    answer = {"statusCode": 202, "body": event["body"], "isBase64Encoded": True}
    response = await client.post("/return", json=answer)
    assert (response.status_code, response.content) == (202, data)


async def test_compressed_bodies_pass_as_they_are(client: httpx.AsyncClient) -> None:
    # GIVEN a body that its header says is compressed WHEN it is sent THEN nobody expands it
    data = gzip.compress(b"x" * 1000)
    event = (await client.post("/echo", content=data, headers={"Content-Encoding": "gzip"})).json()
    assert base64.b64decode(event["event"]["body"]) == data
    assert event["event"]["headers"]["content-encoding"] == "gzip"
    # AND the function's own compression reaches the client
    answer = {
        "statusCode": 200,
        "headers": {"content-encoding": "gzip"},
        "body": base64.b64encode(data).decode(),
        "isBase64Encoded": True,
    }
    response = await client.post("/return", json=answer)
    assert (response.content, response.headers["content-length"]) == (b"x" * 1000, str(len(data)))


@pytest.mark.parametrize(
    ("answer", "status", "content_type", "body"),
    [
        ({"label": "yes"}, 200, "application/json", b'{"label": "yes"}'),
        ({"statusCode": 418, "body": "tea"}, 418, "text/plain; charset=utf-8", b"tea"),
        ({"statusCode": "200"}, 500, "application/json", FAILED),
    ],
)
async def test_answers_are_read_as_payload_format_2_says(
    client: httpx.AsyncClient, answer: Any, status: int, content_type: str, body: bytes
) -> None:
    response = await client.post("/return", json=answer)
    assert (response.status_code, response.content) == (status, body)
    assert response.headers["content-type"] == content_type


async def test_cookies_become_headers(client: httpx.AsyncClient) -> None:
    answer = {"statusCode": 200, "cookies": ["a=1", "b=2"]}
    response = await client.post("/return", json=answer)
    assert response.headers.get_list("set-cookie") == ["a=1", "b=2"]


@pytest.mark.parametrize("path", ["/raise", "/exit", "/kill", "/large?size=7000000"])
async def test_failing_function_is_an_internal_server_error_once(
    client: httpx.AsyncClient, path: str
) -> None:
    # WHEN the handler raises, ends its process, is killed, or answers more than Lambda takes
    check_own_answer(await client.get(path), 500, FAILED)
    # THEN the next request is answered
    assert (await client.get("/echo")).status_code == 200


async def test_handler_error_keeps_the_environment_and_a_crash_does_not(
    client: httpx.AsyncClient,
) -> None:
    pids = []
    for path in ("/echo", "/raise", "/echo", "/exit", "/echo"):
        response = await client.get(path)
        pids += [response.json()["pid"]] if response.status_code == 200 else []
    assert pids[0] == pids[1] != pids[2]


async def test_unknown_route_is_not_found(client: httpx.AsyncClient) -> None:
    check_own_answer(await client.get("/"), 404, b'{"message":"Not Found"}')


async def test_too_large_a_request_is_refused(client: httpx.AsyncClient) -> None:
    body = b'{"message":"Request Entity Too Large"}'
    # GIVEN more than API Gateway takes; text that fits it but not Lambda; bytes that fit until
    # they are in base64
    too_large = [
        ({}, 10 * 1024 * 1024 + 1),
        ({"Content-Type": "text/plain"}, MAX_EVENT_BYTES),
        ({}, MAX_EVENT_BYTES * 3 // 4),
    ]
    for headers, size in too_large:
        response = await client.post("/echo", content=b"x" * size, headers=headers)
        check_own_answer(response, 413, body)
    # THEN what fits still works
    fitting = b"x" * (MAX_EVENT_BYTES * 3 // 4 - 4096)
    response = await client.post("/return", content=fitting)
    assert response.status_code == 500  # the echoing handler cannot read it, but it got there


async def test_largest_answer_passes(client: httpx.AsyncClient) -> None:
    size = MAX_RESPONSE_BYTES - len(json.dumps({"statusCode": 200, "body": ""}))
    assert len((await client.get(f"/large?size={size}")).content) == size
    assert (await client.get(f"/large?size={size + 1}")).status_code == 500


async def test_slow_function_times_out_alone(client: httpx.AsyncClient, gate: Gate) -> None:
    # GIVEN a handler that waits at a gate which nobody opens
    # WHEN its time is over THEN it fails, and another request does not
    slow, quick = await asyncio.gather(client.get(gate.path), client.get("/echo"))
    check_own_answer(slow, 500, FAILED)
    assert quick.status_code == 200


async def test_more_than_the_concurrency_limit_is_throttled(start: Starter, gate: Gate) -> None:
    # GIVEN two executions at most, both busy
    local = await start(concurrency=2)
    async with httpx.AsyncClient(base_url=local.url, timeout=30) as client:
        busy = [asyncio.create_task(client.get(gate.path)) for _ in range(2)]
        waiting = [await gate.arrival() for _ in busy]
        # WHEN a third comes THEN it is refused at once
        response = await client.get("/echo")
        check_own_answer(response, 503, b'{"message":"Service Unavailable"}')
        # AND the two end as if nothing had been, each in a process of its own
        for one in waiting:
            one.close()
        answers = [(await task).json() for task in busy]
        assert len({answer["pid"] for answer in answers}) == 2


async def test_stage_throttles(build: Path, start: Starter) -> None:
    # GIVEN a burst of one request, and one more every 1,000 seconds
    template = build / "template.yaml"
    text = template.read_text().replace("RateLimit: 1000", "RateLimit: 0.001")
    template.write_text(text.replace("Default: 1000", "Default: 1"))
    local = await start()
    async with httpx.AsyncClient(base_url=local.url) as client:
        assert (await client.get("/echo")).json()["environment"]["VOLUME"] == "loud"
        check_own_answer(await client.get("/echo"), 429, b'{"message":"Too Many Requests"}')


async def test_named_stage_is_part_of_the_path(build: Path, start: Starter) -> None:
    template = build / "template.yaml"
    template.write_text(template.read_text().replace("StageName: $default", "StageName: prod"))
    local = await start()
    assert local.url.endswith("/prod")
    async with httpx.AsyncClient(base_url=local.url) as client:
        event = (await client.post("/models/a")).json()["event"]
        assert (event["rawPath"], event["pathParameters"]) == ("/prod/models/a", {"model": "a"})
        assert event["requestContext"]["stage"] == "prod"
        for path in ("/models/a", "/production/models/a"):
            outside = await client.post(local.url.removesuffix("/prod") + path)
            assert outside.status_code == 404


async def test_listens_on_the_loopback_interface_only(local: Platform) -> None:
    assert local.url.startswith("http://127.0.0.1:")
    assert local.aws_endpoint_url.startswith("http://127.0.0.1:")
