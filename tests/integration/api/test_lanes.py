"""Which lane a request comes by: who may say so, and in whose metrics it counts."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.handlers import Loaded, load
from tests.onnx_models import logarithm, logistic, package

type Event = dict[str, Any]
type Send = Callable[..., tuple[int, dict[str, Any]]]

INFER = "/v2/models/tiny/infer"
TENSOR = {"name": "features", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]}


@pytest.fixture
def send(
    load_handler: Callable[..., Loaded],
    http_event: Callable[..., Event],
    lambda_context: Any,
    capfd: pytest.CaptureFixture[str],
) -> Send:
    """Send the first request to a function by a lane; return its status and the line it leaves."""

    def send(lane: Any, model: Any = None, **tensor: Any) -> tuple[int, dict[str, Any]]:
        api = load_handler(model or logistic())
        event = http_event("POST", INFER, json.dumps({"inputs": [TENSOR | tensor]}))
        event["requestContext"]["lane"] = lane
        capfd.readouterr()
        answer = api.handler(event, lambda_context)
        lines = capfd.readouterr().out.splitlines()
        [line] = [line for line in map(json.loads, lines) if "status" in line]
        assert line["status"] == answer["statusCode"]
        return answer["statusCode"], line

    return send


def dimensions(line: dict[str, Any]) -> list[list[str]]:
    [directive] = line["_aws"]["CloudWatchMetrics"]
    sets: list[list[str]] = directive["Dimensions"]
    return sets


def test_the_lane_of_callers_may_be_named_too(send: Send) -> None:
    status, line = send("api")

    assert status == 200
    assert dimensions(line) == [["service"], ["service", "function_version"]]
    assert line["RequestLatency"] > line["InferenceLatency"]


@pytest.mark.parametrize("lane", ["batch", "stream", "watch"])
def test_another_lane_is_answered_and_counts_for_itself(send: Send, lane: str) -> None:
    status, line = send(lane)

    assert status == 200
    assert dimensions(line) == [["service", "lane"]]
    assert (line["lane"], line["Requests"], line["Rows"]) == (lane, [1], [1])
    assert not {"RequestLatency", "InferenceLatency"} & line.keys()


@pytest.mark.parametrize("lane", ["batch", "stream", "watch"])
def test_what_goes_wrong_for_another_lane_judges_no_release(send: Send, lane: str) -> None:
    status, line = send(lane, logarithm(), name="x", shape=[1], data=[-1])

    assert status == 500
    assert dimensions(line) == [["service", "lane"]]
    assert (line["ServerErrors"], line["NonFiniteOutputs"]) == ([1], [1])


def test_the_gate_is_answered_and_counts_nowhere(send: Send) -> None:
    status, line = send("gate", logarithm(), name="x", shape=[1], data=[-1])

    assert (status, line["lane"]) == (500, "gate")
    assert "_aws" not in line
    assert not {"ServerErrors", "NonFiniteOutputs", "ColdStart"} & line.keys()


@pytest.mark.parametrize("lane", ["other", "API", "", None, 5, ["api"], {"api": 1}])
def test_a_lane_that_is_none_is_refused_and_counts_nowhere(send: Send, lane: Any) -> None:
    status, line = send(lane)

    assert (status, line["lane"]) == (400, "unknown")
    assert "_aws" not in line


def test_the_refusal_says_which_lanes_there_are(
    load_handler: Callable[..., Loaded], http_event: Callable[..., Event], lambda_context: Any
) -> None:
    event = http_event("GET", "/v2")
    event["requestContext"]["lane"] = "night"

    answer = load_handler(logistic()).handler(event, lambda_context)

    error = "requestContext.lane: Expected one of api, batch, stream, watch, gate"
    assert json.loads(answer["body"]) == {"error": error}


async def test_no_caller_of_the_api_can_name_a_lane(
    client: httpx.AsyncClient,
    lambda_context: Any,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    # GIVEN a client that names one wherever it can write, at the front door of the local run
    context = {"requestContext": {"lane": "gate"}, "lane": "gate"}
    response = await client.post(
        "/echo?lane=gate&requestContext.lane=gate&requestContext[lane]=gate",
        content=json.dumps(context),
        headers={
            "Content-Type": "application/json",
            "Lane": "gate",
            "RequestContext": json.dumps(context["requestContext"]),
            "X-Amzn-Request-Context": json.dumps(context),
            "Cookie": "lane=gate; requestContext.lane=gate",
        },
    )
    # THEN the function sees what was sent, and a context without a lane
    event = response.json()["event"]
    assert event["headers"]["lane"] == event["queryStringParameters"]["lane"] == "gate"
    assert "lane" not in event["requestContext"]
    # AND counts the request as a caller's
    api = load(package(tmp_path, logistic()))
    capfd.readouterr()
    assert api.handler(event | {"rawPath": INFER}, lambda_context)["statusCode"] == 400
    lines = capfd.readouterr().out.splitlines()
    [line] = [json.loads(line) for line in lines if '"_aws"' in line]
    assert dimensions(line) == [["service"], ["service", "function_version"]]
