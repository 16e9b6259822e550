"""Element types, and the JSON and binary forms of tensors. Pure functions."""

import math
import re
import struct
import types
from collections.abc import Sequence
from itertools import chain
from typing import Annotated, Any

import msgspec
import numpy as np

from serving.errors import RequestError
from serving.strict_json import JsonText, count_values, decode

Array = np.ndarray[Any, Any]  # as numpy.typing.NDArray is, whose import takes a millisecond


class Datatype(msgspec.Struct, frozen=True):
    """One element type, as each party calls it."""

    name: str  # Open Inference Protocol
    onnx: str  # onnxruntime
    dtype: np.dtype[Any]
    json: Any  # what one element of the JSON form must be, in msgspec's terms; None: no such form


def _datatype(name: str, onnx: str, dtype: Any, json: Any = None) -> Datatype:
    dtype = np.dtype(dtype)
    if dtype.kind in "iu":
        bounds = np.iinfo(dtype)
        # msgspec's bounds end at int64; from_json catches what does not fit UINT64.
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
_LENGTH = struct.Struct("<I")
NESTED = re.compile(rb"\s*\[\s*\[")
# A text with so many elements more than its shape is read all the same, to say which list is long.
FEW = 1000


def from_json(data: JsonText, datatype: Datatype, shape: Sequence[int]) -> Array:
    """Read row-major JSON `data`, nested like `shape` or flat, as an array of `shape`.

    Source: Open Inference Protocol, "Tensor Data". Raises RequestError, whose message begins with
    the place in the data: `data[1][2]: ...`.
    """
    if datatype.json is None:
        raise RequestError(f"data: {datatype.name} has no JSON form")
    _refuse_excess(data, shape)
    nested = len(shape) > 1 and NESTED.match(data) is not None
    levels = shape if nested else [math.prod(shape)]
    lists = [decode(data, _lists_of(datatype.json, len(levels)), "data")]
    for level, length in enumerate(levels):
        if level:
            lists = list(chain.from_iterable(lists))
        if not {length}.issuperset(map(len, lists)):
            _raise_length(lists, levels[:level], length)
    items = chain.from_iterable(lists)
    try:
        return np.fromiter(items, datatype.dtype, math.prod(shape)).reshape(shape)
    except OverflowError:
        largest = np.iinfo(datatype.dtype).max
        index = next(i for i, x in enumerate(chain.from_iterable(lists)) if x > largest)
        place = _index(index, levels)
        raise RequestError(f"data{place}: Expected {datatype.name}, got a larger number") from None


def to_json(array: Array) -> list[Any]:
    """Write `array` as the flat row-major list that the protocol's JSON form takes."""
    if array.dtype == DATATYPES["BF16"].dtype:
        raise RequestError("BF16 has no JSON form")
    return array.ravel().tolist()


def from_binary(data: memoryview, datatype: Datatype, shape: Sequence[int]) -> Array:
    """Read little-endian row-major bytes as an array of `shape`; strings are UTF-8.

    Source: "Binary Tensor Data Extension" of the Open Inference Protocol. Raises RequestError
    unless `data` is exactly such a tensor.
    """
    count = math.prod(shape)
    if datatype.dtype.hasobject:
        strings = _split_strings(data, count)
        if len(strings) != count:
            raise RequestError(f"binary data: Expected {count} elements, got {len(strings)}")
        return np.array(strings, np.object_).reshape(shape)
    if len(data) != count * datatype.dtype.itemsize:
        raise RequestError(
            f"binary data: Expected {count * datatype.dtype.itemsize} bytes for {count} elements, "
            f"got {len(data)}"
        )
    array = np.frombuffer(data, datatype.dtype.newbyteorder("<"))
    if datatype.name == "BOOL" and array.view(np.uint8).max(initial=0) > 1:
        raise RequestError("binary data: Expected each BOOL to be a byte of 0 or 1")
    return np.require(array, datatype.dtype, "A").reshape(shape)


def to_binary(array: Array) -> bytes:
    """Write `array` as little-endian row-major bytes, each string with its length before it."""
    if array.dtype.hasobject:
        strings = [string.encode() for string in array.ravel()]
        return b"".join(part for text in strings for part in (_LENGTH.pack(len(text)), text))
    return array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()


def part(array: Array, column: int | None) -> Array:
    """Return a column of the last dimension, or all of the array."""
    return array if column is None else array[..., column]


def is_finite(array: Array) -> bool:
    """Tell whether no element is NaN or infinity."""
    if array.dtype == DATATYPES["BF16"].dtype:
        exponents = array.view(np.uint16) & _BF16_EXPONENT
        return not (exponents == _BF16_EXPONENT).any()
    return array.dtype.kind != "f" or bool(np.isfinite(array).all())


def _refuse_excess(data: JsonText, shape: Sequence[int]) -> None:
    """Raise RequestError for many more elements than `shape` has, before any of them is made."""
    if len(data) <= FEW:
        return
    most = math.prod(max(1, length) for length in shape) + FEW  # of empty lists, too
    if (found := count_values(data, most)) > most:
        raise RequestError(f"data: Expected {math.prod(shape)} elements, got {found}")


def _split_strings(data: memoryview, most: int) -> list[str]:
    strings: list[str] = []
    start = 0
    while start < len(data):
        if len(strings) == most:
            raise RequestError(f"binary data: Expected {most} elements, got more")
        begin = start + _LENGTH.size
        end = begin + _LENGTH.unpack_from(data, start)[0] if begin <= len(data) else begin
        if end > len(data):
            raise RequestError(f"binary data: element {len(strings)} ends beyond the tensor's data")
        try:
            strings.append(str(data[begin:end], "utf-8"))
        except UnicodeDecodeError:
            raise RequestError(f"binary data: element {len(strings)} is not UTF-8") from None
        start = end
    return strings


def _lists_of(form: Any, depth: int) -> Any:
    for _ in range(depth):
        form = types.GenericAlias(list, (form,))
    return form


def _raise_length(items: list[list[Any]], outer: Sequence[int], expected: int) -> None:
    index, item = next((i, item) for i, item in enumerate(items) if len(item) != expected)
    place = _index(index, outer)
    raise RequestError(f"data{place}: Expected {expected} elements, got {len(item)}")


def _index(flat: int, shape: Sequence[int]) -> str:
    return "".join(f"[{i}]" for i in np.unravel_index(flat, shape)) if shape else ""
