"""How different two tables of numbers or labels are: of the same shape, a row for each answer."""

import math

import numpy as np

from serving.tensors import Array

CHANCE = 0.01  # how often chance alone may give what counts as more than allowed
MANY, ONE_WAY = 30, 0.95  # rows that differ, and the share of them that moves one way
BINS = 10  # of the population stability index
FAR = 0.75  # of the interquartile range: a standard deviation, if the numbers are normal
POINTS = 0.05  # the least by which a number between 0 and 1 must move to be another
RELATIVE, ABSOLUTE = 1e-5, 1e-6  # by which equal numbers may differ, as in golden requests


def exceeds(count: float, rows: int, share: float) -> bool:
    """Return whether `count` changed rows are more than `share` of all of them, beyond chance.

    The upper tail of the binomial distribution: if each row changed with probability `share`, as
    many as these would change in less than one of a hundred such comparisons.
    """
    least = math.floor(count + ABSOLUTE)  # shares of rows were added up
    if least <= rows * share:
        return False
    if share == 0:
        return True
    logarithms = (
        math.lgamma(rows + 1)
        - math.lgamma(changed + 1)
        - math.lgamma(rows - changed + 1)
        + changed * math.log(share)
        + (rows - changed) * math.log1p(-share)
        for changed in range(least, rows + 1)
    )
    return sum(map(math.exp, logarithms)) < CHANCE


def find_others(before: Array, now: Array) -> Array:
    """Return of each number whether it is another: no longer a number, or far from the old one.

    Far is FAR of the interquartile range of the old numbers of its column, which a few extremes do
    not widen. Where most of them are the same number it is their standard deviation, and in a
    constant column the number itself. Between 0 and 1 it is never less than POINTS.
    """
    known = np.nan_to_num(before)
    low, high = np.quantile(known, (0.25, 0.75), axis=0)
    size = np.abs(known.mean(axis=0))
    far = FAR * (high - low)
    for other in (known.std(axis=0), size):
        far = np.where(far > RELATIVE * size, far, other)
    if known.min() >= 0 and known.max() <= 1:
        far = np.maximum(far, POINTS)
    others: Array = (np.abs(now - before) > far) | (np.isnan(now) != np.isnan(before))
    return others


def is_systematic(before: Array, now: Array) -> bool:
    """Return whether most columns moved as a whole: one way, or with every number in its old order.

    A model that is trained again moves some numbers up and others down, and changes their order.
    """
    moved = ~np.isclose(now, before, RELATIVE, ABSOLUTE, equal_nan=True)
    count = moved.sum(axis=0)
    ups = (moved & (now > before)).sum(axis=0)
    goes_one_way = np.maximum(ups, count - ups) >= ONE_WAY * count
    ordered = np.take_along_axis(now, before.argsort(axis=0, kind="stable"), axis=0)
    keeps_order = (np.diff(ordered, axis=0) >= -ABSOLUTE).all(axis=0)
    return bool(((count >= MANY) & (goes_one_way | keeps_order)).mean() >= 1 / 2)


def find_psi(before: Array, now: Array) -> float:
    """Return the population stability index, of the column where it is largest.

    The sum of (q - p) ln(q / p) over the shares p and q of old and new answers in each bin: of
    numbers the tenths of the old ones, of labels each label. Half a row is added to every bin, so
    that none is empty.
    """
    return max(_find_psi(*columns) for columns in zip(before.T, now.T, strict=True))


def _find_psi(before: Array, now: Array) -> float:
    if before.dtype.kind == "f":
        cuts = np.unique(np.quantile(before, np.arange(1, BINS) / BINS))
        bins = [np.searchsorted(cuts, values, side="right") for values in (before, now)]
        number = len(cuts) + 1
    else:
        labels, places = np.unique(np.concatenate([before, now]), return_inverse=True)
        bins, number = np.split(places, 2), len(labels)
    p, q = (
        (np.bincount(places, minlength=number) + 0.5) / (len(before) + number / 2)
        for places in bins
    )
    return float(((q - p) * np.log(q / p)).sum())
