"""Samples: rows of a model's inputs, real or made up."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from infra.model.tensor import DYNAMIC, Array, Tensor, has_rows

LEAST_ROWS = 10  # that share a value, so that it identifies nobody


@dataclass(frozen=True)
class Samples:
    """Rows of a model's inputs: `arrays[name][i]` is row i of an input.

    If the model takes no batches, a row is the whole input of a request: for an input of shape
    [3, 2], `arrays[name]` has the shape [rows, 3, 2]. `columns` names the columns of inputs that
    were read from columns. `target` is the known outcome of each row, as the file has it; it is
    empty if none was asked for. `notes` say what a person should check.
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
        """Whether a request can bring any number of rows."""
        shapes = [tensor["shape"] for tensor in self.inputs if tensor["name"] in self.arrays]
        return bool(shapes) and all(shape[:1] == [DYNAMIC] for shape in shapes)

    @property
    def row_elements(self) -> int:
        """How many elements one row has in all inputs together."""
        return sum(array[:1].size for array in self.arrays.values())

    def request(self, rows: Sequence[int]) -> dict[str, Array]:
        """Return rows as the inputs of a request: only the first if the model takes no batches."""
        return {
            name: self.arrays[name][list(rows)]
            if has_rows(tensor)
            else self.arrays[name][rows[0], ...]
            for tensor in self.inputs
            if (name := tensor["name"]) in self.arrays
        }
