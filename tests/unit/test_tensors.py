"""tensors.py: the JSON form of tensors and its errors."""

import json
from typing import Any

import msgspec
import numpy as np
import pytest

from serving.errors import RequestError
from serving.tensors import DATATYPES, from_json, to_json

EXTREMES: dict[str, list[Any]] = {
    "BOOL": [True, False],
    "UINT8": [0, 255],
    "UINT16": [0, 65535],
    "UINT32": [0, 2**32 - 1],
    "UINT64": [0, 2**64 - 1],
    "INT8": [-128, 127],
    "INT16": [-32768, 32767],
    "INT32": [-(2**31), 2**31 - 1],
    "INT64": [-(2**63), 2**63 - 1],
    "FP16": [-65504.0, 0.5],
    "FP32": [-3.4028234663852886e38, 0.1],
    "FP64": [-1.7976931348623157e308, 0.1],
    "BYTES": ["", "gr\u00fcn \U0001f600"],
}


def encoded(value: Any) -> msgspec.Raw:
    return msgspec.Raw(json.dumps(value).encode())


def test_the_table_names_every_datatype_of_the_protocol_that_json_can_carry() -> None:
    assert set(DATATYPES) == set(EXTREMES)


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
