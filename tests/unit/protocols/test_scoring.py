"""scoring.py: the scoring protocol of MLflow and SageMaker, in all its forms."""

import csv
import gzip
import io
import json
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

from protocols import open_inference, scoring
from protocols.messages import Request, Response, refuse
from serving.errors import EncodingError, RequestError
from serving.model import Model, load_model
from serving.tensors import DATATYPES
from tests.example_model import FEATURES as COLUMNS
from tests.example_model import FOLDER
from tests.extremes import EXTREMES
from tests.onnx_models import identities, identity, logarithm, logistic, package

JSON = "application/json"
CSV = "text/csv"
NPY = "application/x-npy"

HEADER = ",".join(COLUMNS)
FEATURES = [{"name": name} for name in COLUMNS]
ROW = [1.0, 2.5, 38.86, 15.5]


@pytest.fixture(scope="module")
def example() -> Model:
    return load_model(FOLDER)


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., Model]:
    return lambda model, **fields: load_model(package(tmp_path, model, **fields))


@pytest.fixture
def tiny(load: Callable[..., Model]) -> Model:
    tensor = {"name": "features", "datatype": "FP32", "shape": [-1, 4], "features": FEATURES}
    return load(logistic(), inputs=[tensor])


def npy(array: Any, **options: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array, **options)
    return file.getvalue()


