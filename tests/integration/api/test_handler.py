"""handler.py: an HTTP API event in, the answer out, by the direct way and by FastAPI."""

import base64
import gc
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from runpy import run_module
from typing import Any

import numpy as np
import pytest
from fastapi import FastAPI
from onnx import ModelProto

from protocols import open_inference
from telemetry import logger
from tests.handlers import Loaded
from tests.onnx_models import gather, identity, logarithm, logistic, package

Event = Callable[..., dict[str, Any]]

INFER = "/v2/models/tiny/infer"
ROWS = [[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]]
SCORES = [0.6899744272232056, 0.8581489324569702]


def tensor(**changes: Any) -> dict[str, Any]:
    return {"name": "features", "shape": [2, 4], "datatype": "FP32", "data": ROWS} | changes


def request(**changes: Any) -> str:
    return json.dumps({"inputs": [tensor()]} | changes)


@pytest.fixture
def api(load_handler: Callable[..., Loaded]) -> Loaded:
    return load_handler(logistic(), description="A tiny model.")


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], Any]:
    """Run the entry point as Lambda's init phase does, and return its handler."""

    def start(folder: Path) -> Any:
        monkeypatch.setenv("MODEL_DIR", str(folder))
        return run_module("api.handler")["handler"]

    return start


def emf(printed: str) -> dict[str, Any]:
    records = [json.loads(line) for line in printed.splitlines() if '"_aws"' in line]
    assert len(records) == 1
    record: dict[str, Any] = records[0]
    return record


def test_answers_the_recorded_event(api: Loaded, lambda_context: Any) -> None:
    recorded = Path(__file__).parents[2] / "events" / "http_api_infer.json"

    answer = api.handler(json.loads(recorded.read_text()), lambda_context)

    assert answer["statusCode"] == 200
    assert json.loads(answer["body"])["outputs"][0]["data"] == SCORES[:1]


@pytest.mark.parametrize("data", [ROWS, [*ROWS[0], *ROWS[1]]])
@pytest.mark.parametrize("path", [INFER, "/v2/models/tiny/versions/1/infer"])
def test_predicts_for_nested_and_flat_data(
    api: Loaded, lambda_context: Any, http_event: Event, path: str, data: list[Any]
) -> None:
    body = request(inputs=[tensor(data=data)], id="42", model_name="ignored")

    answer = api.handler(http_event("POST", path, body), lambda_context)

    assert json.loads(answer["body"]) == {
        "model_name": "tiny",
        "model_version": "1",
        "id": "42",
        "outputs": [{"name": "scores", "datatype": "FP32", "shape": [2, 1], "data": SCORES}],
    }


