"""A model's quality: figures as scikit-learn defines them, and a paired bootstrap of two models."""

import re
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import (
    accuracy_score,
    brier_score_loss,
    mean_absolute_error,
    roc_auc_score,
    root_mean_squared_error,
)

from infra.model.errors import ModelError
from infra.model.quality.comparison import Verdict, compare
from infra.model.quality.predictions import Figures, Predictions, read_predictions

LABEL = {"name": "label", "datatype": "INT64", "shape": [-1]}
TEXT = {"name": "label", "datatype": "BYTES", "shape": [-1]}
PROBABILITIES: dict[str, Any] = {"name": "p", "datatype": "FP32", "shape": [-1, 2]}
NUMBER = {"name": "y", "datatype": "FP32", "shape": [-1, 1]}


def figures(predictions: Predictions, weights: Any = None) -> Figures:
    return predictions.figures(np.ones(predictions.rows) if weights is None else weights)


def draw_probabilities(rows: int, classes: int, seed: int = 0) -> Any:
    """Return rounded probabilities, so that some are equal."""
    table = np.random.default_rng(seed).dirichlet(np.ones(classes), rows).round(2)
    table[:, 0] += 1 - table.sum(axis=1)
    return table


@pytest.mark.parametrize("weighted", [False, True])
def test_two_classes_have_scikit_learns_figures(weighted: bool) -> None:
    # GIVEN probabilities with ties, and outcomes that follow them
    random = np.random.default_rng(1)
    table = draw_probabilities(500, 2)
    truth = (random.random(500) < table[:, 1]).astype(int)
    weights = random.integers(0, 4, 500) if weighted else np.ones(500)
    # WHEN the figures are computed, each row counted as often as a resample has it
    predictions = read_predictions([PROBABILITIES], {"p": table.astype(np.float32)}, truth)
    # THEN they are scikit-learn's
    scores = table[:, 1].astype(np.float32).astype(float)
    expected = {
        "accuracy": accuracy_score(truth, table.argmax(axis=1), sample_weight=weights),
        "auc": roc_auc_score(truth, scores, sample_weight=weights),
        "brier": brier_score_loss(truth, scores, sample_weight=weights),
    }
    assert figures(predictions, weights) == pytest.approx(expected, abs=1e-12)


def test_three_classes_have_scikit_learns_figures() -> None:
    table = draw_probabilities(600, 3)
    cumulated, drawn = table.cumsum(axis=1), np.random.default_rng(2).random((600, 1))
    truth = (drawn > cumulated).sum(axis=1).clip(0, 2)
    outputs = [PROBABILITIES | {"shape": [-1, 3]}]
    found = figures(read_predictions(outputs, {"p": table}, truth))
    assert found == pytest.approx(
        {
            "accuracy": accuracy_score(truth, table.argmax(axis=1)),
            "auc": roc_auc_score(truth, table, multi_class="ovr"),
            "brier": brier_score_loss(truth, table),
        },
        abs=1e-12,
    )


def test_numbers_have_scikit_learns_figures() -> None:
    random = np.random.default_rng(3)
    truth = random.normal(size=300)
    predicted = truth + random.normal(size=300)
    weights = random.integers(0, 3, 300)
    predictions = read_predictions([NUMBER], {"y": predicted[:, np.newaxis]}, truth.tolist())
    assert figures(predictions, weights) == pytest.approx(
        {
            "rmse": root_mean_squared_error(truth, predicted, sample_weight=weights),
            "mae": mean_absolute_error(truth, predicted, sample_weight=weights),
        }
    )


@pytest.mark.parametrize(
    ("outputs", "answers", "target", "accuracy"),
    [
        # The label output decides, not the largest probability.
        ([LABEL, PROBABILITIES], {"label": [1, 0], "p": [[0.9, 0.1]] * 2}, [1, 0], 1.0),
        # Cells of a file are texts; classes are written in many ways.
        ([LABEL, PROBABILITIES], {"label": [1, 0], "p": [[0, 1], [1, 0]]}, ["1", "0.0"], 1.0),
        ([LABEL, PROBABILITIES], {"label": [1, 0], "p": [[0, 1], [1, 0]]}, ["true", False], 1.0),
        # Columns have the names of `labels`, although the label output is a number.
        (
            [LABEL, PROBABILITIES | {"labels": ["stays", "leaves"]}],
            {"label": [1, 0], "p": [[0, 1], [1, 0]]},
            ["leaves", "stays"],
            1.0,
        ),
        # Without names they are in sorted order, numbers by value.
        ([PROBABILITIES], {"p": [[0, 1], [1, 0]]}, ["yes", "no"], 1.0),
        ([PROBABILITIES], {"p": [[0, 1], [1, 0]]}, ["10", "9"], 1.0),
        # A label alone has an accuracy.
        ([TEXT], {"label": ["a", "b"]}, ["a", "c"], 0.5),
        # One number between 0 and 1 for a target of 0 and 1 is a probability.
        ([NUMBER], {"y": [[0.8], [0.3]]}, [1, 1], 0.5),
    ],
)
def test_classes_are_found_in_the_outputs(
    outputs: list[Any], answers: dict[str, Any], target: list[Any], accuracy: float
) -> None:
    arrays = {
        name: np.array(value, object if isinstance(value[0], str) else float)
        for name, value in answers.items()
    }
    found = figures(read_predictions(outputs, arrays, target))
    assert found["accuracy"] == accuracy
    assert ("brier" in found) == (outputs != [TEXT])