def table(columns: list[str], rows: list[list[Any]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_STRINGS).writerows([columns, *rows])
    return text.getvalue().encode()


def forms(name: str, columns: list[str], rows: list[list[Any]]) -> dict[str, tuple[str, bytes]]:
    """Write one table in every form that is accepted."""
    records = [dict(zip(columns, row, strict=True)) for row in rows]
    backwards = [row[::-1] for row in rows]
    bodies: dict[str, Any] = {
        "instances as lists": {"instances": rows},
        "instances as objects": {"instances": records},
        "instances by input": {"instances": [{name: row} for row in rows]},
        "inputs as one list": {"inputs": rows},
        "inputs as objects": {"inputs": records},
        "inputs by name": {"inputs": {name: rows}},
        "inputs by feature": {"inputs": {c: [row[c] for row in records] for c in columns}},
        "records": {"dataframe_records": [dict(reversed(row.items())) for row in records]},
        "split": {
            "dataframe_split": {"columns": columns, "index": ["a"] * len(rows), "data": rows}
        },
        "split backwards": {"dataframe_split": {"columns": columns[::-1], "data": backwards}},
    }
    written = {form: (JSON, json.dumps(body).encode()) for form, body in bodies.items()}
    written["CSV"] = (CSV, table(columns, rows))
    written["CSV backwards"] = (CSV, b"\xef\xbb\xbf" + table(columns[::-1], backwards))
    written["numpy"] = (NPY, npy(np.array(rows)))
    written["numpy, column after column"] = (NPY, npy(np.array(rows, order="F")))
    return written


def ask(model: Model, content_type: str, body: bytes, **headers: str) -> Response:
    headers = {"content-type": content_type} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    try:
        return scoring.invoke(model, Request(body, headers))
    except Exception as error:  # as a lane does
        return refuse(error)


def predictions(model: Model, content_type: str, body: bytes) -> Any:
    response = ask(model, content_type, body)
    assert response.status == 200, response.body
    return json.loads(response.body)["predictions"]


def by_name(answered: Any) -> Any:
    """Turn rows into columns, as pandas does with either."""
    if isinstance(answered, dict):
        return answered
    return {name: [row[name] for row in answered] for name in answered[0]}


def infer(model: Model, **arrays: Any) -> dict[str, Any]:
    """Ask the same of the Open Inference Protocol."""
    tensors = [
        {
            "name": name,
            "datatype": model.inputs[name].datatype,
            "shape": list(np.shape(data)),
            "data": data,
        }
        for name, data in arrays.items()
    ]
    body = json.dumps({"inputs": tensors}).encode()
    response = open_inference.infer(model, Request(body, parameters={"name": model.manifest.name}))
    return {
        output["name"]: np.reshape(np.array(output["data"], object), output["shape"]).tolist()
        for output in json.loads(response.body)["outputs"]
    }


FORMS = list(forms("features", COLUMNS, [ROW]))


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_numbers_of_the_open_inference_protocol(
    example: Model, form: str
) -> None:
    # GIVEN numbers that are rounded on their way into the model
    rows = np.random.default_rng(1).gamma(2, 7, (50, 4)).tolist()
    expected = infer(example, features=rows)

    # WHEN they are sent in one of the forms
    answered = predictions(example, *forms("features", COLUMNS, rows)[form])

    # THEN the answer has the same numbers, bit for bit, by row if it was asked by row
    assert by_name(answered) == expected
    assert isinstance(answered, dict) == form.startswith(("inputs", "numpy"))


@pytest.mark.parametrize("form", FORMS)
def test_a_single_output_is_its_nested_list(tiny: Model, form: str) -> None:
    answered = predictions(tiny, *forms("features", COLUMNS, [ROW, ROW])[form])

    assert answered == infer(tiny, features=[ROW, ROW])["scores"]


@pytest.mark.parametrize("form", [form for form in FORMS if form != "inputs as objects"])
@pytest.mark.parametrize("datatype", EXTREMES)
def test_features_of_every_datatype_survive_every_form(
    load: Callable[..., Model], datatype: str, form: str
) -> None:
    features = [{"name": "a"}, {"name": "b"}]
    tensor = {"name": "x", "datatype": datatype, "shape": [-1, 2], "features": features}
    model = load(identity(datatype, [None, 2]), inputs=[tensor])
    rows = [EXTREMES[datatype], EXTREMES[datatype][::-1]]
    content_type, body = forms("x", ["a", "b"], rows)[form]
    if form.startswith("numpy"):
        dtype = None if datatype == "BYTES" else DATATYPES[datatype].dtype
        body = npy(np.array(rows, dtype, order="F" if "after" in form else "C"))

    assert predictions(model, content_type, body) == infer(model, x=rows)["y"]


@pytest.mark.parametrize("row_shape", [[], [1]])
@pytest.mark.parametrize("form", ["objects", "inputs", "flat inputs", "records", "split", "CSV"])
def test_inputs_of_every_datatype_are_columns_under_their_own_names(
    load: Callable[..., Model], form: str, row_shape: list[int]
) -> None:
    # GIVEN a model with an input and an output of every datatype, of one value a row
    model = load(identities({datatype: [None, *row_shape] for datatype in EXTREMES}))
    names = [f"x_{datatype}" for datatype in EXTREMES]
    rows = [list(row) for row in zip(*EXTREMES.values(), strict=True)]
    records = [dict(zip(names, row, strict=True)) for row in rows]
    columns = {name: [record[name] for record in records] for name in names}
    nested = {
        name: np.reshape(np.array(data, object), [2, *row_shape]).tolist()
        for name, data in columns.items()
    }
    bodies: dict[str, Any] = {
        "objects": {"instances": [{n: v[i] for n, v in nested.items()} for i in range(2)]},
        "inputs": {"inputs": nested},
        "flat inputs": {"inputs": columns},
        "records": {"dataframe_records": records},
        "split": {"dataframe_split": {"columns": names, "data": rows}},
    }

    # WHEN they are sent
    answered = (
        predictions(model, CSV, table(names, rows))
        if form == "CSV"
        else predictions(model, JSON, json.dumps(bodies[form]).encode())
    )

    # THEN each comes back
    assert by_name(answered) == infer(model, **nested)


@pytest.mark.parametrize(
    ("shape", "body"),
    [
        ([None, None], {"instances": [[1, 2, 3], [4, 5, 6]]}),
        ([None, None], {"instances": [{"x": [1, 2, 3]}, {"x": [4, 5, 6]}]}),
        ([None, None], {"inputs": {"x": [[1, 2, 3], [4, 5, 6]]}}),
        ([None, None], {"dataframe_split": {"columns": ["x"], "data": [[[1, 2]], [[3, 4]]]}}),
        ([None, 1, 2], {"instances": [[[1, 2]], [[3, 4]]]}),
        ([1, None, None], {"inputs": [[[1, 2], [3, 4]]]}),
        ([2], {"inputs": [1, 2]}),
        ([None], {"instances": [1, 2, 3]}),
        ([None], {"instances": []}),
        ([None, None], {"instances": []}),
        ([], {"inputs": 7}),
    ],
)
def test_tensors_of_any_shape_come_nested(
    load: Callable[..., Model], shape: list[int | None], body: dict[str, Any]
) -> None:
    model = load(identity("INT64", shape))
    [(form, data)] = body.items()
    if form == "dataframe_split":
        data = [row[0] for row in data["data"]]
    elif data and isinstance(data, list) and isinstance(data[0], dict):
        data = [row["x"] for row in data]

    assert predictions(model, JSON, json.dumps(body).encode()) == (
        data["x"] if isinstance(data, dict) else data
    )


def outputs_of_other_lengths() -> Any:
    """Add to y = x its shape, which has one entry, however many rows there are."""
    nodes = [helper.make_node("Identity", ["x"], ["y"]), helper.make_node("Shape", ["x"], ["n"])]
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [None]) for name in "xy")
    n = helper.make_tensor_value_info("n", TensorProto.INT64, [1])
    graph = helper.make_graph(nodes, "tiny", [x], [y, n])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_outputs_that_are_not_one_entry_a_row_are_answered_by_name_alone(
    load: Callable[..., Model],
) -> None:
    model = load(outputs_of_other_lengths())

    assert predictions(model, JSON, b'{"inputs": [1, 2]}') == {"y": [1.0, 2.0], "n": [2]}
    refused = ask(model, JSON, b'{"instances": [1, 2]}')
    assert refused.status == 400
    assert b"output 'n' is not one entry a row; ask with `inputs`" in refused.body