CORPUS: dict[str, tuple[int, str]] = {
    "valid": (200, request()),
    "selected output": (200, request(outputs=[{"name": "scores"}])),
    "no rows": (200, request(inputs=[tensor(shape=[0, 4], data=[])])),
    "unknown output": (400, request(outputs=[{"name": "label"}])),
    "no outputs wanted": (200, request(outputs=[])),
    "an output many times": (200, request(outputs=[{"name": "scores"}] * 1000)),
    "no parameters": (200, request(inputs=[tensor(parameters=None)], parameters=None)),
    "huge dimension of an empty tensor": (400, request(inputs=[tensor(shape=[0, 2**62])])),
    "key twice, once in disguise": (400, request()[:-1] + ', "\\u0069nputs": []}'),
    "no body": (400, ""),
    "not JSON": (400, "features=1"),
    "truncated": (400, request()[:-5]),
    "NaN": (400, request().replace("1.0", "NaN")),
    "minus infinity": (400, request().replace("1.0", "-Infinity")),
    "key twice": (400, request()[:-1] + ', "inputs": []}'),
    "key twice in an input": (400, request().replace("[{", '[{"name": "x", ')),
    "bad UTF-8 in what is ignored": (400, request(a=["data", "data", "?"]).replace("?", "\xff")),
    "a value that looks like a key": (200, request(id="data", a=["data", "data"])),
    "too large a number": (400, request().replace("1.0", "1e400")),
    "a list": (400, "[]"),
    "no inputs": (400, "{}"),
    "empty inputs": (400, request(inputs=[])),
    "input twice": (400, request(inputs=[tensor(), tensor()])),
    "unknown input": (400, request(inputs=[tensor(name="x")])),
    "no data": (400, json.dumps({"inputs": [{**tensor(), "data": None}]})),
    "wrong datatype": (400, request(inputs=[tensor(datatype="FP64")])),
    "wrong shape": (400, request(inputs=[tensor(shape=[4, 2])])),
    "shape of many lengths": (400, request(inputs=[tensor(shape=[1] * 10**5)])),
    "shape that is none": (400, request(inputs=[tensor(shape="[2, 4]")])),
    "more inputs than anybody has": (413, request(inputs=[tensor(data=[])] * 10_001)),
    "more outputs than anybody wants": (413, request(outputs=[{"name": "scores"}] * 10_000)),
    "more data than the shape has": (400, request(inputs=[tensor(data=[0] * 10_000)])),
    "negative dimension": (400, request(inputs=[tensor(shape=[-2, 4])])),
    "huge dimension": (413, request(inputs=[tensor(shape=[10**12, 4])])),
    "astronomic dimension": (413, request(inputs=[tensor(shape=[10**40, 4])])),
    "ragged": (400, request(inputs=[tensor(data=[[1, 2, 3, 4], [5]])])),
    "string": (400, request(inputs=[tensor(data=["a"] * 8)])),
    "deep nesting": (400, request().replace("1.0", "[" * 100_000 + "]" * 100_000)),
    "deep nesting of what is ignored": (400, '{"a":' + "[" * 100_000 + "]" * 100_000 + "}"),
    "many digits": (400, request().replace("1.0", "1" * 5000)),
    "bad UTF-8": (400, "\xff"),
    "lone surrogate": (400, request(id="\ud800")),
}


def as_event(make: Event, path: str, body: str) -> dict[str, Any]:
    """Latin-1 lets a test write any bytes; API Gateway sends what is no UTF-8 in base64."""
    raw = body.encode("latin-1")
    return make("POST", path, base64.b64encode(raw).decode(), isBase64Encoded=True)


@pytest.mark.parametrize("case", CORPUS)
def test_every_request_gets_its_status_and_no_request_spoils_the_next(
    api: Loaded, lambda_context: Any, http_event: Event, case: str
) -> None:
    status, body = CORPUS[case]

    answer = api.handler(as_event(http_event, INFER, body), lambda_context)
    following = api.handler(http_event("POST", INFER, request()), lambda_context)

    assert answer["statusCode"] == status
    if status != 200:
        error = json.loads(answer["body"])["error"]
        assert 0 < len(error) < 300
        assert "Traceback" not in error
        assert str(Path.cwd()) not in error
    assert following["statusCode"] == 200


def repeat_one_key(value: Any, again: Any) -> Iterator[str]:
    """Write `value` as JSON once for each of its keys, with that key twice."""
    if isinstance(value, dict):
        pairs = [f"{json.dumps(key)}: {json.dumps(held)}" for key, held in value.items()]
        for i, (key, held) in enumerate(value.items()):
            name = json.dumps(key)
            repeated = held if again == "the same" else again
            yield "{" + ", ".join([f"{name}: {json.dumps(repeated)}", *pairs]) + "}"
            for text in repeat_one_key(held, again):
                yield "{" + ", ".join([*pairs[:i], f"{name}: {text}", *pairs[i + 1 :]]) + "}"
    elif isinstance(value, list):
        for i, held in enumerate(value):
            for text in repeat_one_key(held, again):
                items = [json.dumps(item) for item in value]
                yield "[" + ", ".join([*items[:i], text, *items[i + 1 :]]) + "]"