def test_scores_that_are_no_probabilities_have_no_brier_score() -> None:
    answers = {"p": np.array([[-3.0, 2.0], [4.0, -1.0]])}
    assert figures(read_predictions([PROBABILITIES], answers, [1, 0])) == {
        "accuracy": 1.0,
        "auc": 1.0,
    }


def test_rows_of_one_class_have_no_auc() -> None:
    answers = {"p": np.array([[0.2, 0.8], [0.4, 0.6]])}
    predictions = read_predictions([PROBABILITIES], answers, [1, 1])
    assert np.isnan(figures(predictions)["auc"])
    assert {change.figure for change in compare(predictions, predictions)} == {"accuracy", "brier"}


@pytest.mark.parametrize(
    ("outputs", "answers", "target", "message"),
    [
        ([PROBABILITIES], {"p": [[0, 1], [1, 0]]}, ["a", "a"], "expected 0 to 1; name the"),
        (
            [PROBABILITIES | {"labels": ["stays", "leaves"]}],
            {"p": [[0, 1], [1, 0]] * 2},
            ["a", "b", "c", "b"],
            "the target's 3 classes are not the columns of the output: expected stays, ",
        ),
        ([PROBABILITIES], {"p": [[0, np.nan], [1, 0]]}, [0, 1], "output 'p' holds NaN"),
        ([NUMBER], {"y": [[3], [4]]}, ["3", "n/a"], "the target is not a number in every row"),
        ([NUMBER], {"y": [[[3]], [[4]]]}, [3, 4], "no output has a class, a probability or a"),
    ],
)
def test_what_cannot_be_measured_is_said(
    outputs: list[Any], answers: dict[str, Any], target: list[Any], message: str
) -> None:
    arrays = {name: np.array(value, float) for name, value in answers.items()}
    with pytest.raises(ModelError, match=re.escape(message)):
        read_predictions(outputs, arrays, target)


def classify(table: Any, truth: Any, label: Any = None) -> Predictions:
    answers = {"p": table} | ({} if label is None else {"label": label})
    outputs = [PROBABILITIES] if label is None else [LABEL, PROBABILITIES]
    return read_predictions(outputs, answers, truth)


def both(probability: Any) -> Any:
    return np.stack([1 - probability, probability], axis=1)


def test_what_is_wrong_is_worse_and_what_is_scaled_is_not() -> None:
    # GIVEN a calibrated model on 400 rows
    random = np.random.default_rng(4)
    probability = random.beta(1, 2, 400)
    truth = (random.random(400) < probability).astype(int)
    label = (probability > 0.5).astype(int)
    old = classify(both(probability), truth, label)

    def judge(table: Any, label: Any) -> dict[str, Verdict]:
        return {one.figure: one.verdict for one in compare(old, classify(table, truth, label))}

    # WHEN its labels, or its probabilities, are swapped THEN that is worse
    assert judge(both(probability), 1 - label)["accuracy"] is Verdict.WORSE
    assert judge(both(1 - probability), label)["auc"] is Verdict.WORSE
    assert judge(both(1 - probability), label)["brier"] is Verdict.WORSE
    # AND it compares as the same with itself, and with probabilities times 1.01
    assert set(judge(both(probability), label).values()) == {Verdict.SAME}
    assert Verdict.WORSE not in judge(both(probability) * 1.01, label).values()
    # AND a model that knows more is better
    closer = (probability + truth) / 2
    assert judge(both(closer), (closer > 0.5).astype(int))["brier"] is Verdict.BETTER


def test_a_loss_too_small_to_matter_is_not_worse() -> None:
    # GIVEN numbers that are off by 1, and a model that is off by 1 % more in every row
    truth, signs = [0.0] * 1000, np.tile([1.0, -1.0], 500)[:, np.newaxis]
    old = read_predictions([NUMBER], {"y": signs}, truth)
    # THEN that is surely worse, yet no reason to refuse it; 5 % more is one
    slightly = compare(old, read_predictions([NUMBER], {"y": 1.01 * signs}, truth))
    assert [change.verdict for change in slightly] == [Verdict.SLIGHTLY_WORSE] * 2
    clearly = compare(old, read_predictions([NUMBER], {"y": 1.05 * signs}, truth))
    assert [change.verdict for change in clearly] == [Verdict.WORSE] * 2
    assert str(clearly[0]) == (
        "rmse 1.0000 -> 1.0500, worse (99 % interval of the difference +0.0500 to +0.0500)"
    )


def test_an_honest_retrain_is_hardly_ever_worse() -> None:
    # GIVEN 60 pairs of models of the same kind, each trained on its own 500 rows
    random = np.random.default_rng(5)
    refused = 0
    for _ in range(60):
        weights = random.normal(size=4)

        def draw(rows: int, weights: Any = weights) -> tuple[Any, Any]:
            features = random.normal(size=(rows, 4))
            chance = 1 / (1 + np.exp(-features @ weights))
            return features, (random.random(rows) < chance).astype(int)

        features, truth = draw(500)
        pair = [LogisticRegression().fit(*draw(500)).predict_proba(features) for _ in range(2)]
        # WHEN both are measured on the same other 500 rows
        changes = compare(*[classify(table, truth) for table in pair])
        refused += any(change.verdict is Verdict.WORSE for change in changes)
    # THEN at most one in twenty is refused by mistake
    assert refused <= 3
