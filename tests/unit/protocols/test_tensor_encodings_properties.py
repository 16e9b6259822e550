"""tensor_encodings.py, for any value: it comes back from each form, or the form refuses it."""

import contextlib
import json
from typing import Any

import msgspec
import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from protocols.tensor_encodings import from_binary, from_json, to_binary, to_json
from serving.errors import RequestError
from serving.tensors import DATATYPES

NUMERIC = [d for d in DATATYPES.values() if d.dtype.kind in "biuf"]
SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)
# Surrogates are no characters: neither JSON nor ONNX can carry them.
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner),
    max_leaves=20,
)


@st.composite
def arrays(draw: st.DrawFn) -> tuple[str, Any]:
    datatype = draw(st.sampled_from(NUMERIC))
    elements = hnp.from_dtype(datatype.dtype, allow_nan=False, allow_infinity=False)
    return datatype.name, draw(hnp.arrays(datatype.dtype, draw(SHAPES), elements=elements))


@given(arrays())
def test_numbers_come_back_from_json_as_they_went(case: tuple[str, Any]) -> None:
    name, array = case
    flat = msgspec.Raw(msgspec.json.encode(to_json(array)))
    nested = msgspec.Raw(msgspec.json.encode(array.tolist() if array.ndim else [array.item()]))

    for form in (flat, nested):
        again = from_json(form, DATATYPES[name], array.shape)
        assert again.dtype == array.dtype
        np.testing.assert_array_equal(again, array)


@given(arrays())
def test_numbers_come_back_from_bytes_as_they_went(case: tuple[str, Any]) -> None:
    name, array = case

    again = from_binary(memoryview(to_binary(array)), DATATYPES[name], array.shape)

    assert again.dtype == array.dtype
    np.testing.assert_array_equal(again, array)


@given(st.lists(TEXT))
def test_strings_come_back_from_both_forms_as_they_went(strings: list[str]) -> None:
    array = np.array([*strings, ""], np.object_)[:-1]
    datatype = DATATYPES["BYTES"]

    text = msgspec.Raw(msgspec.json.encode(to_json(array)))
    assert from_json(text, datatype, [len(strings)]).tolist() == strings
    binary = memoryview(to_binary(array))
    assert from_binary(binary, datatype, [len(strings)]).tolist() == strings


@given(JSON, st.sampled_from(list(DATATYPES.values())), SHAPES)
def test_any_json_is_a_tensor_of_the_shape_or_refused(
    value: Any, datatype: Any, shape: tuple[int, ...]
) -> None:
    data = msgspec.Raw(json.dumps(value).encode())

    with contextlib.suppress(RequestError):
        array = from_json(data, datatype, shape)
        assert array.shape == shape
        assert array.dtype == datatype.dtype


@given(st.binary(), st.sampled_from(list(DATATYPES.values())), SHAPES)
def test_any_bytes_are_a_tensor_of_the_shape_or_refused(
    data: bytes, datatype: Any, shape: tuple[int, ...]
) -> None:
    with contextlib.suppress(RequestError):
        array = from_binary(memoryview(data), datatype, shape)
        assert array.shape == shape
        assert to_binary(array) == data
