"""tensor_encodings.py: the JSON and binary forms of tensors and their errors."""

import json
from typing import Any

import msgspec
import numpy as np
import pytest

from protocols.tensor_encodings import from_binary, from_json, to_binary, to_json
from serving.errors import RequestError
from serving.tensors import DATATYPES, is_finite
from tests.extremes import EXTREMES


def encoded(value: Any) -> msgspec.Raw:
    return msgspec.Raw(json.dumps(value).encode())


def test_the_cases_below_are_every_datatype_that_json_can_carry() -> None:
    assert set(DATATYPES) == {*EXTREMES, "BF16"}


@pytest.mark.parametrize("name", EXTREMES)
def test_every_datatype_survives_the_way_through_json(name: str) -> None:
    # GIVEN the ends of the type's range
    datatype = DATATYPES[name]
    expected = np.array(EXTREMES[name], datatype.dtype)

    # WHEN they are read, written and read again
    array = from_json(encoded(EXTREMES[name]), datatype, [2])
    again = from_json(encoded(to_json(array)), datatype, [2])

    # THEN nothing is lost
    assert array.dtype == again.dtype == datatype.dtype
    assert array.tolist() == again.tolist() == expected.tolist()


@pytest.mark.parametrize("data", [[1, 2, 3, 4, 5, 6], [[1, 2, 3], [4, 5, 6]]])
def test_flat_and_nested_data_are_the_same_tensor(data: list[Any]) -> None:
    array = from_json(encoded(data), DATATYPES["FP32"], [2, 3])

    assert array.tolist() == [[1, 2, 3], [4, 5, 6]]


@pytest.mark.parametrize(
    ("data", "shape"),
    [([7], []), ([], [0]), ([], [0, 4]), ([[], []], [2, 0]), ([[[1], [2]]], [1, 2, 1])],
)
def test_scalars_and_empty_dimensions_keep_their_shape(data: list[Any], shape: list[int]) -> None:
    assert from_json(encoded(data), DATATYPES["INT64"], shape).shape == tuple(shape)


@pytest.mark.parametrize(
    ("datatype", "shape", "data", "message"),
    [
        ("FP32", [3], [1, 2], "data: Expected 3 elements, got 2"),
        ("FP32", [2, 2], [[1, 2], [3]], "data[1]: Expected 2 elements, got 1"),
        ("FP32", [2, 2, 1], [[[1], [2]], [[3], [4, 5]]], "data[1][1]: Expected 1 elements, got 2"),
        ("FP32", [2, 2], [[1, 2], [3, "4"]], "data[1][1]: Expected `float`, got `str`"),
        ("FP32", [2, 2], [[1, 2], 3], "data[1]: Expected `array`, got `int`"),
        ("FP32", [2], [1, True], "data[1]: Expected `float`, got `bool`"),
        ("FP32", [2], [1, None], "data[1]: Expected `float`, got `null`"),
        ("FP32", [1], [1e39], "data[0]: Expected `float` <= 3.4028234663852886e+38"),
        ("FP16", [1], [-70000], "data[0]: Expected `float` >= -65504.0"),
        ("INT8", [2], [1, 128], "data[1]: Expected `int` <= 127"),
        ("INT8", [1], [1.5], "data[0]: Expected `int`, got `float`"),
        ("UINT64", [1], [-1], "data[0]: Expected `int` >= 0"),
        ("UINT64", [1, 2], [[0, 2**64]], "data[0][1]: Expected UINT64, got a larger number"),
        ("BOOL", [1], [1], "data[0]: Expected `bool`, got `int`"),
        ("BYTES", [1], [1], "data[0]: Expected `str`, got `int`"),
        ("INT32", [], 7, "data: Expected `array`, got `int`"),
    ],
)
def test_wrong_data_is_refused_with_its_place(
    datatype: str, shape: list[int], data: Any, message: str
) -> None:
    with pytest.raises(RequestError) as refused:
        from_json(encoded(data), DATATYPES[datatype], shape)

    assert str(refused.value) == message