@pytest.mark.parametrize("again", ["the same", None, False, {}])
@pytest.mark.parametrize(
    "whole",
    [
        {"inputs": [tensor()]},
        {
            "id": "a",
            "parameters": {"binary_data_output": True},
            "inputs": [tensor()],
            "outputs": [{"name": "scores", "parameters": {"binary_data": True}}],
        },
        {
            "id": None,
            "parameters": {"binary_data_output": False},
            "inputs": [tensor(parameters={"binary_data_size": None})],
            "outputs": [{"name": "scores", "parameters": {"binary_data": None}}],
        },
    ],
)
def test_refuses_every_key_twice(
    api: Loaded, lambda_context: Any, http_event: Event, whole: dict[str, Any], again: Any
) -> None:
    # GIVEN a request that is answered
    answer = api.handler(http_event("POST", INFER, json.dumps(whole)), lambda_context)
    assert answer["statusCode"] == 200
    # WHEN any of its keys is there twice, whatever the other value THEN the request is refused
    for body in repeat_one_key(whole, again):
        assert api.handler(http_event("POST", INFER, body), lambda_context)["statusCode"] == 400


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("NaN", "body: NaN and Infinity are not JSON numbers (byte 80)"),
        ("too large a number", "input 'features': data[0][0]: Number out of range"),
        ("key twice", "body: Expected each key once in an object"),
        ("unknown input", "inputs[0]: unknown input; the model has: features"),
        ("wrong datatype", "inputs[0]: input 'features': expected FP32, got FP64"),
        ("ragged", "input 'features': data[1]: Expected 4 elements, got 1"),
        ("shape of many lengths", "body.inputs[0].shape: Expected a list of a few lengths"),
        ("shape that is none", "body.inputs[0].shape: Expected `array`, got `str`"),
        ("more data than the shape has", "input 'features': data: Expected 8 elements, got 10000"),
        ("string", "input 'features': data[0]: Expected `float`, got `str`"),
        ("huge dimension", "inputs[0]: input 'features': at most 10000 rows a request"),
        ("no inputs", "body: Object missing required field `inputs`"),
        ("deep nesting", "body: nested too deeply"),
    ],
)
def test_an_error_says_what_is_wrong_and_where(
    api: Loaded, lambda_context: Any, http_event: Event, case: str, message: str
) -> None:
    answer = api.handler(as_event(http_event, INFER, CORPUS[case][1]), lambda_context)

    assert json.loads(answer["body"])["error"].startswith(message)


ROWS_ERROR = "at most 10000 rows a request"
KEYS_ERROR = "Expected each key once in an object"
REST_ERROR = "more than 1048576 bytes apart from the tensors' data"


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ('"a": "data", "b": "data", "c": "\\u0026"', ROWS_ERROR),
        ('"id": null', ROWS_ERROR),
        ('"a": {"id": 1, "data": {"id": 2}}', ROWS_ERROR),
        (r'"a": "of \"a\/b\": b"', ROWS_ERROR),
        ('"inputs": []', REST_ERROR),
        ('"\\u0069nputs": []', REST_ERROR),
        ('"id": null, "id": "a"', KEYS_ERROR),
        ('"outputs": [{"name": "scores"}], "outputs": null', KEYS_ERROR),
    ],
)
def test_refuses_a_large_body_too_only_when_it_has_a_key_twice(
    api: Loaded, lambda_context: Any, http_event: Event, field: str, message: str
) -> None:
    # GIVEN more rows than a request may have, which is the next thing to be refused
    large = tensor(shape=[100_000, 4], data=[[0.0] * 4] * 100_000)
    body = f"{request(inputs=[large])[:-1]}, {field}}}"

    answer = api.handler(http_event("POST", INFER, body), lambda_context)

    assert json.loads(answer["body"])["error"].endswith(message)


