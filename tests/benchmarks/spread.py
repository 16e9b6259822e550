"""Medians with their spread, of values and of ratios."""

from collections.abc import Sequence
from dataclasses import dataclass

from infra.local.metrics import percentile


@dataclass(frozen=True)
class Spread:
    """The median of some values, and the quartiles around it."""

    median: float
    low: float
    high: float
    count: int


def summarize(values: Sequence[float]) -> Spread:
    """Return the spread of one or more values."""
    low, median, high = (percentile(values, percent) for percent in (25, 50, 75))
    return Spread(median, low, high, len(values))


def compare(values: Sequence[float], others: Sequence[float]) -> Spread:
    """Return the spread of the ratios of values that were measured in the same turn.

    Other work of the machine slows both values of a turn, and so hardly changes their ratio.
    """
    return summarize([value / other for value, other in zip(values, others, strict=True)])
