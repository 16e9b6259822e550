"""Values of a sample file, checked and converted to the datatype of their tensor."""

import contextlib
import math
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from infra.model.errors import ModelError
from infra.model.tensor import DTYPES, DYNAMIC, Array, Tensor, has_rows, kind_of, row_shape

# Python types and numpy kinds that each kind of tensor accepts.
TYPES = {"f": (float, int), "i": (int,), "b": (bool,), "O": (str,)}
KINDS = {"f": "fiu", "i": "iu", "b": "b", "O": "U"}
LARGEST = {"FP16": 65504.0, "BF16": 3.38e38, "FP32": 3.4028234e38, "FP64": sys.float_info.max}
RANGES: dict[str, tuple[float, float]] = {
    **{name: (-largest, largest) for name, largest in LARGEST.items()},
    **{
        name: (np.iinfo(dtype).min, np.iinfo(dtype).max)
        for name, dtype in DTYPES.items()
        if dtype.kind in "iu"
    },
}
BOOLEANS = {"true": True, "1": True, "false": False, "0": False}


class Cell(str):
    """The text of a CSV cell: the input that takes it decides what it means."""

    __slots__ = ()


def read_array(array: Array, tensor: Tensor, place: str) -> Array:
    """Convert an array of an NPZ file into rows of an input.

    An input without rows takes a single array of its own shape as well. Raises ModelError, which
    begins with `place`.
    """
    datatype, kind = tensor["datatype"], kind_of(tensor)
    if array.dtype.kind not in KINDS[kind]:
        raise ModelError(f"{place}: expected {datatype}, got {array.dtype}")
    if datatype in RANGES:
        lowest, highest = RANGES[datatype]
        if not ((array >= lowest) & (array <= highest)).all():
            raise ModelError(f"{place}: expected {datatype}, got NaN or a number out of its range")
    if not has_rows(tensor) and array.ndim == len(tensor["shape"]):
        array = array[np.newaxis]
    _check_shape(array, [DYNAMIC, *row_shape(tensor)], place)
    return array.astype(DTYPES[datatype])


def read_value(value: Any, tensor: Tensor, place: str) -> Any:
    """Check a value, or nested lists of values, against the tensor's datatype; parse a CSV cell.

    Raises ModelError, which begins with `place` and does not repeat the value.
    """
    if isinstance(value, list):
        return [read_value(item, tensor, f"{place}[{i}]") for i, item in enumerate(value)]
    datatype, kind = tensor["datatype"], kind_of(tensor)
    if isinstance(value, Cell):
        value = parse_cell(str(value), kind)
    lowest, highest = RANGES.get(datatype, (value, value))
    if type(value) not in TYPES[kind] or not lowest <= value <= highest:
        raise ModelError(f"{place}: expected {datatype}, got {_describe(value, kind)}")
    return value


def _describe(value: Any, kind: str) -> str:
    """Return what is wrong with a value, without repeating it: it is somebody's data."""
    match value:
        case None:
            return "null"
        case "":
            return "an empty cell"
        case bool() | str() | dict():
            return {bool: "a boolean", dict: "an object"}.get(type(value), "text")
        case float() if math.isnan(value):
            return "NaN"
        case float() if kind == "i":
            return "a number with a fraction"
    return "a number" if kind in "bO" else "a number out of its range"


def read_row(value: Any, tensor: Tensor, shape: Sequence[int], place: str) -> Array:
    """Convert nested lists into one row of an input; raise ModelError if the shape is wrong."""
    try:
        row = np.array(value, DTYPES[tensor["datatype"]])
    except ValueError:
        raise ModelError(f"{place}: the lists in it have different lengths") from None
    if row.ndim == 0 and math.prod(shape) == 1:  # a row of one value needs no brackets
        return row.reshape(shape)
    _check_shape(row, shape, place)
    return row


def _check_shape(array: Array, shape: Sequence[int], place: str) -> None:
    fits = array.ndim == len(shape) and all(
        expected in {DYNAMIC, length} for expected, length in zip(shape, array.shape, strict=True)
    )
    if not fits:
        raise ModelError(f"{place}: expected shape {list(shape)}, got {list(array.shape)}")


def parse_cell(text: str, kind: str) -> Any:
    """Parse a cell as a value of a kind; return the text itself if it is not one."""
    if kind == "b":
        return BOOLEANS.get(text.lower(), text)
    if kind == "O" or "_" in text:
        return text
    for read in (int, float) if kind == "i" else (float,):
        with contextlib.suppress(ValueError):
            return read(text)
    return text