@pytest.mark.parametrize("what", ["x" * 2**21, {"id": ["\\/"] * 2**20}])
def test_refuses_megabytes_that_are_no_data(
    api: Loaded, lambda_context: Any, http_event: Event, what: Any
) -> None:
    answer = api.handler(http_event("POST", INFER, request(padding=what)), lambda_context)

    assert answer["statusCode"] == 413
    assert json.loads(answer["body"]) == {"error": f"body: {REST_ERROR}"}


@pytest.mark.parametrize("write", [base64.encodebytes, lambda _: b'"}'])
def test_a_body_that_is_not_the_base64_it_is_said_to_be_is_no_fault_of_ours(
    api: Loaded, lambda_context: Any, http_event: Event, write: Callable[[bytes], bytes]
) -> None:
    # GIVEN an event that somebody made by hand, for one with lines: API Gateway writes none
    event = http_event("POST", INFER, write(request().encode()).decode(), isBase64Encoded=True)

    answer = api.handler(event, lambda_context)

    assert answer["statusCode"] == 400
    assert json.loads(answer["body"]) == {"error": "body: Expected base64 in one line"}


@pytest.mark.parametrize(
    ("kind", "counted"), [("on-demand", True), ("provisioned-concurrency", False)]
)
def test_a_start_for_which_nobody_waits_is_not_counted(
    load_handler: Callable[..., Loaded],
    lambda_context: Any,
    http_event: Event,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    kind: str,
    counted: bool,
) -> None:
    monkeypatch.setenv("AWS_LAMBDA_INITIALIZATION_TYPE", kind)
    api = load_handler(logistic())

    api.handler(http_event("POST", INFER, request()), lambda_context)

    record = emf(capfd.readouterr().out)
    assert ("ColdStart" in record) == counted
    assert len(record["ModelLoadTime"]) == 1


@pytest.mark.parametrize("policy", ["refuse", "null"])
def test_answers_that_are_no_numbers_are_refused_and_counted_or_null(
    load_handler: Callable[..., Loaded],
    lambda_context: Any,
    http_event: Event,
    capfd: pytest.CaptureFixture[str],
    policy: str,
) -> None:
    api = load_handler(logarithm(), non_finite_outputs=policy)
    tensor = {"name": "x", "shape": [2], "datatype": "FP32", "data": [1, 0]}
    body = json.dumps({"inputs": [tensor]})

    answer = api.handler(http_event("POST", INFER, body), lambda_context)

    record = emf(capfd.readouterr().out)
    if policy == "refuse":
        assert record["NonFiniteOutputs"] == [1]
        assert answer["statusCode"] == 500
        assert json.loads(answer["body"]) == {"error": "output 'y' holds NaN or infinity"}
    else:  # no alarm of a release may ring for what is an answer
        assert "NonFiniteOutputs" not in record
        assert json.loads(answer["body"])["outputs"][0]["data"] == [0.0, None]


@pytest.mark.parametrize("case", CORPUS)
@pytest.mark.parametrize(
    "path", [INFER, "/v2/models/tiny/versions/1/infer", "/v2/models/tiny/versions/2/infer"]
)
def test_the_direct_way_and_fastapi_give_the_same_answer(
    api: Loaded, lambda_context: Any, http_event: Event, path: str, case: str
) -> None:
    event = as_event(http_event, path, CORPUS[case][1])

    direct = api.handler(event, lambda_context)
    fastapi = api.application(event, lambda_context)

    assert direct == fastapi


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        ("application/json", json.dumps({"instances": ROWS}), 200),
        ("application/json", json.dumps({"rows": ROWS}), 400),
        ("application/xml", "<rows/>", 415),
    ],
)
def test_the_scoring_protocol_too_is_the_same_both_ways(
    api: Loaded,
    lambda_context: Any,
    http_event: Event,
    content_type: str,
    body: str,
    status: int,
) -> None:
    event = http_event("POST", "/invocations", body, headers={"content-type": content_type})

    direct = api.handler(event, lambda_context)
    fastapi = api.application(event, lambda_context)

    assert direct == fastapi
    assert direct["statusCode"] == status
    if status == 200:
        assert json.loads(direct["body"]) == {"predictions": [[score] for score in SCORES]}


