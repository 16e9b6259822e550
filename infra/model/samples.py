"""Samples of a model's inputs: an array of rows for each, real or made up."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import helper

from infra.model.graph import DATATYPES, DYNAMIC, Tensor

type Array = npt.NDArray[Any]

DTYPES = {name: np.dtype(helper.tensor_dtype_to_np_dtype(kind)) for kind, name in DATATYPES.items()}
MADE_UP_ROWS = 8


@dataclass(frozen=True)
class Samples:
    """`arrays[name][i]` is row i of an input, or all of it in request i of a model without batches.

    `columns` names the columns of the inputs that were read from columns. `target` is the known
    outcome of each row, as the file has it; empty if none was asked for.
    """

    inputs: Sequence[Tensor]
    arrays: Mapping[str, Array]
    columns: Mapping[str, Sequence[str]] = field(default_factory=dict)
    target: Sequence[Any] = ()

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


def make_up(inputs: Sequence[Tensor], length: int, *, zeros: bool) -> Samples:
    """Make up rows for every input that must be there, the same ones at each call.

    `length` is that of the dimensions that have none. Numbers are below one, integers are one (an
    index of any table, a mask that hides nothing) and texts "a", or all is zero and empty.
    """
    random = np.random.default_rng(0)
    arrays = {}
    for tensor in inputs:
        if tensor.get("optional"):
            continue
        inner = [length if n == DYNAMIC else n for n in row_shape(tensor)]
        shape, dtype = (MADE_UP_ROWS, *inner), DTYPES[tensor["datatype"]]
        match kind_of(tensor):
            case "f" if not zeros:
                arrays[tensor["name"]] = random.random(shape).round(3).astype(dtype)
            case "O":
                arrays[tensor["name"]] = np.full(shape, "" if zeros else "a", dtype)
            case _:
                arrays[tensor["name"]] = np.full(shape, 0 if zeros else 1, dtype)
    for tensor in inputs:
        if tensor["name"] in arrays:
            _limit(arrays[tensor["name"]], tensor)
    return Samples(inputs, arrays)


def _limit(array: Array, tensor: Tensor) -> None:
    """Make made-up values such as the graph allows: 0 is in every index range."""
    for part, (_, highest) in _limits(tensor, "index_range", "column_index_ranges"):
        values = array[part]
        values[values > highest] = 0
    for part, categories in _limits(tensor, "categories", "column_categories"):
        array[part] = categories[0]


def _limits(tensor: Tensor, whole: str, by_column: str) -> Iterator[tuple[Any, Any]]:
    """Yield each limit of an input, with the index of that part of its array."""
    columns = (((..., i), limit) for i, limit in enumerate(tensor.get(by_column, ())))
    for part, limit in ((..., tensor.get(whole)), *columns):
        if limit:
            yield part, limit


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
