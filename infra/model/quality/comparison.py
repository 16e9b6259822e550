"""How good a model's answers are, on rows whose outcome is known, and whether two models differ.

The figures are scikit-learn's: `roc_auc_score` (one class against the rest, unweighted mean, where
there are more than two), `brier_score_loss` and `accuracy_score` for classes,
`root_mean_squared_error` and `mean_absolute_error` for numbers. The tests compare them with it.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from infra.model.errors import ModelError
from infra.model.graph.graph import Tensor
from infra.model.samples.samples import Array, kind_of

type Figures = dict[str, float]

PERFECT = {"auc": 1.0, "brier": 0.0, "accuracy": 1.0, "rmse": 0.0, "mae": 0.0}
BINARY = 2  # classes
TABLE = 2  # dimensions: rows and classes
BOOLEANS = {"false": "0", "true": "1"}
# A score a little over 1 is a probability that something has scaled; far from it, it is none.
PROBABILITY = (-0.1, 1.1)

RESAMPLES = 2000
TAIL = 0.005  # on either side of the interval: 99 % of the resamples lie within
# A loss that grows by less than this share is never a reason to refuse: with enough rows even a
# retrain with another seed is worse "beyond chance".
RELEVANT = 0.02


class Verdict(StrEnum):
    """How a figure of the new model compares with the old model's."""

    BETTER = "better"
    SAME = "same"  # within chance
    SLIGHTLY_WORSE = "slightly worse"  # beyond chance, by less than RELEVANT
    WORSE = "worse"


@dataclass(frozen=True)
class Change:
    """One figure of both models on the same rows, and the interval of its difference."""

    figure: str
    old: float
    new: float
    low: float  # of new - old: 99 % of the resamples lie between low and high
    high: float
    verdict: Verdict

    def __str__(self) -> str:
        """Write it for a person."""
        interval = f"99 % interval of the difference {self.low:+.4f} to {self.high:+.4f}"
        return f"{self.figure} {self.old:.4f} -> {self.new:.4f}, {self.verdict} ({interval})"


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
        """Return the figures of the rows, each counted `weights` times; AUC may be NaN."""
        found = {"accuracy": float(weights @ self._is_right / weights.sum())}
        if self._rankings:
            found["auc"] = float(np.mean([one.auc(weights) for one in self._rankings]))
        if self._squares is not None:
            found["brier"] = float(weights @ self._squares / weights.sum())
        return found


class NumberPredictions:
    """Predicted numbers, one a row."""

    def __init__(self, truth: Array, predicted: Array) -> None:
        self.rows = len(truth)
        self._errors = np.abs(predicted - truth)

    def figures(self, weights: Array) -> Figures:
        """Return the figures of the rows, each counted `weights` times."""
        return {
            "rmse": float(np.sqrt(weights @ self._errors**2 / weights.sum())),
            "mae": float(weights @ self._errors / weights.sum()),
        }


type Predictions = ClassPredictions | NumberPredictions


class _Ranking:
    """Rows sorted by the score of one class, once for all resamples."""

    def __init__(self, scores: Array, is_class: Array) -> None:
        self._order = np.argsort(scores, kind="stable")
        self._is_class = is_class[self._order]
        self._ties = np.flatnonzero(np.diff(scores[self._order], prepend=np.nan) != 0)

    def auc(self, weights: Array) -> float:
        """Return the share of pairs that are in the right order; NaN if a class has no row."""
        weights = weights[self._order]
        inside = np.add.reduceat(weights * self._is_class, self._ties)
        outside = np.add.reduceat(weights, self._ties) - inside
        pairs = inside.sum() * outside.sum()
        below = outside.cumsum() - outside / 2
        return float(inside @ below / pairs) if pairs else np.nan


def read_predictions(
    outputs: Sequence[Tensor], answers: Mapping[str, Array], target: Sequence[Any]
) -> Predictions:
    """Take what a model predicts from its outputs, one entry a row, next to the known `target`.

    Probabilities are the first output of fractions with two columns or more, the class the first
    output of integers, texts or booleans with one value a row. A model without either predicts a
    number, or, if the target is 0 or 1 and every answer lies between them, a probability. Raises
    ModelError if the outputs have neither, hold NaN, or the target fits no class.
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
    """Give each class its column: by its name, as a number from 0, or in sorted order."""
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
    """Write a class as one text, however it was written: 1, 1.0, True and "true" are "1"."""
    text = str(value).strip()
    text = BOOLEANS.get(text.lower(), text)
    return text[:-2] if re.fullmatch(r"[0-9]+\.0", text) else text


def _sort_key(name: str) -> tuple[bool, float, str]:
    """Sort classes as scikit-learn does: numbers by their value, texts by their letters."""
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
        raise ModelError("the model predicts numbers, and the target is not a number in every row")
    return numbers


def compare(old: Predictions, new: Predictions) -> list[Change]:
    """Compare two models on the same rows by a paired bootstrap: both see the same resamples.

    Only figures that both have are compared, and none that a resample cannot have (the AUC of
    rows of one class).
    """
    both = _compute_both(old, new, np.ones(old.rows))
    random = np.random.default_rng(0)
    resampled = [
        _compute_both(old, new, np.bincount(drawn, minlength=old.rows))
        for drawn in (random.integers(old.rows, size=old.rows) for _ in range(RESAMPLES))
    ]
    return [
        _judge(figure, *both[figure], np.array([np.subtract(*one[figure]) for one in resampled]))
        for figure in both
        if np.isfinite(both[figure]).all()
    ]


def _compute_both(
    old: Predictions, new: Predictions, weights: Array
) -> dict[str, tuple[float, float]]:
    """Return each figure that both models have, as (new, old)."""
    before, now = old.figures(weights), new.figures(weights)
    shared = [figure for figure in PERFECT if figure in before and figure in now]
    return {figure: (now[figure], before[figure]) for figure in shared}


def _judge(figure: str, new: float, old: float, differences: Array) -> Change:
    low, high = np.nanquantile(differences, [TAIL, 1 - TAIL]).tolist()
    perfect = PERFECT[figure]
    is_loss = perfect == 0
    surely_worse, surely_better = (low > 0, high < 0) if is_loss else (high < 0, low > 0)
    growth = abs(perfect - new) - abs(perfect - old)
    if surely_worse:
        is_relevant = growth > RELEVANT * abs(perfect - old)
        verdict = Verdict.WORSE if is_relevant else Verdict.SLIGHTLY_WORSE
    else:
        verdict = Verdict.BETTER if surely_better else Verdict.SAME
    return Change(figure, old, new, low, high, verdict)
