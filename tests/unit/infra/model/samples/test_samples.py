"""Samples of a model's inputs: from a file, or made up."""

import inspect
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from infra.model.errors import ModelError
from infra.model.samples import file as sample_file
from infra.model.samples.made_up import find_texts, make_up
from infra.model.samples.samples import Samples

read_samples = inspect.unwrap(sample_file.read_samples)  # in this process, which is faster

TABLE = [{"name": "X", "datatype": "FP32", "shape": [-1, 2]}]
COLUMNS = [
    {"name": "age", "datatype": "INT64", "shape": [-1, 1]},
    {"name": "city", "datatype": "BYTES", "shape": [-1, 1]},
    {"name": "member", "datatype": "BOOL", "shape": [-1]},
]
IMAGE = [{"name": "image", "datatype": "UINT8", "shape": [1, 2, 2]}]
SCALARS: list[Any] = [
    {"name": "x", "datatype": "FP64", "shape": []},
    {"name": "matrix", "datatype": "FP32", "shape": [2, 2]},
]


def read(
    folder: Path, name: str, text: str, inputs: list[Any], features: list[str] | None = None
) -> Samples:
    (folder / name).write_text(text)
    samples: Samples = read_samples(folder / name, inputs, features or [])
    return samples


def lists(samples: Samples) -> dict[str, Any]:
    return {name: array.tolist() for name, array in samples.arrays.items()}


def test_columns_of_a_csv_become_the_columns_of_the_table(tmp_path: Path) -> None:
    samples = read(tmp_path, "s.csv", "a,b\n1,2\n\n3,4.5\n", TABLE)
    assert lists(samples) == {"X": [[1, 2], [3, 4.5]]}
    assert samples.columns == {"X": ["a", "b"]}
    assert samples.batched
    assert len(samples) == 2


def test_features_choose_and_order_the_columns(tmp_path: Path) -> None:
    text = "\ufeffid,b,a,bought\nx1,2,1,yes\n"
    samples = read(tmp_path, "s.csv", text, TABLE, ["a", "b"])
    assert lists(samples) == {"X": [[1, 2]]}


def test_columns_go_to_the_inputs_of_their_names(tmp_path: Path) -> None:
    # GIVEN a model with an input for each column, as a pipeline of scikit-learn has them
    text = 'city,age,member,extra\n"Graz, Ost",41,true,\n007,-1,0,\n'
    # WHEN its samples are read
    samples = read(tmp_path, "s.csv", text, COLUMNS)
    # THEN each cell is what its input takes
    assert lists(samples) == {
        "age": [[41], [-1]],
        "city": [["Graz, Ost"], ["007"]],
        "member": [True, False],
    }
    assert samples.request([1, 0])["age"].tolist() == [[-1], [41]]


def test_lines_of_json_hold_features_or_whole_rows(tmp_path: Path) -> None:
    by_feature = read(tmp_path, "a.jsonl", '{"b": 2, "a": 1}\n\n', TABLE, ["a", "b"])
    by_input = read(tmp_path, "b.jsonl", '{"X": [1, 2]}\n', TABLE)
    assert lists(by_feature) == lists(by_input) == {"X": [[1, 2]]}


