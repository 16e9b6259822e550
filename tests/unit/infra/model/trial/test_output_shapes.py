"""Shapes of outputs: what is declared, and what answers show."""

from typing import Any

import pytest

from infra.model.trial.output_shapes import correct, find_shapes

ROWS = [{"name": "x", "datatype": "FP32", "shape": [-1, 4]}]
TOKENS = [{"name": "x", "datatype": "INT64", "shape": [-1, -1]}]
ONE = [{"name": "x", "datatype": "FP32", "shape": [1, 4]}]


@pytest.mark.parametrize(
    ("inputs", "declared", "seen", "expected"),
    [
        (ROWS, [1], [[1], [2], [3]], [-1]),  # a length that follows the rows
        (ROWS, [1], [[1], [1], [1]], [1]),
        (ROWS, [-1], [[1], [1], [1]], [-1]),  # what may vary need not
        (ROWS, [-1, 5], [[1, 4], [2, 4], [3, 4]], [-1, 4]),
        (ROWS, [-1], [[1, 2], [2, 2], [3, 2]], [-1, 2]),  # the rank is another
        (ROWS, [], [[1, 2], [2, 2], [3, 2]], [-1, 2]),
        (ROWS, [-1, 1], [[], [], []], []),
        (ROWS, [3, 2], [[3, 2], [3, 2], [3, 2]], [3, 2]),
        (ROWS, [-1], [[1], [2, 1], [3, 1]], [-1]),  # a rank that varies has no form
        (ROWS, [5], [[1]], [-1]),  # only one row was answered
        (TOKENS, [-1, 5], [[1, 64], [2, 64], [3, 64]], [-1, -1]),  # the samples are equally long
        (ONE, [1, 5], [[1, 4]], [1, 4]),
        (ONE, [5], [[1, 4]], [1, 4]),
    ],
)
def test_a_shape_that_answers_contradict_is_that_of_the_answers(
    inputs: list[Any], declared: list[int], seen: list[list[int]], expected: list[int]
) -> None:
    output = {"name": "y", "datatype": "FP32", "shape": declared}
    found = find_shapes(inputs, [output], [{"y": shape} for shape in seen])
    assert found == ({} if expected == declared else {"y": expected})


def test_without_an_answer_nothing_is_known() -> None:
    assert find_shapes(ROWS, [{"name": "y", "datatype": "FP32", "shape": [1]}], []) == {}


def test_labels_stay_where_there_are_as_many_columns() -> None:
    output = {"name": "y", "datatype": "FP32", "shape": [1, 2], "labels": ["a", "b"]}
    assert correct(output, {"y": [-1, 2]}) == output | {"shape": [-1, 2]}
    assert "labels" not in correct(output, {"y": [-1, 3]})
    assert correct(output, {}) == output


def test_names_of_dimensions_go_with_the_declaration() -> None:
    output = {"name": "y", "datatype": "FP32", "shape": [1], "dimensions": ["N"]}
    assert correct(output, {"y": [-1, 2]}) == {"name": "y", "datatype": "FP32", "shape": [-1, 2]}
    assert correct(output, {}) == output