@pytest.mark.parametrize("form", FORMS)
def test_no_rows_are_no_predictions(example: Model, form: str) -> None:
    content_type, body = forms("features", COLUMNS, [])[form]
    if content_type == NPY:
        body = npy(np.zeros((0, 4)))

    answered = predictions(example, content_type, body)

    assert answered in ([], {"label": [], "probabilities": []})


def test_an_optional_input_may_be_left_out(load: Callable[..., Model]) -> None:
    # GIVEN y = x + b, where the graph has a value of its own for b
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [None]) for name in "xy")
    b = helper.make_tensor_value_info("b", TensorProto.FLOAT, [1])
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "b"], ["y"])],
        "tiny",
        [x, b],
        [y],
        [helper.make_tensor("b", TensorProto.FLOAT, [1], [10.0])],
    )
    imports = [helper.make_opsetid("", 17)]
    tensors = [
        {"name": "x", "datatype": "FP32", "shape": [-1]},
        {"name": "b", "datatype": "FP32", "shape": [1], "optional": True},
    ]
    model = load(helper.make_model(graph, opset_imports=imports, ir_version=8), inputs=tensors)

    # THEN every form works with and without it
    assert predictions(model, JSON, b'{"instances": [1, 2]}') == [11, 12]
    assert predictions(model, JSON, b'{"dataframe_records": [{"x": 1}, {"x": 2}]}') == [11, 12]
    assert predictions(model, JSON, b'{"inputs": {"x": [1, 2], "b": [1]}}') == [2, 3]
    assert predictions(model, CSV, b"x\n1\n2") == [11, 12]
    assert predictions(model, CSV, b"x,b\n1,5") == [6]


@pytest.mark.parametrize(
    "text",
    [
        f"{HEADER}\r\n1,2.5,38.86,15.5\r\n",
        f"{HEADER}\n1,2.5,38.86,15.5",
        f"\ufeff{HEADER}\n1,2.5,38.86,15.5\n\n",
        '"repeat_purchases",recency,"age",mean_spend\n"1","2.5",3886e-2, 1.55E+1',
    ],
)
def test_csv_of_any_writer_is_read(tiny: Model, text: str) -> None:
    assert predictions(tiny, CSV, text.encode()) == infer(tiny, features=[ROW])["scores"]


@pytest.mark.parametrize(
    ("array", "shape"),
    [(np.array([ROW]), 2), (np.array([ROW], np.float16), 2), (np.array([[1, 2, 3, 4]]), 2)],
)
def test_numpy_numbers_are_converted_as_those_of_json(tiny: Model, array: Any, shape: int) -> None:
    assert array.ndim == shape
    assert predictions(tiny, NPY, npy(array)) == infer(tiny, features=array.tolist())["scores"]


def test_a_number_that_json_lacks_is_null_where_the_model_wants_that(
    load: Callable[..., Model],
) -> None:
    model = load(logarithm(), non_finite_outputs="null")

    assert predictions(model, JSON, b'{"instances": [1, 0]}') == [0.0, None]


def test_what_mlflow_ignores_is_ignored(tiny: Model) -> None:
    body = {"instances": [ROW], "params": {"threshold": 0.5}, "client_request_id": "7"}

    assert predictions(tiny, JSON, json.dumps(body).encode())


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"content-type": "application/json; charset=utf-8"},
        {"content-type": "Application/JSON;format=any"},
    ],
)
def test_json_is_what_a_body_is_taken_for(tiny: Model, headers: dict[str, str]) -> None:
    body = json.dumps({"instances": [ROW]}).encode()

    assert scoring.invoke(tiny, Request(body, headers)).status == 200


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_another_content_type_is_refused_with_those_that_are_accepted(
    tiny: Model, content_type: str
) -> None:
    with pytest.raises(EncodingError, match="application/json, text/csv, application/x-npy"):
        scoring.invoke(tiny, Request(b"{}", {"content-type": content_type}))