def test_the_known_outcome_is_no_feature(tmp_path: Path) -> None:
    # GIVEN files whose rows have an outcome
    (tmp_path / "s.csv").write_text("a,bought,b\n1,yes,2\n")
    (tmp_path / "s.jsonl").write_text('{"X": [1, 2], "bought": true}\n')
    np.savez(tmp_path / "s.npz", X=np.array([[1, 2]], np.float32), bought=np.array([1]))
    # WHEN it is named as the target
    read = [
        read_samples(tmp_path / name, TABLE, target="bought")
        for name in ("s.csv", "s.jsonl", "s.npz")
    ]
    # THEN it comes with the rows, and is not among the features
    assert [samples.target for samples in read] == [["yes"], [True], [1]]
    assert [lists(samples) for samples in read] == [{"X": [[1, 2]]}] * 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n", "s.csv has no column 'bought' for --target; it has: a, b"),
        ("a,b,boght\n1,2,3\n", "s.csv has no column 'bought' for --target; it has: a, b, boght"),
        ("a,b,bought\n1,2,\n", "s.csv line 2, 'bought': expected the outcome of the row, got none"),
    ],
)
def test_a_row_without_its_outcome_is_refused(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text(text)
    with pytest.raises(ModelError, match=message):
        read_samples(tmp_path / "s.csv", TABLE, target="bought")


def test_an_array_of_outcomes_has_one_for_each_row(tmp_path: Path) -> None:
    np.savez(tmp_path / "s.npz", X=np.ones((2, 2), np.float32), y=np.array([1]))
    with pytest.raises(ModelError, match="'y' has 1 values, the inputs 2 rows"):
        read_samples(tmp_path / "s.npz", TABLE, target="y")
    with pytest.raises(ModelError, match="has no array 'bought' for --target; it has: X, y"):
        read_samples(tmp_path / "s.npz", TABLE, target="bought")


def test_an_optional_input_is_read_where_it_is_given(tmp_path: Path) -> None:
    inputs = [*TABLE, {"name": "k", "datatype": "FP32", "shape": [1], "optional": True}]
    without = read(tmp_path, "a.csv", "a,b\n1,2\n", inputs)
    with_it = read(tmp_path, "b.csv", "a,b,k\n1,2,3\n", inputs)
    assert lists(without) == {"X": [[1, 2]]}
    assert lists(with_it) == {"X": [[1, 2]], "k": [3]}


def test_arrays_of_an_npz_are_whole_inputs(tmp_path: Path) -> None:
    np.savez(tmp_path / "s.npz", X=np.array([[1, 2], [3, 4]], np.float64), y=np.array([0, 1]))
    samples = read_samples(tmp_path / "s.npz", TABLE, ["a", "b"])
    assert samples.arrays["X"].dtype == np.float32
    assert lists(samples) == {"X": [[1, 2], [3, 4]]}
    assert samples.columns == {"X": ["a", "b"]}


def test_a_model_without_batches_takes_one_row_a_request(tmp_path: Path) -> None:
    # GIVEN images for a model that takes one at a time
    np.savez(tmp_path / "s.npz", image=np.arange(12, dtype=np.uint8).reshape(3, 2, 2))
    # WHEN the last one is asked for
    samples = read_samples(tmp_path / "s.npz", IMAGE)
    # THEN it comes in the shape that the model takes
    assert not samples.batched
    assert samples.request([2])["image"].tolist() == [[[8, 9], [10, 11]]]


def test_inputs_without_rows_have_one_value_a_sample(tmp_path: Path) -> None:
    lines = [{"x": 1.5, "matrix": [[1, 2], [3, 4]]}, {"x": 2, "matrix": [[5, 6], [7, 8]]}]
    samples = read(tmp_path, "s.jsonl", "\n".join(map(json.dumps, lines)), SCALARS)
    request = samples.request([1])
    assert {name: array.tolist() for name, array in request.items()} == lines[1]
    np.savez(tmp_path / "s.npz", x=np.array(1.5), matrix=np.ones((2, 2)))
    assert read_samples(tmp_path / "s.npz", SCALARS).request([0])["x"].shape == ()


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("s.csv", "", "s.csv holds no rows"),
        ("s.csv", "a,b\n", "s.csv holds no rows"),
        ("s.csv", "a,b\n1,2\n1,2,3\n", "s.csv line 3: 3 cells, the header has 2"),
        ("s.csv", "a,a\n1,2\n", "s.csv: the header has the same column twice"),
        ("s.csv", "a,b\n1,2\n1,many\n", "s.csv line 3, 'b': expected FP32, got text"),
        ("s.csv", "a,b\n,2\n", "s.csv line 2, 'a': expected FP32, got an empty cell"),
        ("s.csv", "a,b\n1_0,2\n", "s.csv line 2, 'a': expected FP32, got text"),
        ("s.csv", "a,b\nnan,2\n", "s.csv line 2, 'a': expected FP32, got NaN"),
        (
            "s.csv",
            "a,b\n1,1e39\n",
            "s.csv line 2, 'b': expected FP32, got a number out of its range",
        ),
        (
            "s.csv",
            "a,b,c\n1,2,3\n",
            "s.csv: input 'X' takes 2 columns, got 3 (a, b, c): choose them with --features",
        ),
        ("s.jsonl", '{"a": 1, "b": 2}\n{"a": 1', "s.jsonl line 2 is not JSON"),
        ("s.jsonl", "[1, 2]\n", "s.jsonl line 1: expected an object with a value for each name"),
        ("s.jsonl", '{"a": 1, "b": 2}\n{"a": 1}', "s.jsonl line 2 has no 'b'; it has: a"),
        ("s.jsonl", '{"a": 1, "b": "2"}', "s.jsonl line 1, 'b': expected FP32, got text"),
        ("s.jsonl", '{"a": 1, "b": null}', "s.jsonl line 1, 'b': expected FP32, got null"),
        ("s.jsonl", '{"a": 1, "b": true}', "s.jsonl line 1, 'b': expected FP32, got a boolean"),
        ("s.jsonl", '{"X": [1, "2"]}', "s.jsonl line 1, 'X'[1]: expected FP32, got text"),
        ("s.jsonl", '{"X": [1, 2, 3]}', "s.jsonl line 1, 'X': expected shape [2], got [3]"),
        ("s.jsonl", '{"X": [[1], 2]}', "'X': the lists in it have different lengths"),
        (
            "s.jsonl",
            '{"X": [1e999, 2]}',
            "s.jsonl line 1, 'X'[0]: expected FP32, got a number out of its range",
        ),
        ("s.parquet", "", "s.parquet: samples are read from .csv, .jsonl and .npz files"),
        ("s.npz", "no zip", "s.npz is not an NPZ file of plain arrays"),
    ],
)
def test_wrong_samples_are_one_line_that_names_the_place(
    name: str, text: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(ModelError) as error:
        read(tmp_path, name, text, TABLE)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("inputs", "text", "message"),
    [
        (COLUMNS, "age,city\n1,Graz\n", "s.csv has no column 'member'; it has: age, city"),
        (
            COLUMNS,
            "age,city,member\n1.5,Graz,1\n",
            "line 2, 'age': expected INT64, got a number with a fraction",
        ),
        (COLUMNS, "age,city,member\n1,Graz,yes\n", "line 2, 'member': expected BOOL, got text"),
        (
            [{"name": "x", "datatype": "INT8", "shape": [-1]}],
            "x\n7\n128\n",
            "line 3, 'x': expected INT8, got a number out of its range",
        ),
        (SCALARS, "x\n1\n", "s.csv has no column 'matrix'; it has: x"),
        (IMAGE, "a,b\n1,2\n", "s.csv has no column 'image'"),
    ],
)
def test_wrong_columns_are_one_line_that_names_them(
    inputs: list[Any], text: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(ModelError) as error:
        read(tmp_path, "s.csv", text, inputs)
    assert message in str(error.value)


def test_an_unknown_feature_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        ModelError, match=r"^s\.csv has no column for the feature 'c'; it has: a, b$"
    ):
        read(tmp_path, "s.csv", "a,b\n1,2\n", TABLE, ["a", "c"])


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"y": np.zeros((1, 2))}, "s.npz has no array 'X'"),
        ({"X": np.zeros((1, 3))}, "s.npz: 'X': expected shape [-1, 2], got [1, 3]"),
        (
            {"X": np.zeros((0, 2))},
            "s.npz: expected the same number of rows for each input, got [0]",
        ),
        ({"X": np.array([["a", "b"]])}, "s.npz: 'X': expected FP32, got <U1"),
        ({"X": np.array([[1, None]])}, "s.npz is not an NPZ file of plain arrays"),
        ({"X": np.array([[np.inf, 1]])}, "s.npz: 'X': expected FP32, got NaN or a number out of"),
    ],
)
def test_wrong_arrays_are_one_line_that_names_them(
    arrays: dict[str, Any], message: str, tmp_path: Path
) -> None:
    np.savez(tmp_path / "s.npz", **arrays)
    with pytest.raises(ModelError) as error:
        read_samples(tmp_path / "s.npz", TABLE)
    assert message in str(error.value)


