"""Counting a text's structure: what is valid is never taken for too much, in any form."""

import csv
import io
import json
from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from protocols import strict_json, structure, table
from protocols.strict_json import count, count_all, count_values
from protocols.table import Split
from protocols.tensor_encodings import FEW, from_json
from serving.errors import LimitError, RequestError
from serving.manifest import Feature, Limits, Manifest, Tensor
from serving.model import Model
from serving.tensors import DATATYPES

# Strings that look like the structure of JSON and CSV, and others.
TEXT = st.text(st.sampled_from('",:[]{}\\/\n\r\t\0 a\u00e9\N{GRINNING FACE}'), max_size=6)
NAME = st.text(st.sampled_from(",:[]{}'\u00e9a "), min_size=1, max_size=4)
LAYOUT = st.fixed_dictionaries(
    {
        "indent": st.sampled_from([None, 0, 3, "\t\n"]),
        "separators": st.sampled_from([None, (",", ":"), (" , ", " :\n")]),
        "ensure_ascii": st.booleans(),
    }
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner),
    max_leaves=30,
)


@pytest.fixture(autouse=True)
def _nothing_to_spare() -> Iterator[None]:
    """Make every limit exact, and every text longer than a block."""
    with (
        patch.object(structure, "_BLOCK", 3),
        patch.multiple(strict_json, _BLOCK=3, _SHORT=1),
        patch("protocols.tensor_encodings.FEW", 0),
        patch.object(table, "FEW", 0),
    ):
        yield


def dump(value: Any, layout: dict[str, Any]) -> bytes:
    return json.dumps(value, **layout).encode()


def walk(value: Any) -> Iterator[Any]:
    yield value
    inner = value.values() if isinstance(value, dict) else value
    if isinstance(value, dict | list):
        for item in inner:
            yield from walk(item)


@given(JSON, LAYOUT)
def test_what_is_inside_strings_does_not_count(value: Any, layout: dict[str, Any]) -> None:
    text = dump(value, layout)
    lists = [len(one) for one in walk(value) if isinstance(one, list)]
    objects = [len(one) for one in walk(value) if isinstance(one, dict)]
    commas = sum(max(0, length - 1) for length in lists + objects)
    marks = {b"[": len(lists), b"{": len(objects), b":": sum(objects), b",": commas}

    for mark, expected in marks.items():
        assert count(text, mark, -1) == expected
        assert count(Raw(text), mark, expected) == expected or count_all(text, mark) <= expected
        assert count_all(text, mark) == text.count(mark)
    assert count_values(text, 0) == commas + 1


@pytest.mark.parametrize("before", range(4))
@pytest.mark.parametrize("escape", [r"\"", r"\\", r"\\\"", r"\\\\", r"\u0022", r"\n"])
def test_an_escape_may_stand_where_a_block_ends(before: int, escape: str) -> None:
    text = f'["{"a" * before}{escape},", "," , 1]'.encode()
    assert isinstance(json.loads(text), list)

    assert count(text, b",", 0) == 2


@st.composite
def strings(draw: st.DrawFn) -> tuple[Any, bytes]:
    shape = draw(st.lists(st.integers(0, 3), min_size=1, max_size=3))
    size = int(np.prod(shape))
    items = draw(st.lists(TEXT, min_size=size, max_size=size))
    array = np.array([*items, ""], np.object_)[:-1].reshape(shape)
    data = array.tolist() if draw(st.booleans()) else items
    return array, dump(data, draw(LAYOUT))


@given(strings())
def test_strings_of_any_kind_are_as_many_as_the_shape_says(case: tuple[Any, bytes]) -> None:
    array, text = case

    again = from_json(Raw(text), DATATYPES["BYTES"], array.shape)

    np.testing.assert_array_equal(again, array)


def model_of(columns: list[str], rows: int) -> Model:
    """Make a model of text in columns, whose limits the rows just reach; it is only read for."""
    features = [Feature(column) for column in columns]
    tensor = Tensor("whole", "BYTES", [-1, len(columns)], features=features)
    most = max(1, rows)
    limits = Limits(rows=most, elements=most * len(columns))
    digests = {"model.onnx": "0" * 64}
    return Model(Manifest(1, "m", "1", digests, [tensor], [tensor], limits=limits), None)


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[str], list[list[str]]]:
    columns = draw(st.lists(NAME, min_size=1, max_size=3, unique=True))
    cells = st.lists(TEXT, min_size=len(columns), max_size=len(columns))
    return columns, draw(st.lists(cells, max_size=4))


