"""Rows to ask two versions, drawn from what model.json says of its inputs: they are nobody's."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from serving.manifest import DYNAMIC, Feature, Tensor
from serving.tensors import DATATYPES, Array

SEED = 0  # every release is asked the same

type Draw = Callable[[np.random.Generator, int], Array]


def draw_rows(inputs: Sequence[Tensor], count: int) -> dict[str, Array]:
    """Draw `count` rows of each input that must be there; none if one of them cannot be drawn.

    Each column by itself: from its categories, its histogram, its range or, where it is the only
    one, its index range. A row of many indices is a text or a history, which chance does not write.
    """
    random = np.random.default_rng(SEED)
    drawn = {}
    for tensor in inputs:
        if tensor.optional:
            continue
        draws = [_find_draw(tensor, column) for column in range(_count_columns(tensor))]
        if not draws or None in draws:
            return {}
        columns = [draw(random, count) for draw in draws if draw]
        table, dtype = np.stack(columns, axis=1), DATATYPES[tensor.datatype].dtype
        if dtype.kind in "iu":
            table = np.rint(table.astype(np.float64))
        drawn[tensor.name] = table.astype(dtype).reshape(count, *tensor.shape[1:])
    return drawn


def _count_columns(tensor: Tensor) -> int:
    """Return the columns of a table, one for a single column, 0 for any other tensor."""
    has_rows = tensor.shape[:1] in ([DYNAMIC], [1])
    match tensor.shape[1:]:
        case [] if has_rows:
            return 1
        case [length] if has_rows and length > 0:
            return length
    return 0


def _find_draw(tensor: Tensor, column: int) -> Draw | None:
    """Return what draws a column; None if nothing is known of its values."""
    categories = dict(tensor.known_categories())
    if known := categories.get(column) or categories.get(None):
        return partial(_choose, known)
    if DATATYPES[tensor.datatype].dtype.kind not in "fiu":
        return None
    if tensor.features and (bins := _find_bins(tensor.features[column])):
        return partial(_fill, *bins)
    indices = dict(tensor.index_ranges())
    is_only = _count_columns(tensor) == 1
    if is_only and (limits := indices.get(column) or indices.get(None)):
        return lambda random, rows: random.integers(0, limits[1], rows, endpoint=True)
    return None


def _find_bins(feature: Feature) -> tuple[list[float], list[int]] | None:
    """Return the edges and counts of a histogram, of one bin where only the range is known."""
    if feature.baseline and sum(feature.baseline.counts):
        return feature.baseline.edges, feature.baseline.counts
    if feature.minimum is None or feature.maximum is None:
        return None
    return [feature.minimum, feature.maximum], [1]


def _fill(
    edges: Sequence[float], counts: Sequence[int], random: np.random.Generator, rows: int
) -> Array:
    bins = random.choice(len(counts), rows, p=np.array(counts) / sum(counts))
    drawn: Array = random.uniform(np.array(edges)[bins], np.array(edges)[bins + 1])
    return drawn


def _choose(known: Sequence[int | str], random: np.random.Generator, rows: int) -> Array:
    return np.array(known, np.object_)[random.integers(len(known), size=rows)]
