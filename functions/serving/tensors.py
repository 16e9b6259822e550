"""Element types of tensors, and what can be asked of an array of any of them."""

from typing import Annotated, Any

import msgspec
import numpy as np

Array = np.ndarray[Any, Any]  # as numpy.typing.NDArray is, whose import takes a millisecond


class Datatype(msgspec.Struct, frozen=True):
    """One element type, as each party calls it."""

    name: str  # Open Inference Protocol
    onnx: str  # onnxruntime
    dtype: np.dtype[Any]
    json: Any  # the type of an element in JSON, in msgspec's terms; None: JSON cannot hold it


def _datatype(name: str, onnx: str, dtype: Any, json: Any = None) -> Datatype:
    dtype = np.dtype(dtype)
    if dtype.kind in "iu":
        bounds = np.iinfo(dtype)
        # msgspec's bounds end at int64; whoever makes the array catches what does not fit UINT64.
        largest = int(bounds.max) if name != "UINT64" else None
        json = Annotated[int, msgspec.Meta(ge=int(bounds.min), le=largest)]
    elif name in {"FP16", "FP32"}:  # a larger number would silently become infinity
        largest_float = float(np.finfo(dtype).max)
        json = Annotated[float, msgspec.Meta(ge=-largest_float, le=largest_float)]
    return Datatype(name, f"tensor({onnx})", dtype, json)


# The only table of element types. Names: Open Inference Protocol, "Tensor Data Types".
DATATYPES = {
    datatype.name: datatype
    for datatype in (
        _datatype("BOOL", "bool", np.bool_, bool),
        _datatype("UINT8", "uint8", np.uint8),
        _datatype("UINT16", "uint16", np.uint16),
        _datatype("UINT32", "uint32", np.uint32),
        _datatype("UINT64", "uint64", np.uint64),
        _datatype("INT8", "int8", np.int8),
        _datatype("INT16", "int16", np.int16),
        _datatype("INT32", "int32", np.int32),
        _datatype("INT64", "int64", np.int64),
        _datatype("FP16", "float16", np.float16),
        _datatype("BF16", "bfloat16", "V2"),  # numpy has no such type: two opaque bytes
        _datatype("FP32", "float", np.float32),
        _datatype("FP64", "double", np.float64, float),
        _datatype("BYTES", "string", np.object_, str),
    )
}

_BF16_EXPONENT = np.uint16(0x7F80)


def part(array: Array, column: int | None) -> Array:
    """Return a column of the last dimension, or all of the array."""
    return array if column is None else array[..., column]


def is_finite(array: Array) -> bool:
    """Return whether no element is NaN or infinity."""
    if array.dtype == DATATYPES["BF16"].dtype:
        exponents = array.view(np.uint16) & _BF16_EXPONENT
        return not (exponents == _BF16_EXPONENT).any()
    return array.dtype.kind != "f" or bool(np.isfinite(array).all())