@pytest.mark.parametrize("stage", ["$default", "prod"])
@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (
            "/v2",
            {"name": "serverless-onnx", "version": "$LATEST", "extensions": ["binary_tensor_data"]},
        ),
        (
            "/v2/",
            {"name": "serverless-onnx", "version": "$LATEST", "extensions": ["binary_tensor_data"]},
        ),
        ("/v2/health/live", {"live": True}),
        ("/v2/health/ready", {"live": True, "ready": True}),
        ("/v2/models", {"models": ["tiny"]}),
        ("/ping", {"status": "healthy"}),
        ("/v2/models/tiny/ready", {"name": "tiny", "ready": True}),
        ("/v2/models/tiny/versions/1/ready", {"name": "tiny", "ready": True}),
    ],
)
def test_every_route_answers_behind_any_stage(
    api: Loaded, lambda_context: Any, http_event: Event, path: str, expected: Any, stage: str
) -> None:
    prefix = "" if stage == "$default" else f"/{stage}"

    answer = api.handler(http_event("GET", prefix + path, stage=stage), lambda_context)

    assert answer["statusCode"] == 200
    assert answer["headers"]["content-type"] == "application/json"
    assert json.loads(answer["body"]) == expected


def test_inference_answers_behind_a_stage_too(
    api: Loaded, lambda_context: Any, http_event: Event
) -> None:
    event = http_event("POST", f"/prod{INFER}", request(), stage="prod")

    assert api.handler(event, lambda_context)["statusCode"] == 200
    assert api.application(event, lambda_context)["statusCode"] == 200


@pytest.mark.parametrize("path", ["/v2/models/tiny", "/v2/models/tiny/versions/1"])
def test_metadata_shows_the_contract_and_the_identity_of_the_model(
    api: Loaded, lambda_context: Any, http_event: Event, path: str
) -> None:
    answer = api.handler(http_event("GET", path), lambda_context)

    assert json.loads(answer["body"]) == {
        "name": "tiny",
        "versions": ["1"],
        "platform": "onnx_onnxv1",
        "inputs": [{"name": "features", "datatype": "FP32", "shape": [-1, 4]}],
        "outputs": [{"name": "scores", "datatype": "FP32", "shape": [-1, 1]}],
        "properties": {"sha256": api.model.manifest.sha256, "function_version": "$LATEST"},
        "parameters": {
            "max_rows": 10_000,
            "max_elements": 1_000_000,
            "max_expanded_bytes": api.model.expanded_bytes,
            "non_finite_outputs": "refuse",
        },
    }


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v2/models/other", 404),
        ("GET", "/v2/models/tiny/versions/2", 404),
        ("GET", "/v2/models/tiny/versions/2/ready", 404),
        ("POST", "/v2/models/other/infer", 404),
        ("GET", "/", 404),
        ("GET", "/v2/models/tiny/", 404),
        ("GET", INFER, 405),
        ("DELETE", "/v2", 405),
    ],
)
def test_what_is_not_here_is_an_error_in_the_protocols_form(
    api: Loaded, lambda_context: Any, http_event: Event, method: str, path: str, status: int
) -> None:
    answer = api.handler(http_event(method, path, request()), lambda_context)

    assert answer["statusCode"] == status
    assert answer["headers"]["content-type"] == "application/json"
    assert json.loads(answer["body"])["error"]


def test_the_pages_for_people_work_behind_a_stage(
    api: Loaded, lambda_context: Any, http_event: Event
) -> None:
    docs = api.handler(http_event("GET", "/prod/docs", stage="prod"), lambda_context)
    page = api.handler(http_event("GET", "/prod/openapi.json", stage="prod"), lambda_context)

    assert "'/prod/openapi.json'" in docs["body"]
    openapi = json.loads(page["body"])
    assert openapi["servers"] == [{"url": "/prod"}]
    assert openapi["info"]["description"] == "A tiny model."
    assert "/v2/models/{name}/versions/{version}/infer" in openapi["paths"]


