"""A model's predictions for rows whose outcome is known, and figures of how good they are.

The figures are those of scikit-learn, and the tests compare them with it: `roc_auc_score` (for more
than two classes, the unweighted mean of one class against the rest), `brier_score_loss` and
`accuracy_score` for classes; `root_mean_squared_error` and `mean_absolute_error` for numbers.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from infra.model.errors import ModelError
from infra.model.tensor import Array, Tensor, kind_of

type Figures = dict[str, float]  # by name: auc, brier, accuracy, rmse, mae

BINARY = 2  # classes
TABLE = 2  # dimensions: rows and classes
BOOLEANS = {"false": "0", "true": "1"}
# Scores slightly outside 0 to 1 are probabilities that were rescaled; others are none.
PROBABILITY = (-0.1, 1.1)


class ClassPredictions:
    """Predicted classes, and scores of shape [rows, classes] if the model has them."""

    def __init__(self, truth: Array, predicted: Array, scores: Array | None) -> None:
        self.rows = len(truth)
        self._is_right = predicted == truth
        self._rankings: list[_Ranking] = []
        self._squares: Array | None = None
        if scores is not None:
            classes = scores.shape[1]
            is_class = truth[:, np.newaxis] == np.arange(classes)
            columns = [1] if classes == BINARY else list(range(classes))
            self._rankings = [_Ranking(scores[:, i], is_class[:, i]) for i in columns]
            if _are_probabilities(scores):
                self._squares = ((scores - is_class)[:, columns] ** 2).sum(axis=1)

    def figures(self, weights: Array) -> Figures:
        """Return the figures, with each row counted `weights` times; the AUC may be NaN."""
        found = {"accuracy": float(weights @ self._is_right / weights.sum())}
        if self._rankings:
            found["auc"] = float(np.mean([one.auc(weights) for one in self._rankings]))
        if self._squares is not None:
            found["brier"] = float(weights @ self._squares / weights.sum())
        return found


class NumberPredictions:
    """Predicted numbers, one for each row."""

    def __init__(self, truth: Array, predicted: Array) -> None:
        self.rows = len(truth)
        self._errors = np.abs(predicted - truth)

    def figures(self, weights: Array) -> Figures:
        """Return the figures, with each row counted `weights` times."""
        return {
            "rmse": float(np.sqrt(weights @ self._errors**2 / weights.sum())),
            "mae": float(weights @ self._errors / weights.sum()),
        }


type Predictions = ClassPredictions | NumberPredictions


class _Ranking:
    """The rows sorted by their score for one class; sorted once, used for all resamples."""

    def __init__(self, scores: Array, is_class: Array) -> None:
        self._order = np.argsort(scores, kind="stable")
        self._is_class = is_class[self._order]
        self._ties = np.flatnonzero(np.diff(scores[self._order], prepend=np.nan) != 0)

    def auc(self, weights: Array) -> float:
        """Return the share of pairs in the right order, or NaN if there are no pairs."""
        weights = weights[self._order]
        inside = np.add.reduceat(weights * self._is_class, self._ties)
        outside = np.add.reduceat(weights, self._ties) - inside
        pairs = inside.sum() * outside.sum()
        below = outside.cumsum() - outside / 2
        return float(inside @ below / pairs) if pairs else np.nan


def read_predictions(
    outputs: Sequence[Tensor], answers: Mapping[str, Array], target: Sequence[Any]
) -> Predictions:
    """Read a model's predictions from its outputs; `target` is the known outcome of each row.

    The first output of fractions with two or more columns holds probabilities. The first output of
    integers, texts or booleans with one value for each row holds the class. A model with neither
    predicts a number or, if every target is 0 or 1 and every answer lies between them, a
    probability. Raises ModelError if no output fits, one holds NaN, or a target is not a class.
    """
    rows = len(target)
    tables = {
        one["name"]: answers[one["name"]].reshape(rows, -1)
        for one in outputs
        if answers[one["name"]].shape[:1] == (rows,) and answers[one["name"]].ndim <= TABLE
    }
    known = {one["name"]: one for one in outputs}
    fractions = [name for name in tables if kind_of(known[name]) == "f"]
    columns = [name for name in tables if tables[name].shape[1] == 1]
    table = next((name for name in fractions if tables[name].shape[1] >= BINARY), None)
    label = next((name for name in columns if name not in fractions), None)
    number = next((name for name in columns if name in fractions), None)
    truth = [_name(value) for value in target]
    labels = None if label is None else [_name(value) for value in tables[label].flat]
    if table is not None:
        scores = _read_scores(table, tables[table])
        named = [_name(one) for one in known[table].get("labels", [])]
        return _read_classes(truth, labels, scores, named)
    if labels is not None:
        return ClassPredictions(np.array(truth, object), np.array(labels, object), None)
    if number is None:
        raise ModelError("no output has a class, a probability or a number for each row")
    scores = _read_scores(number, tables[number])
    if {*truth} <= {"0", "1"} and _are_probabilities(scores):
        return _read_classes(truth, None, np.hstack([1 - scores, scores]), [])
    return NumberPredictions(_read_numbers(target), scores[:, 0])


def _read_classes(
    truth: Sequence[str], labels: Sequence[str] | None, scores: Array, named: Sequence[str]
) -> ClassPredictions:
    """Match each class with its column: by its name, as a number from 0, or in sorted order."""
    width = scores.shape[1]
    distinct = sorted({*truth}, key=_sort_key)
    orders = [named, [str(i) for i in range(width)], distinct if len(distinct) == width else []]
    classes = next((order for order in orders if {*truth} <= {*order}), None)
    if classes is None:
        expected = ", ".join(named) or f"0 to {width - 1}"
        raise ModelError(
            f"the target's {len(distinct)} classes are not the columns of the output: expected "
            f"{expected}; name the columns with --labels"
        )
    predicted = scores.argmax(axis=1)
    if labels is not None:
        order = next((one for one in orders if {*labels} <= {*one}), classes)
        predicted = np.array([order.index(one) if one in order else -1 for one in labels])
    known = np.array([classes.index(one) for one in truth])
    return ClassPredictions(known, predicted, scores)


def _name(value: Any) -> str:
    """Return a class as text, the same however it is written: 1, 1.0, True and "true" are "1"."""
    text = str(value).strip()
    text = BOOLEANS.get(text.lower(), text)
    return text[:-2] if re.fullmatch(r"[0-9]+\.0", text) else text


def _sort_key(name: str) -> tuple[bool, float, str]:
    """Return a key that sorts classes as scikit-learn does: numbers by value, texts by letters."""
    try:
        return False, float(name), name
    except ValueError:
        return True, 0.0, name


def _read_scores(name: str, table: Array) -> Array:
    scores: Array = table.astype(np.float64)
    if np.isnan(scores).any():
        raise ModelError(f"output '{name}' holds NaN for a row of the samples")
    return scores


def _are_probabilities(scores: Array) -> bool:
    lowest, highest = PROBABILITY
    return bool(((scores >= lowest) & (scores <= highest)).all())


def _read_numbers(target: Sequence[Any]) -> Array:
    try:
        numbers = np.array([float(value) for value in target])
    except (TypeError, ValueError):
        numbers = np.array([np.nan])
    if not np.isfinite(numbers).all():
        raise ModelError("the model predicts numbers, but the target is not a number in every row")
    return numbers
