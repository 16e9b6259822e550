"""Two models on the same rows: which figures differ, and whether by more than chance."""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from infra.model.quality.predictions import Predictions
from infra.model.tensor import Array

PERFECT = {"auc": 1.0, "brier": 0.0, "accuracy": 1.0, "rmse": 0.0, "mae": 0.0}
RESAMPLES = 2000
TAIL = 0.005  # on either side: 99 % of the resamples lie in the interval
# A loss that grows by less than this share is never a reason to refuse. With enough rows, even a
# model trained again with another seed is worse "beyond chance".
RELEVANT = 0.02


class Verdict(StrEnum):
    """How a figure of the new model compares with the old model's."""

    BETTER = "better"
    SAME = "same"  # within chance
    SLIGHTLY_WORSE = "slightly worse"  # beyond chance, by less than RELEVANT
    WORSE = "worse"


@dataclass(frozen=True)
class FigureComparison:
    """One figure of both models on the same rows, and the interval of its difference."""

    figure: str
    old: float
    new: float
    low: float  # of new - old: 99 % of the resamples lie between low and high
    high: float
    verdict: Verdict

    def __str__(self) -> str:
        """Return the comparison in words."""
        interval = f"99 % interval of the difference {self.low:+.4f} to {self.high:+.4f}"
        return f"{self.figure} {self.old:.4f} -> {self.new:.4f}, {self.verdict} ({interval})"


def compare(old: Predictions, new: Predictions) -> list[FigureComparison]:
    """Compare two models on the same rows by a paired bootstrap: both get the same resamples.

    Only figures that both models have are compared, and only if they are finite (the AUC of rows
    of a single class is not).
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


def _judge(figure: str, new: float, old: float, differences: Array) -> FigureComparison:
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
    return FigureComparison(figure, old, new, low, high, verdict)