@pytest.mark.parametrize(
    ("encoding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)]
)
def test_bodies_are_compressed_both_ways(
    tiny: Model, encoding: str, pack: Callable[[bytes], bytes]
) -> None:
    body = pack(json.dumps({"instances": [ROW] * 1000}).encode())

    response = ask(tiny, JSON, body, content_encoding=encoding, accept_encoding=encoding)

    assert response.headers["content-encoding"] == encoding
    answered = json.loads(zlib.decompress(response.body, 32 + zlib.MAX_WBITS))
    assert len(answered["predictions"]) == 1000


@pytest.mark.parametrize("headers", [{}, {"content_encoding": "gzip"}])
def test_json_may_come_under_the_type_that_leaves_compressed_bodies_alone(
    tiny: Model, headers: dict[str, str]
) -> None:
    body = json.dumps({"instances": [ROW]}).encode()
    body = gzip.compress(body) if headers else body

    answered = ask(tiny, "application/octet-stream", body, **headers)

    assert answered.body == ask(tiny, JSON, json.dumps({"instances": [ROW]}).encode()).body


@pytest.mark.parametrize("key", ["\u00e9", r"\u00e9", r"\u00E9"])
def test_a_key_twice_in_two_spellings_is_refused(load: Callable[..., Model], key: str) -> None:
    # GIVEN a feature whose name may be written in more than one way
    features = [{"name": "\u00e9"}]
    tensor = {"name": "x", "datatype": "FP32", "shape": [-1, 1], "features": features}
    model = load(identity("FP32", [None, 1]), inputs=[tensor])
    assert predictions(model, JSON, b'{"instances": [{"%b": 1}]}' % key.encode()) == [[1]]

    refused = ask(model, JSON, b'{"instances": [{"\\u00e9": 2, "%b": 1}]}' % key.encode())

    assert refused.status == 400
    assert b"instances: Expected each key once" in refused.body


def test_ping_says_that_the_model_is_there(tiny: Model) -> None:
    response = scoring.ping(tiny, Request())

    assert (response.status, response.content_type) == (200, JSON)
    assert json.loads(response.body)


def test_the_example_is_a_request_that_works(example: Model) -> None:
    body = json.dumps(scoring.example_request(example)).encode()

    assert predictions(example, JSON, body)


def test_what_was_measured_comes_with_the_answer(tiny: Model) -> None:
    response = ask(tiny, JSON, json.dumps({"instances": [ROW, ROW]}).encode())

    assert response.measured
    assert response.measured.rows == 2
    assert response.measured.milliseconds > 0


def test_only_the_form_that_is_asked_for_is_imported(tmp_path: Path) -> None:
    # GIVEN a process that cannot import what other forms need
    folder = package(tmp_path, logistic())
    script = f"""
import sys
absent = ("csv", "fastapi", "mangum", "numpy.lib.format", "pandas", "starlette")
import numpy, onnxruntime
sys.modules |= dict.fromkeys(absent)
from pathlib import Path
from protocols import scoring
from protocols.messages import Request
from serving.model import load_model
body, headers = {json.dumps({"instances": [ROW]}).encode()!r}, {{"content-type": {JSON!r}}}
answer = scoring.invoke(load_model(Path({str(folder)!r})), Request(body, headers))
assert answer.status == 200, answer.body
"""
    # WHEN it is asked in JSON THEN it answers
    subprocess.run([sys.executable, "-c", script], env={"PYTHONPATH": "functions"}, check=True)


def write(**fields: Any) -> bytes:
    return json.dumps(fields).encode()


RECORD = dict(zip(COLUMNS, ROW, strict=True))
BY_FEATURE = {name: [1, 2] for name in COLUMNS}
SPLIT = {"columns": COLUMNS, "data": [ROW, ROW]}

REFUSED: dict[str, tuple[bytes, str]] = {
    "no body": (b"", "body: "),
    "a list": (b"[]", "body: Expected `object`, got `array`"),
    "bad UTF-8": (b'{"instances": [["\xff"]]}', "data[0]"),
    "no form": (b'{"data": []}', "exactly one of instances, inputs, dataframe_records, "),
    "two forms": (write(instances=[ROW], inputs=[ROW]), "got 2"),
    "a form twice": (b'{"inputs": [], "inputs": []}', "body: Expected each key once"),
    "a number": (write(instances=5), "input 'features': data: Expected `array`, got `int`"),
    "nothing": (write(inputs=None), "input 'features': data: Expected `array`, got `null`"),
    "one flat row": (write(instances=ROW), "data[0]: Expected `array`, got `float`"),
    "ragged": (write(inputs=[ROW, [1]]), "data[1]: Expected 4 elements, got 1"),
    "too deep": (write(inputs=[[[1]] * 4]), "data[0][0]: Expected `float`, got `array`"),
    "string": (write(instances=[[1, 2, 3, "4"]]), "data[0][3]: Expected `float`, got `str`"),
    "bool": (write(instances=[[1, True, 3, 4]]), "data[0][1]: Expected `float`, got `bool`"),
    "NaN": (b'{"instances": [[1, 2, 3, NaN]]}', "body: NaN and Infinity are not JSON numbers"),
    "1e400": (b'{"instances": [[1, 2, 3, 1e400]]}', "data[0][3]: Number out of range"),
    "1e39": (b'{"inputs": [[1, 2, 3, 1e39]]}', "data[0][3]: Expected `float` <= 3.4"),
    "digits": (b'{"inputs": [[1, 2, 3, %b]]}' % (b"1" * 5000), "data[0][3]: "),
    "nested": (b'{"inputs": %b}' % (b"[" * 10**5 + b"]" * 10**5), "nested too deeply"),
    "nested object": (b'{"a": %b}' % (b'{"a":' * 10**5 + b"1" + b"}" * 10**5), "too deeply"),
    "nested, with keys to check": (
        b'{"a": %b, "b": "\xff", "inputs": [], "c": ["inputs"]}' % (b"[" * 900 + b"]" * 900),
        "",
    ),
    "rows": (write(instances=[ROW] * 10_001), "at most 10000 rows a request"),
    "object without a column": (write(instances=[{"age": 1}]), "'repeat_purchases' is missing"),
    "object with another": (
        write(instances=[RECORD | {"x": 1}]),
        "instances[0]: unknown field; ",
    ),
    "object with a long name": (write(inputs=[RECORD | {"x" * 10**6: 1}]), "the model has: "),
    "later object without": (write(instances=[RECORD, {}]), "instances[1]: Object missing"),
    "later list": (write(instances=[RECORD, ROW]), "instances[1]: Expected `object`"),
    "a list in records": (write(dataframe_records=[ROW]), "dataframe_records[0]: Expected `obj"),
    "cell of an object": (
        write(dataframe_records=[RECORD, RECORD | {"age": "a"}]),
        "dataframe_records[1].age: Expected `float`, got `str`",
    ),
    "key twice": (
        write(instances=[RECORD]).replace(b'"age"', b'"age": 1, "age"'),
        "instances: Expected each key once",
    ),
    "records": (write(dataframe_records=[RECORD] * 10_001), "at most 10000 rows"),
    "feature missing": (write(inputs={"age": [1]}), "column 'repeat_purchases' is missing"),
    "feature unknown": (write(inputs=BY_FEATURE | {"z": [1]}), "inputs: unknown field; the "),
    "feature ragged": (
        write(inputs=BY_FEATURE | {"age": [1]}),
        "'age': Expected 2 rows, got 1; column 'repeat_purchases' has 2",
    ),
    "feature nested": (
        write(inputs=BY_FEATURE | {"age": [1, [2]]}),
        "column 'age': data[1]: Expected `float`, got `array`",
    ),
    "feature and input": (write(inputs=BY_FEATURE | {"features": [ROW]}), "unknown column"),
    "input twice": (b'{"inputs": {"features": [], "features": []}}', "inputs: Expected each key"),
    "split without data": (write(dataframe_split={"columns": COLUMNS}), "missing required"),
    "split missing": (
        write(dataframe_split={"columns": COLUMNS[1:], "data": []}),
        "column 'repeat_purchases' is missing",
    ),
    "split unknown": (
        write(dataframe_split=SPLIT | {"columns": [*COLUMNS, "x" * 999]}),
        "unknown column 5; the model has: repeat_purchases, recency, age, mean_spend",
    ),
    "split twice": (
        write(dataframe_split=SPLIT | {"columns": [*COLUMNS, "age"]}),
        "column 'age' is there twice",
    ),
    "split ragged": (
        write(dataframe_split=SPLIT | {"data": [ROW, [1]]}),
        "dataframe_split.data[1]: Expected `array` of length 4",
    ),
    "split null": (
        write(dataframe_split=SPLIT | {"data": [[1, 2, 3, None]]}),
        "dataframe_split.data[0][3]: Expected `float`, got `null`",
    ),
    "a million columns": (
        write(dataframe_split=SPLIT | {"columns": ["a"] * 10**6}),
        "column 'repeat_purchases' is missing",
    ),
}

REFUSED_CSV: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "Expected a header row"),
    "blank": (b"\r\n\r\n", "Expected a header row"),
    "bad UTF-8": (b"\xff", "Expected UTF-8"),
    "no header": (b"1,2,3,4\n1,2,3,4", "column 'repeat_purchases' is missing"),
    "unknown": (f"{HEADER},x\n".encode(), "unknown column 5; the model has: "),
    "index of pandas": (f",{HEADER}\n".encode(), "unknown column 1; the model has: "),
    "twice": (f"{HEADER},age\n".encode(), "column 'age' is there twice"),
    "short row": (f"{HEADER}\n1,2,3,4\n1,2".encode(), "data[1]: Expected 4 cells, got 2"),
    "long row": (f"{HEADER}\n1,2,3,4,5".encode(), "data[0]: Expected 4 cells, got 5"),
    "blank row": (f"{HEADER}\n\n1,2,3,4".encode(), "data[0]: Expected 4 cells, got 0"),
    "open quote": (f'{HEADER}\n1,2,3,"4'.encode(), "line 2: "),
    "text after a quote": (f'{HEADER}\n1,2,3,"4"4'.encode(), "line 2: "),
    "empty cell": (f"{HEADER}\n1,2,3,4\n1,2,,4".encode(), "column 'age': data[1]: Expected FP32"),
    "rows": (f"{HEADER}\n".encode() + b"1,2,3,4\n" * 10_001, "at most 10000 rows"),
    "a million columns": (b"a," * 10**6, "column 'repeat_purchases' is missing"),
    "a million cells": (
        f"{HEADER}\n".encode() + b"," * 10**6,
        "Expected 4 cells, got more than 1005",
    ),
} | {
    f"cell {cell[:9]}": (
        f'{HEADER}\n1,2,3,4\n1,2,"{cell}",4'.encode(),
        "column 'age': data[1]: Expected FP32 as JSON writes it",
    )
    for cell in [
        "nan",
        "inf",
        "-Infinity",
        "1e400",
        "1e39",
        "1,2",
        "+1",
        "1_0",
        "x",
        "[1]",
        "true",
        " ",
        "null",
        "0x1",
        "1" * 200_000,
    ]
}

