"""What a caller did that explains why a model failed. Imported only once one has.

As long as a model answers, no difference between its inputs is a mistake: it is broadcasting, say.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np

from serving.manifest import DYNAMIC, Manifest, Tensor
from serving.tensors import Array, is_finite, part

ROWS = "the number of rows"

type Tensors = Mapping[str, Tensor]  # the contract of each input, by name
type Shapes = Mapping[str, Sequence[int]]


class Length(NamedTuple):
    """How long the dimension `place` of an input is."""

    name: str
    place: int
    length: int

    def __str__(self) -> str:
        return f"{self.length} in shape[{self.place}] of input '{self.name}'"


class Disagreement(NamedTuple):
    """Two lengths that should be the same one."""

    what: str
    one: Length
    other: Length

    def __str__(self) -> str:
        return f"{self.what} is {self.one} and {self.other}"

    @property
    def kind(self) -> tuple[object, ...]:
        """What a golden sample, too, may disagree in; a length of 1 may stand for any other."""
        one, other = self.one, self.other
        return one[:2], other[:2], one.length == 1, other.length == 1


def find_mistake(manifest: Manifest, inputs: Mapping[str, Array]) -> str | None:
    """Say what is wrong with inputs that fit their shapes and datatypes, if anything is."""
    tensors = {tensor.name: tensor for tensor in manifest.inputs}
    shapes = {name: array.shape for name, array in inputs.items()}
    rows = [shape[0] for name, shape in shapes.items() if tensors[name].shape[:1] == [DYNAMIC]]
    if rows and not any(rows):
        return "the request has no rows"
    for name, array in inputs.items():
        for find in (_find_nan_index, _find_other, _find_negative):
            if unknown := find(tensors[name], array):
                return unknown
    if length := _find_length(tensors, shapes):
        return length
    disagreement = _find_disagreement(manifest, tensors, shapes)
    return str(disagreement) if disagreement else None


def _find_negative(tensor: Tensor, array: Array) -> str | None:
    """No tensor has a size below zero."""
    negative = tensor.sizes and bool((array < 0).any())
    return f"input '{tensor.name}' has a negative size" if negative else None


def _find_nan_index(tensor: Tensor, array: Array) -> str | None:
    """Which integer NaN becomes depends on the processor: Arm makes 0, which is an index."""
    parts = (part(array, column) for column, _ in tensor.index_ranges())
    return None if all(map(is_finite, parts)) else f"input '{tensor.name}' has NaN for an index"


def _find_other(tensor: Tensor, array: Array) -> str | None:
    """Name an element that is none of the categories which the model knows."""
    for column, categories in tensor.known_categories():
        values, known = part(array, column), set(categories)
        if values.dtype.kind == "f":
            values = np.trunc(values)
        flat = next((i for i, value in enumerate(values.flat) if value not in known), None)
        if flat is not None:
            place = tensor.place(map(int, np.unravel_index(flat, values.shape)), column)
            return f"{place}: Expected one of {len(known)} categories"
    return None


def _find_length(tensors: Tensors, shapes: Shapes) -> str | None:
    """Name a dynamic dimension that is empty, or as long as none with which the model answered."""
    for name, shape in shapes.items():
        tensor = tensors[name]
        answered = tensor.answered_lengths or [None] * len(shape)
        for place, (length, lengths) in enumerate(zip(shape, answered, strict=True)):
            least, most = lengths or (1, None)
            if tensor.shape[place] == DYNAMIC and length < least:
                return f"expected at least {least}, got {Length(name, place, length)}"
            if most is not None and length > most:
                return f"expected at most {most}, got {Length(name, place, length)}"
    return None


def _find_disagreement(manifest: Manifest, tensors: Tensors, shapes: Shapes) -> Disagreement | None:
    """Find the disagreement that most likely made the model fail.

    None of a kind that a golden sample has, which was answered: the rows of the nodes and of the
    edges of a network, say.
    """
    legal = {
        known.kind
        for golden in manifest.golden
        for known in _compare(
            tensors, {name: np.shape(data) for name, data in golden.inputs.items()}
        )
    }
    found = (one for one in _compare(tensors, shapes) if one.kind not in legal)
    return min(found, key=lambda one: 1 in {one.one.length, one.other.length}, default=None)


def _compare(tensors: Tensors, shapes: Shapes) -> Iterator[Disagreement]:
    """Compare dimensions that the graph gives one name, and dynamic first ones: the rows."""
    same: dict[str, list[Length]] = {}
    for name, shape in shapes.items():
        lengths = [Length(name, place, length) for place, length in enumerate(shape)]
        for dimension, length in zip(tensors[name].dimensions, lengths, strict=False):
            if dimension:
                same.setdefault(f"dimension '{dimension}'", []).append(length)
        if tensors[name].shape[:1] == [DYNAMIC]:
            same.setdefault(ROWS, []).extend(lengths[:1])
    for what, lengths in same.items():
        for one, other in combinations(lengths, 2):
            if one.length != other.length:
                yield Disagreement(what, one, other)