@pytest.mark.parametrize("name", EXTREMES)
def test_every_datatype_survives_the_way_through_bytes(name: str) -> None:
    datatype = DATATYPES[name]
    expected = np.array(EXTREMES[name], datatype.dtype)

    binary = to_binary(expected)
    array = from_binary(memoryview(binary), datatype, [2, 1])

    assert array.dtype == datatype.dtype
    assert array.tolist() == [[value] for value in expected.tolist()]
    assert to_binary(array) == binary


@pytest.mark.parametrize(
    ("name", "value", "binary"),
    [
        ("BOOL", [True, False], b"\x01\x00"),
        ("UINT16", [258], b"\x02\x01"),
        ("INT32", [-2], b"\xfe\xff\xff\xff"),
        ("FP16", [1.0], b"\x00\x3c"),
        ("FP32", [1.0], b"\x00\x00\x80\x3f"),
        ("FP64", [-2.0], b"\x00\x00\x00\x00\x00\x00\x00\xc0"),
        ("BYTES", ["a", "", "\u00e9"], b"\x01\0\0\0a\0\0\0\0\x02\0\0\0\xc3\xa9"),
    ],
)
def test_bytes_are_little_endian_and_strings_have_their_length_before_them(
    name: str, value: list[Any], binary: bytes
) -> None:
    assert to_binary(np.array(value, DATATYPES[name].dtype)) == binary


def test_bfloat16_travels_as_bytes_alone() -> None:
    # GIVEN 1.0 and -2.0, whose upper halves of float32 are 0x3f80 and 0xc000
    datatype = DATATYPES["BF16"]
    binary = b"\x80\x3f\x00\xc0"

    array = from_binary(memoryview(binary), datatype, [2])

    assert to_binary(array) == binary
    with pytest.raises(RequestError, match="BF16 has no JSON form"):
        from_json(encoded([1.0, -2.0]), datatype, [2])
    with pytest.raises(RequestError, match="BF16 has no JSON form"):
        to_json(array)


def test_a_tensor_need_not_begin_at_an_address_that_suits_its_type() -> None:
    data = memoryview(b"{" + np.array([1.5, 2.5]).tobytes())[1:]

    array = from_binary(data, DATATYPES["FP64"], [2])

    assert array.flags.aligned
    assert array.tolist() == [1.5, 2.5]


@pytest.mark.parametrize(
    ("name", "shape", "binary", "message"),
    [
        ("FP32", [2], b"1234", "Expected 8 bytes for 2 elements, got 4"),
        ("FP32", [0], b"1", "Expected 0 bytes for 0 elements, got 1"),
        ("BOOL", [2], b"\x00\x02", "Expected each BOOL to be a byte of 0 or 1"),
        ("BYTES", [1], b"", "Expected 1 elements, got 0"),
        ("BYTES", [1], b"\x01\0\0", "element 0 ends beyond the tensor's data"),
        ("BYTES", [2], b"\0\0\0\0\xff\xff\xff\xffa", "element 1 ends beyond the tensor's data"),
        ("BYTES", [1], b"\x01\0\0\0\xff", "element 0 is not UTF-8"),
        ("BYTES", [1], bytes(8), "Expected 1 elements, got more"),
    ],
)
def test_wrong_bytes_are_refused(name: str, shape: list[int], binary: bytes, message: str) -> None:
    with pytest.raises(RequestError) as refused:
        from_binary(memoryview(binary), DATATYPES[name], shape)

    assert str(refused.value) == f"binary data: {message}"


@pytest.mark.parametrize(
    ("name", "binary", "finite"),
    [
        ("BF16", b"\x80\x3f\x7f\x7f", True),
        ("BF16", b"\x80\x3f\x80\x7f", False),
        ("BF16", b"\xc1\x7f", False),
        ("FP16", b"\x00\x7c", False),
        ("FP32", b"\x00\x00\xc0\x7f", False),
        ("FP64", b"\x00\x00\x00\x00\x00\x00\xf0\xff", False),
        ("INT32", b"\xff\xff\xff\xff", True),
    ],
)
def test_tells_nan_and_infinity_in_every_floating_type(
    name: str, binary: bytes, finite: bool
) -> None:
    datatype = DATATYPES[name]
    array = from_binary(memoryview(binary), datatype, [len(binary) // datatype.dtype.itemsize])

    assert is_finite(array) is finite