def test_integers_of_an_npz_must_fit(tmp_path: Path) -> None:
    inputs = [{"name": "x", "datatype": "INT8", "shape": [-1]}]
    np.savez(tmp_path / "s.npz", x=np.array([1, 300]))
    with pytest.raises(ModelError, match="'x': expected INT8, got NaN or a number out of its"):
        read_samples(tmp_path / "s.npz", inputs)


def test_rows_of_one_input_have_one_shape(tmp_path: Path) -> None:
    inputs = [{"name": "ids", "datatype": "INT64", "shape": [-1, -1]}]
    message = (
        r"s\.jsonl line 2, 'ids': shape \[1\], in the first row it is \[2\]: all rows must have"
    )
    with pytest.raises(ModelError, match=message):
        read(tmp_path, "s.jsonl", '{"ids": [1, 2]}\n{"ids": [3]}\n', inputs)


def test_a_missing_or_binary_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"absent\.csv cannot be read: No such file"):
        read_samples(tmp_path / "absent.csv", TABLE)
    (tmp_path / "s.csv").write_bytes(b"a,b\n\xff\xfe\n")
    with pytest.raises(ModelError, match=r"s\.csv is not UTF-8 text"):
        read_samples(tmp_path / "s.csv", TABLE)


def test_made_up_samples_fit_and_repeat() -> None:
    # GIVEN inputs of every kind, one of which may be absent
    inputs: list[Any] = [
        {"name": "x", "datatype": "BF16", "shape": [-1, 3]},
        {"name": "ids", "datatype": "INT64", "shape": [-1, -1]},
        {"name": "text", "datatype": "BYTES", "shape": [2]},
        {"name": "flag", "datatype": "BOOL", "shape": []},
        {"name": "k", "datatype": "FP32", "shape": [], "optional": True},
    ]
    # WHEN samples are made up twice
    one, two = (make_up(inputs, 5, zeros=False).request([3]) for _ in range(2))
    # THEN they are the same, fit, and leave out what may be absent
    assert {name: array.shape for name, array in one.items()} == {
        "x": (1, 3),
        "ids": (1, 5),
        "text": (2,),
        "flag": (),
    }
    assert all((one[name] == two[name]).all() for name in one)
    assert one["ids"].tolist() == [[1] * 5]
    assert make_up(inputs, 5, zeros=True).request([0])["x"].tolist() == [[0, 0, 0]]