NPY_HEADER = {"descr": "<f4", "fortran_order": False, "shape": (1, 4)}


def npy_file(header: Any, data: bytes = b"\0" * 16) -> bytes:
    text = header if isinstance(header, bytes) else repr(header).encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + data


REFUSED_NPY: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "not a .npy file"),
    "a zip file": (b"PK\x03\x04" + b"\0" * 99, "not a .npy file"),
    "a pickle": (b"\x80\x04K\x01.", "not a .npy file"),
    "pickled": (npy(np.array([["a"]], object), allow_pickle=True), "another type"),
    "long header": (npy_file(repr(NPY_HEADER).encode() + b" " * 60_000), "not a .npy file"),
    "nested header": (npy_file(b"[" * 200), "not a .npy file"),
    "no header": (npy_file(b"7"), "not a .npy file"),
    "version 3": (npy(np.array([ROW])).replace(b"NUMPY\x01", b"NUMPY\x03"), "not a .npy file"),
    "wrong shape": (npy(np.ones((2, 3))), "expected shape [-1, 4]"),
    "negative shape": (npy_file(NPY_HEADER | {"shape": (-1, 4)}), "expected shape [-1, 4]"),
    "huge shape": (npy_file(NPY_HEADER | {"shape": (10**100, 4)}), "at most 10000 rows"),
    "bytes missing": (npy(np.array([ROW]))[:-1], "Expected 32 bytes for 4 elements, got 31"),
    "bytes left": (npy(np.array([ROW])) + b"\0", "Expected 32 bytes for 4 elements, got 33"),
    "rows": (npy(np.ones((10_001, 4))), "at most 10000 rows"),
    "bool": (npy(np.ones((1, 4), bool)), "expected FP32, the .npy holds another type"),
    "complex": (npy(np.ones((1, 4), complex)), "expected FP32, the .npy holds another type"),
    "text": (npy(np.array([["1"] * 4])), "expected FP32, the .npy holds another type"),
    "structure": (npy_file(NPY_HEADER | {"descr": [("a", "<f4")]}), "another type"),
    "big-endian": (npy(np.ones((1, 4), ">f4")), "Expected little-endian numbers"),
    "long double": (npy(np.ones((1, 4), np.longdouble)), "Expected little-endian numbers"),
    "NaN": (npy(np.array([[1, 2, np.nan, 4]])), "data[0][2]: Expected a finite number in FP32"),
    "infinity": (npy(np.array([[1, 2, 3, -np.inf]], np.float32)), "data[0][3]: Expected a finite"),
    "1e39": (npy(np.array([ROW, [1, 1e39, 3, 4]])), "data[1][1]: Expected a finite number"),
}

