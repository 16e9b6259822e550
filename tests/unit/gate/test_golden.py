import json
from typing import Any

import msgspec
import pytest

from gate.errors import RefusedError
from gate.golden import GoldenRequest, golden_requests
from gate.invocation import Answer
from serving.manifest import Manifest


def make(datatype: str, expected: Any, shape: list[int], **fields: Any) -> GoldenRequest:
    """Make the request of a model whose one output `y` was `expected`."""
    manifest = {
        "schema": 1,
        "name": "tiny",
        "version": "1",
        "files": {"model.onnx": "0" * 64},
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [1]}],
        "outputs": [{"name": "y", "datatype": datatype, "shape": shape}],
        "golden": [{"inputs": {"x": [1.0]}, "outputs": {"y": expected}, **fields}],
    }
    [request] = golden_requests(msgspec.convert(manifest, Manifest))
    return request


def respond(datatype: str, data: list[Any], shape: list[int], name: str = "y") -> Answer:
    output = {"name": name, "datatype": datatype, "shape": shape, "data": data}
    body = {"model_name": "tiny", "model_version": "1", "outputs": [output]}
    return Answer(200, json.dumps(body).encode(), 1.0)


@pytest.mark.parametrize(
    ("datatype", "expected", "data", "shape"),
    [
        ("FP32", [[1.0, 2.0]], [1.000009, 2.0], [1, 2]),
        ("FP64", [0.0], [9e-7], [1]),
        ("FP32", [None, 1.0], [None, 1.0], [2]),  # NaN, where the manifest says null
        ("FP32", 0.5, [0.5], []),
        ("FP32", [[], []], [], [2, 0]),
        ("UINT64", [2**64 - 1], [2**64 - 1], [1]),
        ("INT64", [], [], [0]),
        ("BOOL", [True, False], [True, False], [2]),
        ("BYTES", ["größer", ""], ["größer", ""], [2]),
    ],
)
def test_golden_answer_is_accepted(
    datatype: str, expected: Any, data: list[Any], shape: list[int]
) -> None:
    make(datatype, expected, shape).check(respond(datatype, data, shape))


@pytest.mark.parametrize(
    ("datatype", "expected", "data", "shape"),
    [
        ("FP32", [[1.0, 2.0]], [1.0001, 2.0], [1, 2]),
        ("FP64", [0.0], [2e-6], [1]),
        ("FP32", [1.0], [None], [1]),
        ("UINT64", [2**64 - 1], [2**64 - 2], [1]),
        ("INT64", [10**6], [10**6 + 1], [1]),  # within the tolerance that a fraction would have
        ("BOOL", [True], [False], [1]),
        ("BYTES", ["a"], ["b"], [1]),
    ],
)
def test_other_answer_is_refused_without_a_value_of_it(
    datatype: str, expected: Any, data: list[Any], shape: list[int]
) -> None:
    # WHEN
    with pytest.raises(RefusedError, match=r"golden\[0\]: output 'y': 1 of \d elem") as raised:
        make(datatype, expected, shape).check(respond(datatype, data, shape))

    # THEN
    assert not any(str(value) in str(raised.value) for value in data if value not in {1, 2.0})


def test_sample_without_a_json_form_is_no_request() -> None:
    with pytest.raises(ValueError, match="not enough values"):
        make("BF16", [1.0], [1])


def test_tolerances_are_those_of_the_sample() -> None:
    loose = make("FP16", [100.0], [1], relative_tolerance=0.01, absolute_tolerance=0)
    loose.check(respond("FP16", [100.9], [1]))
    with pytest.raises(RefusedError, match="differ from model\\.json by more than 0\\.01 of"):
        loose.check(respond("FP16", [101.1], [1]))


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (respond("FP32", [1.0], [1], name="z"), "the answer has no FP32 output 'y'"),
        (respond("FP64", [1.0], [1]), "the answer has no FP32 output 'y'"),
        (respond("FP32", [1.0], [2]), "output 'y' is no FP32 of the shape that it declares"),
        (respond("FP32", ["one"], [1]), "output 'y' is no FP32 of the shape that it declares"),
        (respond("FP32", [1.0, 2.0], [2]), r"output 'y' has the shape \[2\], expected \[1\]"),
        (Answer(200, b"<html>", None), "the answer is not of the protocol's form"),
        (Answer(200, b"\xff", None), "the answer is not of the protocol's form"),
        (Answer(400, b'{"error": "too few"}', None), "status 400, expected 200: too few"),
        (Answer(502, b"Bad Gateway", None), "status 502, expected 200$"),
    ],
)
def test_answer_of_another_form_is_refused(answer: Answer, reason: str) -> None:
    with pytest.raises(RefusedError, match=reason):
        make("FP32", [1.0], [1]).check(answer)