KNOWN = [TABLE[0] | {"features": [{"name": "age"}, {"name": "mean_spend"}]}]


def test_columns_of_another_spelling_are_found_and_named(tmp_path: Path) -> None:
    # GIVEN a file whose columns are in another order, under other spellings, among others
    text = "id,Mean Spend,bought,Age\nx1,20.5,1,33\n"
    # WHEN it is read for a table whose features are known
    samples = read(tmp_path, "s.csv", text, KNOWN)
    # THEN each feature has its column, and what was guessed and left over is said
    assert lists(samples) == {"X": [[33, 20.5]]}
    assert samples.columns == {"X": ["age", "mean_spend"]}
    assert samples.notes == [
        "s.csv: columns read: Age, Mean Spend",
        "s.csv: column 'Age' is read as 'age'",
        "s.csv: column 'Mean Spend' is read as 'mean_spend'",
        "s.csv: columns not read: id, bought",
    ]


def test_inputs_of_another_spelling_are_found_and_named(tmp_path: Path) -> None:
    samples = read(tmp_path, "s.csv", "AGE,city,Member\n41,Graz,1\n", COLUMNS)
    assert lists(samples) == {"age": [[41]], "city": [["Graz"]], "member": [True]}
    assert samples.notes[1:] == [
        "s.csv: column 'AGE' is read as 'age'",
        "s.csv: column 'Member' is read as 'member'",
    ]
    np.savez(tmp_path / "s.npz", x=np.zeros((1, 2)), y=np.zeros(1))
    assert read_samples(tmp_path / "s.npz", TABLE).notes == [
        "s.npz: arrays read: x",
        "s.npz: array 'x' is read as 'X'",
        "s.npz: arrays not read: y",
    ]