@given(tables(), LAYOUT)
def test_a_table_that_just_reaches_the_limits_is_read_in_every_form(
    given_table: tuple[list[str], list[list[str]]], layout: dict[str, Any]
) -> None:
    columns, rows = given_table
    model = model_of(columns, len(rows))
    records = [dict(zip(columns, row, strict=True)) for row in rows]
    by_column = {name: [row[name] for row in records] for name in columns}

    def write(value: Any) -> Raw:
        return Raw(dump(value, layout))

    read = [
        {"whole": table.read_tensor(model, "whole", write(rows))},
        table.read_records(model, write(records), "records"),
        table.read_records(model, write([{"whole": row} for row in rows]), "records"),
        table.read_named(model, write({"whole": rows}), "inputs"),
        table.read_named(model, write(by_column), "inputs"),
        table.read_split(model, Split(write(columns), write(rows)), "split"),
        table.read_split(model, Split(write(["whole"]), write([[row] for row in rows])), "split"),
    ]

    for arrays in read:
        assert arrays["whole"].tolist() == rows


@given(
    tables(),
    st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_STRINGS]),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.booleans(),
)
def test_a_csv_that_just_reaches_the_limits_is_read(
    given_table: tuple[list[str], list[list[str]]], quoting: Any, end: str, is_last: bool
) -> None:
    columns, rows = given_table
    text = io.StringIO(newline="")
    csv.writer(text, quoting=quoting, lineterminator=end).writerows([columns, *rows])
    body = text.getvalue() if is_last else text.getvalue().removesuffix(end)

    arrays = table.read_csv(model_of(columns, len(rows)), body.encode())

    assert arrays["whole"].tolist() == rows


CELLS = st.lists(st.lists(TEXT.filter(lambda text: "\0" not in text), min_size=1, max_size=4))


@given(CELLS, st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]), st.integers(1, 5))
def test_lines_of_a_csv_are_cut_in_a_row_that_is_too_long_and_nowhere_before(
    rows: list[list[str]], quoting: Any, most_cells: int
) -> None:
    text = io.StringIO(newline="")
    csv.writer(text, quoting=quoting).writerows(rows)
    text.seek(0)

    read = csv.reader(table._cut_rows(text, most_cells), strict=True)  # noqa: SLF001

    for whole in rows:
        row = next(read)
        if len(whole) > most_cells:
            assert most_cells < len(row) <= most_cells + 2
            return
        assert row == whole


@pytest.mark.parametrize(
    "read",
    [
        lambda model: table.read_tensor(model, "whole", b"[%b]" % b",".join([b'["a"]'] * 3)),
        lambda model: table.read_records(model, b'[{"a": "1"}, {"a": "2"}, {"a": "3"}]', ""),
        lambda model: table.read_named(model, b'{"a": ["1", "2", "3"]}', ""),
        lambda model: table.read_split(
            model, Split(Raw(b'["a"]'), Raw(b'[["1"], ["2"], ["3"]]')), ""
        ),
        lambda model: table.read_csv(model, b"a\n1\n2\n3"),
    ],
)
def test_one_row_too_many_is_refused_before_it_is_read(read: Any) -> None:
    with pytest.raises(LimitError, match="at most 2 rows a request"):
        read(model_of(["a"], 2))


@pytest.mark.parametrize("name", [name for name in DATATYPES if name != "BF16"])
def test_many_elements_too_many_are_refused_before_they_are_read(name: str) -> None:
    for data in (
        b"[" + b"[]," * 9 + b"[]]",
        b"[" + b"1," * 9 + b"1]",
        b'["",' + b"{}," * 8 + b"1]",
    ):
        with pytest.raises(RequestError, match="Expected 3 elements, got 10"):
            from_json(data, DATATYPES[name], [3])


def test_a_few_too_many_are_read_to_say_where() -> None:
    data = json.dumps([[1.0, 2.0]] * 999 + [[1.0, 2.0, 3.0]]).encode()

    with patch("protocols.tensor_encodings.FEW", FEW), pytest.raises(RequestError) as refused:
        from_json(data, DATATYPES["FP32"], [1000, 2])

    assert str(refused.value) == "data[999]: Expected 2 elements, got 3"
