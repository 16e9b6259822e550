"""Answers of two versions, next to each other: every kind of output."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from gate.answers import Change, Comparison, Pair, find_changes
from gate.golden import InferResponse, Output

RANDOM = np.random.default_rng(0)
SHARES = RANDOM.dirichlet([1, 1, 1], 200)


def answer(**outputs: tuple[str, Any]) -> InferResponse:
    """Make an answer of outputs by name, each a datatype and an array."""
    return InferResponse(
        "tiny",
        "1",
        [
            Output(
                name, datatype, list(np.shape(values)), np.array(values, object).ravel().tolist()
            )
            for name, (datatype, values) in outputs.items()
        ],
    )


def compare(
    datatype: str,
    before: Any,
    now: Any,
    *,
    rows: int | None = None,
    limit: float = 10,
    classes: Sequence[str] = (),
) -> Change:
    """Compare one output `y` of one request; by default each row of the array is an answer."""
    pair = Pair(
        len(before) if rows is None else rows,
        answer(y=(datatype, before)),
        answer(y=(datatype, now)),
    )
    [change] = find_changes(Comparison("requests", limit, list(classes), [pair]))
    return change


@pytest.mark.parametrize(
    ("datatype", "before", "now"),
    [
        ("INT64", [0, 1, 2, 2**62], [0, 1, 2, 2**62 + 1]),
        ("BYTES", ["a", "b", "c", "größer"], ["a", "b", "c", "grösser"]),
        ("BOOL", [True, False, True, True], [True, False, True, False]),
        ("UINT64", [0, 0, 0, 2**64 - 1], [0, 0, 0, 2**64 - 2]),
        ("FP32", [[0.9, 0.1], [0.2, 0.8], [1, 0], [0.6, 0.4]], [[1, 0], [0, 1], [1, 0], [0, 1]]),
    ],
)
def test_labels_are_counted_row_by_row(datatype: str, before: Any, now: Any) -> None:
    change = compare(datatype, before, now)
    assert (change.rows, change.flips) == (4, 0.25)
    assert change.text.startswith("requests: output 'y': 1 of 4 labels (25 %) change")


def test_one_number_a_class_is_a_label_even_if_they_are_no_probabilities() -> None:
    logits = RANDOM.normal(0, 5, (50, 10))
    assert compare("FP32", logits, logits[:, ::-1]).flips is None
    assert compare("FP32", logits, logits[:, ::-1], classes=["y"]).flips == 1
    assert compare("FP32", logits, logits * 3, classes=["y"]).flips == 0


@pytest.mark.parametrize(
    ("now", "colour"),
    [
        (SHARES, "green"),
        (SHARES[:, [1, 0, 2]], "red"),
        (np.roll(SHARES, 1, axis=0), "red"),
        (SHARES * 1.01, "amber"),
        (SHARES**2 / (SHARES**2).sum(axis=1, keepdims=True), "green"),
        (0.97 * SHARES + 0.03 * RANDOM.dirichlet([1, 1, 1], 200), "green"),
    ],
)
def test_probabilities_have_a_colour(now: Any, colour: str) -> None:
    assert compare("FP32", SHARES, now).colour == colour


def test_numbers_judge_where_there_is_no_label() -> None:
    prices = RANDOM.normal(200, 30, 300)
    noisy = compare("FP64", prices, prices + RANDOM.normal(0, 3, 300))
    assert (noisy.flips, noisy.moves, noisy.colour) == (None, 0, "green")
    assert noisy.mean == pytest.approx(2.4, rel=0.2)
    assert noisy.largest == pytest.approx(9, rel=0.5)
    assert compare("FP64", prices, prices * 1.01).colour == "amber"
    assert compare("FP64", prices, prices * 100).colour == "red"
    assert compare("FP64", prices, np.roll(prices, 1)).colour == "red"
    assert compare("FP64", prices, np.roll(prices, 1)).text.startswith("requests: output 'y': ")


def test_a_few_numbers_do_not_show_how_far_they_spread() -> None:
    # GIVEN two prices that happen to be near each other
    assert compare("FP32", [10.0, 10.1], [11.0, 9.9]).colour == "amber"
    assert compare("FP32", [10.0, 10.1], [10.0, 10.1]).colour == "green"


def test_a_few_labels_are_looked_at_and_many_are_refused() -> None:
    labels = np.zeros(12, int)
    for flipped, colour in ((0, "green"), (1, "green"), (2, "amber"), (4, "amber"), (5, "red")):
        assert compare("INT64", labels, labels + (np.arange(12) < flipped)).colour == colour


def test_more_than_half_of_what_is_allowed_is_looked_at() -> None:
    labels = np.zeros(1000, int)
    for flipped, colour in ((50, "green"), (75, "amber"), (100, "amber"), (130, "red")):
        assert compare("INT64", labels, labels + (np.arange(1000) < flipped)).colour == colour


def test_a_limit_of_100_refuses_nothing() -> None:
    labels = np.zeros(1000, int)
    for flipped, colour in ((50, "green"), (75, "amber"), (130, "amber"), (1000, "amber")):
        now = labels + (np.arange(1000) < flipped)
        assert compare("INT64", labels, now, limit=100).colour == colour
    assert compare("INT64", labels, labels + (np.arange(1000) < 1), limit=0).colour == "red"


def test_psi_is_given_for_many_rows_only() -> None:
    numbers = RANDOM.normal(0, 1, 1000)
    assert compare("FP32", numbers[:999], numbers[:999]).psi is None
    assert compare("FP32", numbers, numbers).psi == 0
    shifted = compare("FP32", numbers, numbers + RANDOM.normal(0.9, 0.1, 1000), limit=99)
    assert shifted.psi is not None
    assert shifted.psi > 0.5
    assert "population stability index" in shifted.text
    labels = np.where(np.arange(1000) < 100, "a", "b")
    assert compare("BYTES", labels, labels).psi == 0


def test_scores_of_a_rare_class_are_judged_where_labels_hide_them() -> None:
    # GIVEN scores of fraud: the likelier class is the same in each of 1,000 rows
    scores = RANDOM.beta(1, 20, 1000)
    before = np.stack([1 - scores, scores], axis=1)
    # WHEN they go to other customers
    shuffled = compare("FP32", before, RANDOM.permutation(before))
    # THEN no label changes, and yet it is refused
    assert (shuffled.flips, shuffled.colour) == (0, "red")
    assert "0 of 1,000 labels (0 %) change; " in shuffled.text
    assert "numbers (" in shuffled.text
    # AND scores that move as a retrain's do are fine
    near = np.clip(scores * RANDOM.normal(1, 0.05, 1000), 0, 1)
    assert compare("FP32", before, np.stack([1 - near, near], axis=1)).colour == "green"
    # AND of two classes that are both frequent labels alone judge
    even = RANDOM.uniform(0.3, 0.7, 1000)
    assert not compare("FP32", np.stack([1 - even, even], axis=1), before).is_rare


def test_an_answer_that_is_no_row_counts_as_one() -> None:
    # GIVEN one answer of many numbers, and a scalar
    image = RANDOM.integers(0, 2, (64, 64))
    change = compare("INT64", image, 1 - image, rows=1)
    assert (change.rows, change.flips, change.colour) == (1, 1, "amber")
    assert compare("FP32", 0.5, 0.5, rows=1).colour == "green"


def test_of_a_row_that_changes_in_part_a_part_counts() -> None:
    tags = np.zeros((20, 10), int)
    now = tags.copy()
    now[:, :3] = 1
    assert compare("INT64", tags, now).flips == pytest.approx(0.3)


def test_answers_of_different_shapes_have_changed() -> None:
    # GIVEN requests whose answers are as long as they want to be
    lengths = [3, 5, 2, 4]
    pairs = [
        Pair(
            1,
            answer(y=("INT64", [[1] * length]), z=("FP32", [[0.5] * length])),
            answer(y=("INT64", [[1] * (length + more)]), z=("FP32", [[0.5] * (length + more)])),
        )
        for length, more in zip(lengths, [0, 0, 0, 1], strict=True)
    ]
    tokens, scores = find_changes(Comparison("requests", 10, [], pairs))
    assert (tokens.rows, tokens.flips) == (4, 0.25)
    assert (scores.rows, scores.moves, scores.largest) == (4, 0.25, 0)
    # AND nothing but such
    tokens, scores = find_changes(Comparison("requests", 10, [], pairs[3:]))
    assert (tokens.flips, scores.moves, scores.mean) == (1, 1, None)


def test_empty_answers_are_the_same() -> None:
    assert compare("FP32", np.zeros((0, 3)), np.zeros((0, 3)), rows=1).colour == "green"
    assert compare("INT64", np.zeros((4, 0), int), np.zeros((4, 0), int)).colour == "green"


def test_nan_is_no_difference_to_nan() -> None:
    before = [None, 1.0, 2.0]
    change = compare("FP32", before, before)
    assert (change.moves, change.largest, change.colour) == (0, 0, "green")
    change = compare("FP32", before, [3.0, None, 2.0])
    assert change.moves == pytest.approx(2 / 3)
    assert change.largest == 0


def test_only_outputs_that_both_have_are_compared() -> None:
    before = answer(label=("INT64", [1]), score=("FP32", [0.5]), gone=("INT64", [1]))
    now = answer(score=("FP64", [0.5]), label=("INT64", [1]), new=("INT64", [1]))
    changes = find_changes(Comparison("requests", 10, [], [Pair(1, before, now)]))
    assert [change.output for change in changes] == ["label"]
    assert list(find_changes(Comparison("requests", 10, [], []))) == []


def test_json_has_numbers_colour_and_text() -> None:
    assert compare("FP32", [0.5, 1.5], [0.5, 1.75]).to_dict() == {
        "requests": "requests",
        "output": "y",
        "rows": 2,
        "limit": 10,
        "flips": None,
        "is_rare": False,
        "moves": 0,
        "mean": 0.125,
        "largest": 0.25,
        "systematic": False,
        "psi": None,
        "colour": "green",
        "text": (
            "requests: output 'y': 0 of 2 numbers (0 %) move far; "
            "numbers differ by 0.12 on average, 0.25 at most"
        ),
    }
