"""The request that shows how to call a model."""

from typing import Any

from infra.model.example import make_example_request

INPUTS: list[dict[str, Any]] = [
    {"name": "features", "datatype": "FP32", "shape": [-1, 2]},
    {"name": "flags", "datatype": "BOOL", "shape": [3]},
    {"name": "words", "datatype": "BYTES", "shape": []},
]


EXAMPLE = {"features": [[1.0, 2.0], [3.0, 4.0]], "flags": [True, False, True], "words": "a"}
GOLDEN = {"features": [[7.0, 8.0]], "flags": [False, False, True], "words": "Anna"}


def test_it_is_the_example_of_the_contract() -> None:
    request = make_example_request(
        {"inputs": INPUTS, "example": EXAMPLE, "golden": [{"inputs": GOLDEN}]}
    )
    assert request["inputs"] == [
        {"name": "features", "datatype": "FP32", "shape": [2, 2], "data": EXAMPLE["features"]},
        {"name": "flags", "datatype": "BOOL", "shape": [3], "data": [True, False, True]},
        {"name": "words", "datatype": "BYTES", "shape": [], "data": ["a"]},
    ]


def test_without_an_example_it_is_zeros_and_never_a_golden_request() -> None:
    request = make_example_request({"inputs": INPUTS, "golden": [{"inputs": GOLDEN}]})
    assert [tensor["shape"] for tensor in request["inputs"]] == [[1, 2], [3], []]
    assert [tensor["data"] for tensor in request["inputs"]] == [[0, 0], [False] * 3, [""]]


def test_an_input_with_categories_gets_the_first_one() -> None:
    country = {"name": "country", "datatype": "BYTES", "shape": [-1], "categories": ["DE", "FR"]}
    request = make_example_request({"inputs": [country], "golden": []})
    assert request["inputs"][0]["data"] == ["DE"]


def test_a_column_with_categories_gets_the_first_one() -> None:
    table = {"name": "table", "datatype": "INT64", "shape": [-1, 3]}
    categories = {"column_categories": [None, [7, 8], None]}
    request = make_example_request({"inputs": [table | categories], "golden": []})
    assert request["inputs"][0]["data"] == [0, 7, 0]


def test_it_leaves_out_optional_inputs() -> None:
    optional = {"name": "divisor", "datatype": "FP32", "shape": [1], "optional": True}
    for fields in ({}, {"example": EXAMPLE}):
        request = make_example_request({"inputs": [*INPUTS, optional], **fields})
        assert "divisor" not in {tensor["name"] for tensor in request["inputs"]}