def test_the_example_in_openapi_is_a_request_that_works(
    api: Loaded, lambda_context: Any, http_event: Event
) -> None:
    page = api.handler(http_event("GET", "/openapi.json"), lambda_context)
    operation = json.loads(page["body"])["paths"]["/v2/models/{name}/infer"]["post"]
    example = operation["requestBody"]["content"]["application/json"]["example"]

    answer = api.handler(http_event("POST", INFER, json.dumps(example)), lambda_context)

    assert answer["statusCode"] == 200


@pytest.mark.parametrize("path", [INFER, INFER.replace("tiny", "t%69ny")])
def test_a_model_that_fails_is_a_500_that_is_counted_and_reveals_nothing(
    load_handler: Callable[..., Loaded],
    lambda_context: Any,
    http_event: Event,
    capfd: pytest.CaptureFixture[str],
    path: str,
) -> None:
    # GIVEN a model that fails inside onnxruntime for the index 99
    api = load_handler(gather())
    body = json.dumps({"inputs": [{"name": "x", "shape": [1], "datatype": "INT64", "data": [99]}]})

    # WHEN it is asked for
    answer = api.handler(http_event("POST", path, body), lambda_context)

    # THEN the caller learns that it failed, and the version's error metric counts it
    assert answer["statusCode"] == 500
    assert json.loads(answer["body"]) == {
        "error": "the model failed on this input: InvalidArgument in a Gather node"
    }
    record = emf(capfd.readouterr().out)
    assert record["ServerErrors"] == [1.0]
    assert record["Requests"] == [1.0]


@pytest.mark.parametrize(("method", "path"), [("POST", INFER), ("GET", "/v2/models/tiny")])
def test_an_unforeseen_error_is_a_500_in_the_protocols_form(
    load_handler: Callable[..., Loaded],
    lambda_context: Any,
    http_event: Event,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    path: str,
) -> None:
    # GIVEN a fault that nobody thought of
    api = load_handler(logistic())

    def fail(*_: Any) -> None:
        raise AttributeError

    monkeypatch.setattr(open_inference, "_select", fail)

    # WHEN a request meets it
    answer = api.handler(http_event(method, path, request()), lambda_context)

    # THEN it is answered, counted and logged
    assert answer["statusCode"] == 500
    assert json.loads(answer["body"]) == {"error": "internal error; see the function's log"}
    printed = capfd.readouterr().out
    assert emf(printed)["ServerErrors"] == [1.0]
    assert '"exception_name":"AttributeError"' in printed
    assert "open_inference.py:" in printed


def test_an_error_of_the_application_itself_is_answered_too(
    api: Loaded, lambda_context: Any, http_event: Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    # GIVEN a page that fails outside every operation
    def fail(_: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(FastAPI, "openapi", fail)

    # WHEN it is asked for, THEN the answer has the protocol's form
    answer = api.handler(http_event("GET", "/openapi.json"), lambda_context)
    assert answer["statusCode"] == 500
    assert json.loads(answer["body"]) == {"error": "internal error; see the function's log"}


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"headers": None}, 200),
        ({"headers": {"Content-Type": "text/plain"}}, 415),
        ({"body": None}, 400),
    ],
)
def test_an_event_that_is_not_as_usual_is_answered_too(
    api: Loaded, lambda_context: Any, http_event: Event, changes: dict[str, Any], status: int
) -> None:
    event = http_event("POST", INFER, request()) | changes

    assert api.handler(event, lambda_context)["statusCode"] == status


