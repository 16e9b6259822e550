"""Samples of a model's inputs: an array of rows for each, real or made up."""

import math
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import helper

from infra.model.graph.graph import DATATYPES, DYNAMIC, Tensor

type Array = npt.NDArray[Any]

DTYPES = {name: np.dtype(helper.tensor_dtype_to_np_dtype(kind)) for kind, name in DATATYPES.items()}
MADE_UP_ROWS = 8
MOST_ELEMENTS = 2**24  # of a request that is made up: it is there several times
TABLE = 2  # dimensions: rows and columns
LEAST_ROWS = 10  # that share a value which is nobody's own


@dataclass(frozen=True)
class Samples:
    """`arrays[name][i]` is row i of an input, or all of it in request i of a model without batches.

    `columns` names the columns of the inputs that were read from columns. `target` is the known
    outcome of each row, as the file has it; empty if none was asked for. `notes` say what a person
    should look over.
    """

    inputs: Sequence[Tensor]
    arrays: Mapping[str, Array]
    columns: Mapping[str, Sequence[str]] = field(default_factory=dict)
    target: Sequence[Any] = ()
    notes: Sequence[str] = ()

    def __len__(self) -> int:
        return max(map(len, self.arrays.values()), default=1)

    @property
    def batched(self) -> bool:
        """Whether one request can bring any number of rows."""
        shapes = [tensor["shape"] for tensor in self.inputs if tensor["name"] in self.arrays]
        return bool(shapes) and all(shape[:1] == [DYNAMIC] for shape in shapes)

    @property
    def row_elements(self) -> int:
        """Elements of one row in all inputs."""
        return sum(array[:1].size for array in self.arrays.values())

    def request(self, rows: Sequence[int]) -> dict[str, Array]:
        """Take rows as one request, which brings exactly one where the model takes no batches."""
        return {
            name: self.arrays[name][list(rows)]
            if has_rows(tensor)
            else self.arrays[name][rows[0], ...]
            for tensor in self.inputs
            if (name := tensor["name"]) in self.arrays
        }


def make_up(
    inputs: Sequence[Tensor],
    length: int,
    *,
    zeros: bool,
    texts: Mapping[str, Sequence[str]] | None = None,
) -> Samples:
    """Make up rows for every input that must be there, the same ones at each call.

    `length` is that of the dimensions that have none. Features lie where their histograms or ranges
    are, the first row in the middle. Other numbers are below one, integers are one (an index of any
    table, a mask that hides nothing), texts those of `texts` or "a"; or all is zero and empty.
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
    """Make made-up values such as the graph allows: 0 is in every index range."""
    for part, (lowest, highest) in _limits(tensor, "index_range", "column_index_ranges"):
        values = array[part]
        values[(values < lowest) | (values > highest)] = 0
    for part, categories in _limits(tensor, "categories", "column_categories"):
        array[part] = categories[0]


def _limits(tensor: Tensor, whole: str, by_column: str) -> Iterator[tuple[Any, Any]]:
    """Yield each limit of an input, with the index of that part of its array."""
    columns = (((..., i), limit) for i, limit in enumerate(tensor.get(by_column, ())))
    for part, limit in ((..., tensor.get(whole)), *columns):
        if limit:
            yield part, limit


def find_texts(samples: Samples, categories: Collection[str]) -> dict[str, list[str]]:
    """Return a text for each column of text: the most frequent one that is nobody's own.

    It is one that LEAST_ROWS rows share, or one of the model's `categories`; if there is none, "a".
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
    """Write numbers from the features' histograms, or ranges, into the columns of a table."""
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
    """Round a number to the fewest digits that leave it between two others."""
    rounded = (round(number, digits) for digits in range(17))
    return next((one for one in rounded if low <= one <= high), number)


def count_elements(inputs: Sequence[Tensor], length: int) -> int:
    """Return how many elements `make_up` would make."""
    shapes = [_made_up_shape(tensor, length) for tensor in inputs if not tensor.get("optional")]
    return sum(map(math.prod, shapes))


def _made_up_shape(tensor: Tensor, length: int) -> tuple[int, ...]:
    return MADE_UP_ROWS, *(length if n == DYNAMIC else n for n in row_shape(tensor))


def kind_of(tensor: Tensor) -> str:
    """Tell numbers with a fraction (f), integers (i), booleans (b) and text (O) apart."""
    datatype = tensor["datatype"]
    return {"BOOL": "b", "BYTES": "O"}.get(datatype, "f" if "F" in datatype else "i")


def has_rows(tensor: Tensor) -> bool:
    """Tell whether the first dimension counts rows: any number, or always one."""
    return tensor["shape"][:1] in ([DYNAMIC], [1])


def row_shape(tensor: Tensor) -> list[int]:
    """Return the shape of one row, or of the whole where there are no rows."""
    shape: list[int] = tensor["shape"]
    return shape[1:] if has_rows(tensor) else shape
