"""The request that `infra run` prints for the served model."""

from typing import Any

from infra.run.announcement import sample_request

INPUTS: list[dict[str, Any]] = [
    {"name": "features", "datatype": "FP32", "shape": [-1, 2]},
    {"name": "flags", "datatype": "BOOL", "shape": [3]},
    {"name": "words", "datatype": "BYTES", "shape": []},
]


EXAMPLE = {"features": [[1.0, 2.0], [3.0, 4.0]], "flags": [True, False, True], "words": "a"}
GOLDEN = {"features": [[7.0, 8.0]], "flags": [False, False, True], "words": "Anna"}


def test_sample_is_the_example_of_the_contract() -> None:
    request = sample_request({"inputs": INPUTS, "example": EXAMPLE, "golden": [{"inputs": GOLDEN}]})
    assert request["inputs"] == [
        {"name": "features", "datatype": "FP32", "shape": [2, 2], "data": EXAMPLE["features"]},
        {"name": "flags", "datatype": "BOOL", "shape": [3], "data": [True, False, True]},
        {"name": "words", "datatype": "BYTES", "shape": [], "data": ["a"]},
    ]


def test_sample_is_zeros_without_an_example_and_never_a_golden_one() -> None:
    request = sample_request({"inputs": INPUTS, "golden": [{"inputs": GOLDEN}]})
    assert [tensor["shape"] for tensor in request["inputs"]] == [[1, 2], [3], []]
    assert [tensor["data"] for tensor in request["inputs"]] == [[0, 0], [False] * 3, [""]]


def test_sample_is_the_first_category_where_there_are_such() -> None:
    country = {"name": "country", "datatype": "BYTES", "shape": [-1], "categories": ["DE", "FR"]}
    request = sample_request({"inputs": [country], "golden": []})
    assert request["inputs"][0]["data"] == ["DE"]


def test_sample_leaves_out_what_may_be_absent() -> None:
    optional = {"name": "divisor", "datatype": "FP32", "shape": [1], "optional": True}
    for fields in ({}, {"example": EXAMPLE}):
        request = sample_request({"inputs": [*INPUTS, optional], **fields})
        assert "divisor" not in {tensor["name"] for tensor in request["inputs"]}