def test_one_record_of_metrics_a_request_for_dashboards_and_for_the_canary(
    api: Loaded, lambda_context: Any, http_event: Event, capfd: pytest.CaptureFixture[str]
) -> None:
    # WHEN the first request and another are answered
    api.handler(http_event("POST", INFER, request()), lambda_context)
    first = emf(capfd.readouterr().out)
    api.handler(http_event("POST", INFER, request(inputs=[tensor(name="x")])), lambda_context)
    second = emf(capfd.readouterr().out)

    # THEN each prints one record, with both dimension sets, and the first tells the cold start
    directive = first["_aws"]["CloudWatchMetrics"][0]
    assert directive["Namespace"] == "ServerlessOnnx"
    assert directive["Dimensions"] == [["service"], ["service", "function_version"]]
    assert first["service"]
    assert first["function_version"] == "$LATEST"
    assert first["Rows"] == [2.0]
    assert first["ColdStart"] == [1.0]
    assert first["ModelLoadTime"][0] > 0
    assert first["RequestLatency"][0] >= first["InferenceLatency"][0] > 0
    assert second["ClientErrors"] == [1.0]
    assert not {"ColdStart", "Rows", "ServerErrors"} & second.keys()


FLOATS = np.random.default_rng(1).random(400_000)  # 3 MB, and 8 as JSON
BINARY = {"name": "x", "shape": [400_000], "datatype": "FP64"}
INDEX = {"name": "x", "shape": [1], "datatype": "INT64", "data": [99]}
NEGATIVE = {"name": "x", "shape": [1], "datatype": "FP32", "data": [-1]}


@pytest.mark.parametrize(
    ("model", "path", "body"),
    [
        (logistic(), INFER, request(inputs=[tensor(data=[])])),
        (logistic(), "/v2/models/other/infer", request()),
        (logistic(), "/invocations", json.dumps({"inputs": [["a"] * 4]})),
        (gather(), INFER, json.dumps({"inputs": [INDEX]})),
        (gather(), "/invocations", json.dumps({"inputs": [99]})),
        (logarithm(), INFER, json.dumps({"inputs": [NEGATIVE]})),
        (logarithm(), "/invocations", json.dumps({"inputs": [-1.0]})),
        (
            identity("FP64", [None]),
            INFER,
            json.dumps({"inputs": [BINARY | {"data": FLOATS.tolist()}]}),
        ),
        (identity("FP64", [None]), "/invocations", json.dumps({"inputs": FLOATS.tolist()})),
    ],
    ids=[
        "no data",
        "unknown model",
        "text for a number",
        "failing in the model",
        "failing in the model, scored",
        "NaN",
        "NaN, scored",
        "too large an answer",
        "too large an answer, scored",
    ],
)
def test_only_an_answered_request_counts_in_latency_and_rows(
    load_handler: Callable[..., Loaded],
    lambda_context: Any,
    http_event: Event,
    capfd: pytest.CaptureFixture[str],
    model: ModelProto,
    path: str,
    body: str,
) -> None:
    api = load_handler(model)
    capfd.readouterr()

    answer = api.handler(http_event("POST", path, body), lambda_context)

    recorded = emf(capfd.readouterr().out)
    assert 400 <= answer["statusCode"] == recorded["status"]
    assert recorded["Requests"] == [1.0]
    assert not {"RequestLatency", "InferenceLatency", "Rows"} & recorded.keys()


def test_no_payload_reaches_the_log(
    load_handler: Callable[..., Loaded],
    lambda_context: Any,
    http_event: Event,
    capfd: pytest.CaptureFixture[str],
) -> None:
    api = load_handler(gather())
    body = json.dumps(
        {"inputs": [{"name": "x", "shape": [1], "datatype": "INT64", "data": [31337]}], "id": "pw"}
    )

    api.handler(http_event("POST", INFER, body), lambda_context)

    printed = capfd.readouterr()
    assert "the model failed" in printed.out
    assert "31337" not in printed.out + printed.err