EVERY_REFUSED = [
    *((JSON, *case) for case in REFUSED.values()),
    *((CSV, *case) for case in REFUSED_CSV.values()),
    *((NPY, *case) for case in REFUSED_NPY.values()),
]


@pytest.mark.parametrize(
    ("content_type", "body", "message"),
    EVERY_REFUSED,
    ids=[
        f"{form} {case}"
        for form, cases in [("JSON", REFUSED), ("CSV", REFUSED_CSV), ("npy", REFUSED_NPY)]
        for case in cases
    ],
)
def test_what_does_not_fit_is_refused_in_few_words_and_spoils_nothing(
    tiny: Model, content_type: str, body: bytes, message: str
) -> None:
    response = ask(tiny, content_type, body)

    error = json.loads(response.body)["error"]
    assert response.status == (413 if "at most" in message else 400)
    assert message in error
    assert 0 < len(error) < 300
    assert predictions(tiny, JSON, write(instances=[ROW]))


@pytest.mark.parametrize(
    "body",
    [
        b'{"inputs": 5, "inputs": 6}',
        b'{"\\u0069nputs": 5, "inputs": 6}',  # the value is in the escape, too
        b'{"\\u0069nputs": {"x": 6}, "inputs": 6}',
        b'{"a": "\\u0041", "inputs": 5, "inputs": 6}',
        b'{"inputs": {"x": 6, "x": 6}}',
        b'{"inputs": {"x": 6, "\\u0078": 6}}',
        b'{"dataframe_split": {"columns": [], "columns": ["x"], "data": [[[6]]]}}',
        b'{"dataframe_split": {"columns": ["x"], "data": [[[6]]], "index": 0, "data": []}}',
    ],
)
def test_a_key_twice_is_refused_wherever_it_is(load: Callable[..., Model], body: bytes) -> None:
    model = load(identity("INT64", []))
    assert predictions(model, JSON, b'{"a": "\\u0069nputs", "b": "inputs", "inputs": 6}') == 6

    refused = ask(model, JSON, body)

    assert refused.status == 400
    assert b"Expected each key once in an object" in refused.body


