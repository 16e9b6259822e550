"""Medians with their spread, of values and of ratios."""

from collections.abc import Sequence
from dataclasses import dataclass

from infra.local.metrics import percentile


@dataclass(frozen=True)
class Spread:
    """The middle of some values, and the half of them around it (25 to 75 percent)."""

    median: float
    low: float
    high: float
    count: int


def summarize(values: Sequence[float]) -> Spread:
    """Return the spread of one value or more."""
    low, median, high = (percentile(values, percent) for percent in (25, 50, 75))
    return Spread(median, low, high, len(values))


def compare(values: Sequence[float], others: Sequence[float]) -> Spread:
    """Return the spread of the ratios of values that were measured in the same turn.

    Whatever else keeps the machine busy slows both of a turn, and so leaves their ratio alone.
    """
    return summarize([value / other for value, other in zip(values, others, strict=True)])