def test_no_secret_of_any_request_reaches_the_log(
    load_handler: Callable[..., Loaded],
    lambda_context: Any,
    http_event: Event,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # GIVEN secrets in headers, cookies, query, ids and feature values, and an error that quotes one
    api = load_handler(logistic())
    secrets = ["Bearer-s3cr3t", "session=t0k3n", "api_key=k3y", "order-1d", "31337.25"]
    authorization, cookie, query, request_id, value = secrets
    headers = {"authorization": authorization, "x-amz-security-token": authorization}

    def send(path: str, body: str, method: str = "POST", way: Any = api.handler) -> int:
        event = http_event(
            method, path, body, headers=headers, cookies=[cookie], rawQueryString=query
        )
        return int(way(event, lambda_context)["statusCode"])

    def fail(*_: Any) -> None:
        raise ValueError(f"cannot convert {value} of {request_id}")

    # WHEN every kind of request is answered, on both ways
    rows = request(id=request_id).replace("1.0", value)
    statuses = {
        send(path, body, way=way)
        for way in (api.handler, api.application)
        for path in (INFER, INFER.replace("tiny", "t%69ny"), "/v2/models/x/infer", "/invocations")
        for body in (rows, rows[:-4], rows.replace("FP32", value), json.dumps({"inputs": [value]}))
    }
    monkeypatch.setattr(api.model, "predict", fail)
    statuses |= {send(INFER, rows), send(INFER, rows, way=api.application)}
    monkeypatch.setattr(FastAPI, "openapi", fail)
    statuses |= {send("/openapi.json", rows, "GET")}

    # THEN the log tells what happened, and none of them
    printed = capfd.readouterr()
    assert statuses == {200, 400, 404, 500}
    assert '"exception_name":"ValueError"' in printed.out
    for secret in secrets:
        assert secret not in printed.out + printed.err


@pytest.mark.parametrize(("rate", "lines"), [("0", 0), ("1", 1)])
def test_shapes_are_logged_where_debugging_is_sampled(
    load_handler: Callable[..., Loaded],
    lambda_context: Any,
    http_event: Event,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    rate: str,
    lines: int,
) -> None:
    api = load_handler(logistic())
    monkeypatch.setattr(logger, "sampling_rate", rate)
    logger.refresh_sample_rate_calculation()

    api.handler(http_event("POST", INFER, request()), lambda_context)

    printed = capfd.readouterr().out
    assert printed.count('"shapes":{"features":[2,4]}') == lines
    assert "7.0" not in printed


def test_the_line_of_a_request_says_who_answered_what(
    api: Loaded,
    lambda_context: Any,
    http_event: Event,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("_X_AMZN_TRACE_ID", "Root=1-6741c1d2-0a1b2c3d4e5f60718293a4b5")

    api.handler(http_event("POST", INFER, request()), lambda_context)

    line = emf(capfd.readouterr().out)
    assert line["function_request_id"] == lambda_context.aws_request_id
    assert line["xray_trace_id"] == "Root=1-6741c1d2-0a1b2c3d4e5f60718293a4b5"
    assert line["model_version"] == "1"
    assert line["model_sha256"] == api.model.manifest.sha256
    assert line["status"] == 200


def test_a_golden_sample_that_is_none_is_a_model_that_does_not_load(
    tmp_path: Path, start: Callable[[Path], Any], capfd: pytest.CaptureFixture[str]
) -> None:
    golden = [{"inputs": {"features": [[1, 2], [3]]}, "outputs": {}}]

    with pytest.raises(Exception, match=r"model\.json: golden\[0\]\.inputs: "):
        start(package(tmp_path, logistic(), golden=golden))

    assert emf(capfd.readouterr().out)["ModelLoadFailures"] == [1.0]


def test_a_model_that_does_not_load_is_counted_before_the_function_fails(
    tmp_path: Path, start: Callable[[Path], Any], capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(Exception, match=r"model\.json says sha256 0000"):
        start(package(tmp_path, logistic(), files={"model.onnx": "0" * 64}))

    assert emf(capfd.readouterr().out)["ModelLoadFailures"] == [1.0]
    # THEN who goes on without a model collects garbage again
    assert gc.isenabled()