PLANTED = "pass-word"


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (JSON, write(instances=[RECORD | {PLANTED: 1}])),
        (JSON, write(dataframe_records=[RECORD, RECORD | {PLANTED: 1}])),
        (JSON, write(inputs={PLANTED: [1]})),
        (JSON, write(dataframe_split={"columns": [*COLUMNS, PLANTED], "data": []})),
        (CSV, f"{HEADER},{PLANTED}\n".encode()),
    ],
)
def test_an_unknown_name_is_not_repeated_and_the_known_ones_are_said(
    tiny: Model, content_type: str, body: bytes
) -> None:
    response = ask(tiny, content_type, body)

    assert response.status == 400
    assert PLANTED.encode() not in response.body
    assert b"repeat_purchases, recency, age, mean_spend" in response.body


def test_of_many_known_names_some_are_said(load: Callable[..., Model]) -> None:
    features = [{"name": f"c{i}"} for i in range(100)]
    tensor = {"name": "x", "datatype": "FP32", "shape": [-1, 100], "features": features}
    model = load(identity("FP32", [None, 100]), inputs=[tensor])

    response = ask(model, JSON, write(instances=[{"y": 1}]))

    names = ", ".join(f"c{i}" for i in range(9))
    assert json.loads(response.body) == {
        "error": f"instances[0]: unknown field; the model has: x, {names}, ..."
    }


@pytest.mark.parametrize("form", ["instances", "inputs", "dataframe_records", "dataframe_split"])
@pytest.mark.parametrize("value", ["pass-word", [31337], {"pass-word": 31337}])
def test_no_value_is_in_an_error(tiny: Model, form: str, value: Any) -> None:
    wrong: Any = [RECORD, RECORD | {"age": value}]
    if form == "dataframe_split":
        wrong = {"columns": COLUMNS, "data": [ROW, [1, 2, [value], 4]]}

    response = ask(tiny, JSON, write(**{form: wrong}))

    assert response.status == 400
    assert b"31337" not in response.body
    assert b"pass-word" not in response.body


def test_the_row_of_a_file_without_a_header_is_not_in_the_error(tiny: Model) -> None:
    response = ask(tiny, CSV, b"31337,pass-word,1,2\n1,2,3,4")

    assert response.status == 400
    assert b"31337" not in response.body
    assert b"pass-word" not in response.body


