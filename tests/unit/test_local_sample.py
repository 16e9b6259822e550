"""The request that `infra run` prints for the served model."""

from typing import Any

from infra.local.run import sample_request

INPUTS: list[dict[str, Any]] = [
    {"name": "features", "datatype": "FP32", "shape": [-1, 2]},
    {"name": "flags", "datatype": "BOOL", "shape": [3]},
    {"name": "words", "datatype": "BYTES", "shape": []},
]


def test_sample_is_the_first_golden_one() -> None:
    golden = {"features": [[1.0, 2.0], [3.0, 4.0]], "flags": [True, False, True], "words": "a"}
    request = sample_request({"inputs": INPUTS, "golden": [{"inputs": golden}]})
    assert request["inputs"][0] == {
        "name": "features",
        "datatype": "FP32",
        "shape": [2, 2],
        "data": [[1.0, 2.0], [3.0, 4.0]],
    }


def test_sample_is_zeros_without_a_golden_one() -> None:
    request = sample_request({"inputs": INPUTS, "golden": []})
    assert [tensor["shape"] for tensor in request["inputs"]] == [[1, 2], [3], []]
    assert [tensor["data"] for tensor in request["inputs"]] == [[0, 0], [False] * 3, [""]]


def test_sample_is_the_first_category_where_there_are_such() -> None:
    country = {"name": "country", "datatype": "BYTES", "shape": [-1], "categories": ["DE", "FR"]}
    request = sample_request({"inputs": [country], "golden": []})
    assert request["inputs"][0]["data"] == ["DE"]


def test_sample_leaves_out_what_may_be_absent() -> None:
    optional = {"name": "divisor", "datatype": "FP32", "shape": [1], "optional": True}
    request = sample_request({"inputs": [*INPUTS, optional], "golden": []})
    assert "divisor" not in {tensor["name"] for tensor in request["inputs"]}
