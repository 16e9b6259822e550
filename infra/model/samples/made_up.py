"""Made-up rows: the same ones at each call, and nobody's data."""

import math
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from infra.model.samples.samples import LEAST_ROWS, Samples
from infra.model.tensor import DTYPES, DYNAMIC, TABLE, Array, Tensor, kind_of, row_shape

MADE_UP_ROWS = 8
MOST_ELEMENTS = 2**24  # of a made-up request, which is in memory several times


def make_up(
    inputs: Sequence[Tensor],
    length: int,
    *,
    zeros: bool,
    texts: Mapping[str, Sequence[str]] | None = None,
) -> Samples:
    """Make up rows for every required input, the same ones at each call.

    Dimensions of any length get `length`. Features follow their histograms or ranges, with the
    first row in the middle. Other numbers are between 0 and 1, integers are 1 (an index of any
    table, a mask that hides nothing), and texts are those of `texts`, by input, or "a". With
    `zeros`, all numbers are 0 and all texts are empty.
    """
    random = np.random.default_rng(0)
    arrays = {}
    for tensor in inputs:
        if tensor.get("optional"):
            continue
        shape, dtype = _made_up_shape(tensor, length), DTYPES[tensor["datatype"]]
        match kind_of(tensor):
            case "f" if not zeros:
                array = random.random(shape).round(3).astype(dtype)
            case "O":
                known = () if zeros else (texts or {}).get(tensor["name"], ())
                fits = known and shape[1:][-1:] in ((), (len(known),))
                array = np.full(shape, known if fits else "" if zeros else "a", dtype)
            case _:
                array = np.full(shape, 0 if zeros else 1, dtype)
        if not zeros:
            _fill(array, tensor.get("features", ()), random)
        _limit(array, tensor)
        arrays[tensor["name"]] = array
    return Samples(inputs, arrays)


def _limit(array: Array, tensor: Tensor) -> None:
    """Replace values that the graph does not allow; 0 is in every index range."""
    for part, (lowest, highest) in _limits(tensor, "index_range", "column_index_ranges"):
        values = array[part]
        values[(values < lowest) | (values > highest)] = 0
    for part, categories in _limits(tensor, "categories", "column_categories"):
        array[part] = categories[0]


def _limits(tensor: Tensor, whole: str, by_column: str) -> Iterator[tuple[Any, Any]]:
    """Yield each limit of an input, with the index of the part of its array that has it."""
    columns = (((..., i), limit) for i, limit in enumerate(tensor.get(by_column, ())))
    for part, limit in ((..., tensor.get(whole)), *columns):
        if limit:
            yield part, limit


def find_texts(samples: Samples, categories: Collection[str]) -> dict[str, list[str]]:
    """Return a text for each column of text: the most frequent one that identifies nobody.

    LEAST_ROWS rows share it, or it is one of the model's `categories`; if there is none, it is "a".
    """
    return {
        name: [
            _find_text(column.tolist(), categories) for column in array.reshape(len(array), -1).T
        ]
        for name, array in samples.arrays.items()
        if array.dtype.hasobject
    }


def _find_text(texts: Sequence[str], categories: Collection[str]) -> str:
    ranked = Counter(texts).most_common()
    shared = (text for text, count in ranked if count >= LEAST_ROWS or text in categories)
    return next(shared, "a")


def _fill(table: Array, features: Sequence[Mapping[str, Any]], random: np.random.Generator) -> None:
    """Fill the columns of a table with numbers from their histograms, or ranges."""
    for column, feature in enumerate(features):
        low, high = feature.get("minimum"), feature.get("maximum")
        if table.ndim != TABLE or low is None or high is None:
            continue
        baseline = feature.get("baseline") or {"edges": [low, high], "counts": [1]}
        edges, until = baseline["edges"], np.cumsum(baseline["counts"])
        spread = random.permutation(np.arange(1, MADE_UP_ROWS) / MADE_UP_ROWS)
        places = until[-1] * np.array([0.5, *spread])
        numbers = np.interp(places, [0, *until], edges).tolist()
        bins = np.searchsorted(until, places).tolist()
        short = [_shorten(one, *edges[i : i + 2]) for one, i in zip(numbers, bins, strict=True)]
        table[:, column] = np.rint(short) if table.dtype.kind in "iu" else short


def _shorten(number: float, low: float, high: float) -> float:
    """Round a number to the fewest digits that keep it from `low` to `high`."""
    rounded = (round(number, digits) for digits in range(17))
    return next((one for one in rounded if low <= one <= high), number)


def count_elements(inputs: Sequence[Tensor], length: int) -> int:
    """Return how many elements `make_up` would make up."""
    shapes = [_made_up_shape(tensor, length) for tensor in inputs if not tensor.get("optional")]
    return sum(map(math.prod, shapes))


def _made_up_shape(tensor: Tensor, length: int) -> tuple[int, ...]:
    return MADE_UP_ROWS, *(length if n == DYNAMIC else n for n in row_shape(tensor))
