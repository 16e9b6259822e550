"""Tensors as JSON and as bytes, to arrays and back. Pure functions."""

import math
import re
import struct
from collections.abc import Sequence
from itertools import chain
from types import GenericAlias
from typing import Any

import numpy as np

from protocols.strict_json import JsonText, count_values, decode
from serving.errors import RequestError
from serving.tensors import DATATYPES, Array, Datatype

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
        form = GenericAlias(list, (form,))
    return form


def _raise_length(items: list[list[Any]], outer: Sequence[int], expected: int) -> None:
    index, item = next((i, item) for i, item in enumerate(items) if len(item) != expected)
    place = _index(index, outer)
    raise RequestError(f"data{place}: Expected {expected} elements, got {len(item)}")


def _index(flat: int, shape: Sequence[int]) -> str:
    return "".join(f"[{i}]" for i in np.unravel_index(flat, shape)) if shape else ""