@pytest.mark.parametrize(
    ("datatype", "value"),
    [
        ("UINT64", 2**64),
        ("UINT64", -1),
        ("INT64", 2**63),
        ("INT8", 128),
        ("UINT8", -1),
        ("INT32", 1.0),
        ("FP16", 65505),
        ("BOOL", 1),
        ("BYTES", 1),
    ],
)
@pytest.mark.parametrize("form", ["split", "records", "inputs by feature", "CSV"])
def test_each_datatype_is_strict_in_every_form(
    load: Callable[..., Model], datatype: str, value: Any, form: str
) -> None:
    features = [{"name": "a"}, {"name": "b"}]
    tensor = {"name": "x", "datatype": datatype, "shape": [-1, 2], "features": features}
    model = load(identity(datatype, [None, 2]), inputs=[tensor])
    good = EXTREMES[datatype][0]
    content_type, body = forms("x", ["a", "b"], [[good, good], [good, value]])[form]

    response = ask(model, content_type, body)

    if (datatype, form) == ("BYTES", "CSV"):  # where everything is text
        assert response.status == 200
    else:
        assert response.status == 400
        assert b"1]" in response.body


@pytest.mark.parametrize(
    ("datatype", "array"),
    [
        ("INT8", np.array([0, 128])),
        ("UINT8", np.array([0, -1])),
        ("INT64", np.array([0, 2**63], np.uint64)),
        ("FP16", np.array([0, 65505.0])),
        ("INT64", np.array([0, 1.0])),
        ("BOOL", np.array([0, 1])),
        ("BYTES", np.array([0, 1])),
        ("BYTES", np.array([b"a", b"b"])),
    ],
)
def test_numpy_numbers_that_do_not_fit_are_refused(
    load: Callable[..., Model], datatype: str, array: Any
) -> None:
    response = ask(load(identity(datatype, [None])), NPY, npy(array))

    assert response.status == 400


@pytest.mark.parametrize("code_point", [0xD800, 0x110000])
def test_numpy_text_that_is_no_text_is_refused(load: Callable[..., Model], code_point: int) -> None:
    file = npy_file({"descr": "<U1", "fortran_order": False, "shape": (1,)}, b"")

    response = ask(load(identity("BYTES", [None])), NPY, file + struct.pack("<I", code_point))

    assert response.status == 400


@pytest.mark.parametrize("shape", [[None], [1], [None, 1]])
@pytest.mark.parametrize("form", [b'{"inputs": %b}', b'{"instances": [{"x": "\xff"}], "a": %b}'])
def test_text_that_is_no_utf_8_is_refused(
    load: Callable[..., Model], shape: list[int | None], form: bytes
) -> None:
    data = b'["\xff"]' if len(shape) == 1 else b'[["\xff"]]'

    assert ask(load(identity("BYTES", shape)), JSON, form % data).status == 400


def test_bytes_that_are_no_bool_are_refused(load: Callable[..., Model]) -> None:
    file = npy_file({"descr": "|b1", "fortran_order": False, "shape": (1,)}, b"\x02")

    assert ask(load(identity("BOOL", [None])), NPY, file).status == 400


def test_an_input_whose_columns_have_no_names_is_no_table(load: Callable[..., Model]) -> None:
    model = load(logistic())

    response = ask(model, CSV, b"a,b,c,d\n1,2,3,4")

    assert response.status == 400
    assert b"model.json names no features of that input" in response.body
    assert ask(model, CSV, b"features\n1").status == 400


def test_a_column_cannot_be_of_two_inputs(load: Callable[..., Model]) -> None:
    tensors = [
        {"name": name, "datatype": datatype, "shape": [-1, 1], "features": [{"name": "a"}]}
        for name, datatype in [("x_FP32", "FP32"), ("x_INT64", "INT64")]
    ]
    model = load(identities({"FP32": [None, 1], "INT64": [None, 1]}), inputs=tensors)

    assert b"column 'a' is there twice" in ask(model, CSV, b"a\n1").body
    assert ask(model, JSON, write(inputs={"x_FP32": [[1]], "x_INT64": [[1]]})).status == 200


def test_several_inputs_need_names(load: Callable[..., Model]) -> None:
    model = load(identities({"FP32": [None], "INT64": [None]}))

    assert b"instances[0]: Expected `object`" in ask(model, JSON, write(instances=[[1, 2]])).body
    assert b"inputs: Expected `object`" in ask(model, JSON, write(inputs=[[1, 2]])).body
    assert b"needs a model with one input" in ask(model, NPY, npy(np.ones(2))).body
    assert predictions(model, JSON, write(instances=[])) == []


def test_bfloat16_has_no_form_here(load: Callable[..., Model]) -> None:
    model = load(identity("BF16", [None]))

    assert scoring.example_request(model) is None
    with pytest.raises(RequestError, match="BF16 has no JSON form"):
        scoring.invoke(model, Request(write(inputs=[1])))
