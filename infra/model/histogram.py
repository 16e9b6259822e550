"""The range and histogram of a feature's values, in a form that reveals no single row."""

import math
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from infra.model.samples.samples import LEAST_ROWS
from infra.model.serialization import to_lists
from infra.model.tensor import Array

BINS = 10  # of a histogram, at most
LEAST_SHARE = 0.005  # of the rows: in each bin, and at or beyond each end of the range
FEW = 20 * LEAST_ROWS  # rows: with fewer, the outermost are too many to leave out


def describe_values(values: Array) -> dict[str, Any]:
    """Return `minimum`, `maximum` and `baseline` of a feature, as model.json has them.

    The bins are about equally full, and equal values share one. Every bin holds LEAST_ROWS rows or
    more; the outer bins also count the rows beyond the range, which is rounded.
    """
    if values.dtype.kind not in "fiu":
        return {}
    numbers = np.sort(np.array(to_lists(values), np.float64))
    least = max(LEAST_ROWS, math.ceil(LEAST_SHARE * len(numbers)))
    low, high = _find_ends(numbers, least)
    bounds = np.iinfo(values.dtype) if values.dtype.kind in "iu" else np.finfo(values.dtype)
    low, high = max(low, float(bounds.min)), min(high, float(bounds.max))
    described: dict[str, Any] = {"minimum": low, "maximum": high}
    if low == high:  # a constant has no distribution
        return described
    cuts = _cut(numbers, least)
    counts = np.bincount(np.searchsorted(cuts, numbers), minlength=len(cuts) + 1)
    return described | {"baseline": {"edges": [low, *cuts, high], "counts": counts.tolist()}}


def _find_ends(numbers: Array, least: int) -> tuple[float, float]:
    """Return the range of sorted numbers, rounded outwards to two digits of its width.

    At each end, `least` rows lie at or beyond it. With few rows it is a tenth of them, and rounding
    is to one digit. Ten rows or fewer all lie in the range: too few would be left.
    """
    is_few = len(numbers) < FEW
    beyond = min(least - 1, (len(numbers) - 1) // 10)
    low, high = numbers[beyond].item(), numbers[-1 - beyond].item()
    if low == high and len(numbers) >= LEAST_ROWS:  # a value that many rows share identifies nobody
        return low, high
    width = min(high - low, sys.float_info.max) or abs(low)
    digits = (not is_few) - math.floor(math.log10(width)) if width else 0
    return min(low, _round(math.floor, low, digits)), max(high, _round(math.ceil, high, digits))


def _round(to: Callable[[float], int], number: float, digits: int) -> float:
    """Round by `math.floor` or `math.ceil` to `digits` decimals; negative ones count tens."""
    if digits <= 0:
        return to(number / 10.0**-digits) * 10.0**-digits
    step = 10.0 ** min(digits, sys.float_info.max_10_exp)
    return to(number * step) / step


def _cut(numbers: Array, least: int) -> list[float]:
    """Cut sorted numbers into at most BINS bins of `least` rows or more."""
    distinct, counts = np.unique(numbers, return_counts=True)
    until = counts.cumsum()
    cuts, before = [], 0
    for share in range(1, BINS):
        end = np.searchsorted(until, share * len(numbers) / BINS)
        if until[end] - before >= least <= len(numbers) - until[end]:
            cuts.append(_separate(*distinct[end : end + 2].tolist()))
            before = until[end]
    return cuts


def _separate(low: float, high: float) -> float:
    """Return the shortest number between two values, since no value may lie on an edge."""
    middle = (low + high) / 2
    rounded = (round(middle, digits) for digits in range(17))
    return next((number for number in rounded if low < number < high), middle)