def test_columns_without_known_names_are_named_in_their_order(tmp_path: Path) -> None:
    samples = read(tmp_path, "s.csv", "a,b\n1,2\n", TABLE)
    assert samples.notes == [
        "s.csv: columns read: a, b (input 'X' takes them in this order: check it)"
    ]
    wide = [{"name": "X", "datatype": "FP32", "shape": [-1, -1]}]
    header = ",".join(f"c{i}" for i in range(25))
    [note] = read(tmp_path, "s.csv", f"{header}\n{'1,' * 24}1\n", wide).notes
    assert "c19 and 5 more (input 'X'" in note


@pytest.mark.parametrize(
    ("text", "features", "message"),
    [
        (
            "aged,mean_spend\n1,2\n",
            [],
            "s.csv has no column for the feature 'age'; the nearest is 'aged'",
        ),
        (
            "age,spend\n1,2\n",
            [],
            "s.csv has no column for the feature 'mean_spend'; the nearest is 'spend'",
        ),
        ("age,x\n1,2\n", [], "s.csv has no column for the feature 'mean_spend'; it has: age, x"),
        ("Anna,Graz\n1,2\n", [], "s.csv has no column for the feature 'age'"),
        ("Age,AGE,mean_spend\n1,2,3\n", [], "Age, AGE could each be 'age': give one of them"),
        ("a,b,c\n1,2,3\n", ["a"], "input 'X' takes 2 columns, got 1 (a)"),
    ],
)
def test_a_missing_column_is_named_with_the_nearest(
    text: str, features: list[str], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ModelError) as error:
        read(tmp_path, "s.csv", text, KNOWN, features)
    assert str(error.value).startswith(message) or str(error.value).endswith(message)


@pytest.mark.parametrize("first", ["33,20.5", "33,Graz", "x1,-1.5e3"])
def test_a_file_without_a_header_is_refused_and_not_repeated(first: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError) as error:
        read(tmp_path, "s.csv", f"{first}\n1,2\n", TABLE)
    assert str(error.value).startswith("s.csv has no header: column ")
    assert not any(cell in str(error.value) for cell in first.split(","))


def test_columns_that_pandas_numbered_are_a_header(tmp_path: Path) -> None:
    assert lists(read(tmp_path, "s.csv", "0,1\n5,6\n", TABLE)) == {"X": [[5, 6]]}


@pytest.mark.parametrize("name", ["s.csv", "s.jsonl"])
def test_no_error_repeats_a_value(name: str, tmp_path: Path) -> None:
    text = {"s.csv": "a,b\n1,Anna\n", "s.jsonl": '{"a": 1, "b": "Anna"}\n'}[name]
    with pytest.raises(ModelError) as error:
        read(tmp_path, name, text, TABLE)
    assert "Anna" not in str(error.value)


def test_made_up_rows_lie_where_the_features_do() -> None:
    # GIVEN a table of a count, an amount, a constant, and a column about which nothing is known
    count = {"edges": [0, 0.5, 1.5, 40], "counts": [40, 30, 30]}
    amount = {"edges": [0.1, 11.774, 19.973, 624.74], "counts": [1, 8, 1]}
    features: list[dict[str, Any]] = [
        {"name": "count", "minimum": 0, "maximum": 40, "baseline": count},
        {"name": "amount", "minimum": 0.1, "maximum": 624.74, "baseline": amount},
        {"name": "constant", "minimum": 2.5, "maximum": 2.5},
        {"name": "unknown"},
    ]
    tensor = {"name": "X", "datatype": "FP32", "shape": [-1, 4], "features": features}
    # WHEN rows are made up
    table = make_up([tensor], 1, zeros=False).arrays["X"]
    # THEN the first is in the middle, in numbers of few digits, and the others are around it
    assert table[0, :3].tolist() == [1, 16, 2.5]
    assert len({*table[:, 0].tolist()}) >= 4
    assert all(number == round(number) and 0 <= number <= 40 for number in table[:, 0].tolist())
    assert all(0.1 <= number <= 625 for number in table[:, 1].tolist())
    assert sum(11.774 <= number <= 19.973 for number in table[:, 1].tolist()) >= 5
    assert ((table[:, 3] >= 0) & (table[:, 3] <= 1)).all()
    # AND integers are whole
    whole = tensor | {"datatype": "UINT8", "features": [{"name": "n", "minimum": 2, "maximum": 5}]}
    assert make_up([whole | {"shape": [-1, 1]}], 1, zeros=False).arrays["X"][0].tolist() == [4]


def test_made_up_texts_are_nobodys_own() -> None:
    # GIVEN columns of text: one of shared values, one of everybody's own, one that the model knows
    inputs = [{"name": name, "datatype": "BYTES", "shape": [-1, 1]} for name in ("a", "b", "c")]
    columns: dict[str, list[str]] = {
        "a": ["Graz"] * 11 + ["Wien"],
        "b": [f"Erika {i}" for i in range(12)],
        "c": [*"xyxxy", *"uvwxyzx"],
    }
    arrays = {name: np.array(texts, object)[:, np.newaxis] for name, texts in columns.items()}
    # WHEN texts are chosen THEN they are shared or known, or made up
    texts = find_texts(Samples(inputs, arrays), {"y", "v"})
    assert texts == {"a": ["Graz"], "b": ["a"], "c": ["y"]}
    rows = make_up(inputs, 1, zeros=False, texts=texts)
    assert lists(rows)["c"] == [["y"]] * 8
    assert lists(make_up(inputs, 1, zeros=True, texts=texts))["c"] == [[""]] * 8


@pytest.mark.parametrize("zeros", [False, True])
@pytest.mark.parametrize(
    ("fields", "row"),
    [
        ({"index_range": [-9, 8]}, [1, 1, 1]),
        ({"index_range": [-1, 0]}, [0, 0, 0]),
        ({"index_range": [-900, 899], "datatype": "UINT8"}, [1, 1, 1]),
        ({"column_index_ranges": [None, [-1, 0], [-9, 8]]}, [1, 0, 1]),
        ({"categories": [7, 8]}, [7, 7, 7]),
        ({"column_categories": [None, [7, 8], [9]]}, [1, 7, 9]),
        ({"categories": ["DE", "FR"], "datatype": "BYTES"}, ["DE", "DE", "DE"]),
    ],
)
def test_made_up_values_are_such_as_the_graph_allows(
    fields: dict[str, Any], row: list[Any], *, zeros: bool
) -> None:
    inputs = [{"name": "ids", "datatype": "INT64", "shape": [-1, 3], **fields}]

    samples = make_up(inputs, 5, zeros=zeros)

    expected = [0 if zeros and one == 1 else one for one in row]
    assert samples.request([0])["ids"].tolist() == [expected]
