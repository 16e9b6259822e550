"""What makes a model fail though it fits shapes and datatypes: the caller's mistake, or ours."""

import base64
import inspect
import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import ModelProto, NodeProto, TensorProto, helper

from infra.model.graph.graph import read_graph
from tests.handlers import Loaded

Event = Callable[..., dict[str, Any]]
Ask = Callable[..., tuple[int, Any]]

INFER = "/v2/models/tiny/infer"
FLOAT, INT64, TEXT = TensorProto.FLOAT, TensorProto.INT64, TensorProto.STRING

type Inputs = dict[str, tuple[int, Sequence[int | str | None]]]

node = helper.make_node
TABLE = helper.make_tensor("table", FLOAT, [3], [1.0, 2.0, 3.0])
ADD = node("Add", ["a", "b"], ["y"])


def graph(
    inputs: Inputs,
    *nodes: NodeProto,
    weights: Sequence[TensorProto] = (),
    output: int = FLOAT,
) -> ModelProto:
    values = [helper.make_tensor_value_info(name, *of) for name, of in inputs.items()]
    outputs = [helper.make_tensor_value_info("y", output, None)]
    made = helper.make_graph(nodes, "graph", values, outputs, [TABLE, *weights])
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    return helper.make_model(made, opset_imports=opsets, ir_version=8)


@pytest.fixture
def load(
    load_handler: Callable[..., Loaded],
    tmp_path: Path,
    http_event: Event,
    lambda_context: Any,
) -> Callable[..., Ask]:
    """Serve a model with the contract that its graph tells."""

    def serve(
        model: ModelProto,
        features: Mapping[str, str] | None = None,
        lengths: Mapping[str, dict[str, Any]] | None = None,
        **fields: Any,
    ) -> Ask:
        path = tmp_path / "source.onnx"
        path.write_bytes(model.SerializeToString())
        read = inspect.unwrap(read_graph)(path)  # in this process
        for one in read.inputs:
            if features:
                one["features"] = [{"name": name} for name in features[one["name"]]]
            one.update((lengths or {}).get(one["name"], {}))
        api = load_handler(model, inputs=read.inputs, outputs=read.outputs, **fields)

        def ask(path: str, body: Any, method: str = "POST", **changes: Any) -> tuple[int, Any]:
            text = body if isinstance(body, str) else json.dumps(body)
            answer = api.handler(http_event(method, path, text, **changes), lambda_context)
            return answer["statusCode"], json.loads(answer["body"])

        return ask

    return serve


def tensor(name: str, array: Any, dtype: Any = np.float32) -> dict[str, Any]:
    found = np.array(array, dtype)
    datatype = {"f": "FP32", "i": "INT64"}[found.dtype.kind]
    shape, data = list(found.shape), found.ravel().tolist()
    return {"name": name, "datatype": datatype, "shape": shape, "data": data}


def infer(**arrays: Any) -> dict[str, Any]:
    return {"inputs": [tensor(name, array) for name, array in arrays.items()]}


def zeros(*shape: int) -> Any:
    return np.zeros(shape).tolist()


NAMED: Inputs = {"a": (FLOAT, ["batch", "sequence"]), "b": (FLOAT, ["batch", "sequence"])}
UNNAMED: Inputs = {"a": (FLOAT, [None, None]), "b": (FLOAT, [None, None])}
SQUARE: Inputs = {"a": (FLOAT, ["N", "N"])}
MIRROR = node("Transpose", ["a"], ["t"]), node("Add", ["a", "t"], ["y"])
SCALAR: Inputs = {"k": (FLOAT, []), **UNNAMED}
THREE = node("Add", ["a", "k"], ["ak"]), node("Add", ["ak", "b"], ["y"])
ONE_EACH: Inputs = {"a": (FLOAT, [None, 1]), "b": (FLOAT, [None, 1])}
VECTORS: Inputs = {"a": (FLOAT, [None]), "b": (FLOAT, [None])}
MANY: Inputs = {name: (FLOAT, [None]) for name in "abc"}
SUM = node("Sum", ["a", "b", "c"], ["y"])
JOIN = node("Concat", ["a", "b"], ["y"], axis=1)
OPTIONAL = helper.make_tensor("b", FLOAT, [1], [7.0])
WITH_OPTIONAL: Inputs = {"a": (FLOAT, ["batch"]), "b": (FLOAT, ["batch"])}

DISAGREEMENTS: dict[str, tuple[ModelProto, dict[str, Any], str]] = {
    "rows of one name": (
        graph(NAMED, ADD),
        infer(a=zeros(3, 2), b=zeros(2, 2)),
        "dimension 'batch' is 3 in shape[0] of input 'a' and 2 in shape[0] of input 'b'",
    ),
    "another dimension of one name": (
        graph(NAMED, ADD),
        infer(a=zeros(2, 3), b=zeros(2, 5)),
        "dimension 'sequence' is 3 in shape[1] of input 'a' and 5 in shape[1] of input 'b'",
    ),
    "rows without a name": (
        graph(UNNAMED, ADD),
        infer(a=zeros(3, 2), b=zeros(2, 2)),
        "the number of rows is 3 in shape[0] of input 'a' and 2 in shape[0] of input 'b'",
    ),
    "rows of other names": (
        graph({"a": (FLOAT, ["a_axis_0"]), "b": (FLOAT, ["b_axis_0"])}, ADD),
        infer(a=zeros(3), b=zeros(2)),
        "the number of rows is 3 in shape[0] of input 'a' and 2 in shape[0] of input 'b'",
    ),
    "one row where none is repeated": (
        graph(UNNAMED, JOIN),
        infer(a=zeros(3, 2), b=zeros(1, 2)),
        "the number of rows is 3 in shape[0] of input 'a' and 1 in shape[0] of input 'b'",
    ),
    "two dimensions of one input": (
        graph(SQUARE, *MIRROR),
        infer(a=zeros(2, 3)),
        "dimension 'N' is 2 in shape[0] of input 'a' and 3 in shape[1] of input 'a'",
    ),
    "next to an input of one value": (
        graph(SCALAR, *THREE),
        infer(k=0.0, a=zeros(3, 1), b=zeros(2, 1)),
        "the number of rows is 3 in shape[0] of input 'a' and 2 in shape[0] of input 'b'",
    ),
    "next to an input that is repeated": (
        graph(MANY, SUM),
        infer(a=zeros(3), b=zeros(1), c=zeros(4)),
        "the number of rows is 3 in shape[0] of input 'a' and 4 in shape[0] of input 'c'",
    ),
    "an optional input": (
        graph(WITH_OPTIONAL, ADD, weights=[OPTIONAL]),
        infer(a=zeros(3), b=zeros(2)),
        "dimension 'batch' is 3 in shape[0] of input 'a' and 2 in shape[0] of input 'b'",
    ),
}


@pytest.mark.parametrize("case", DISAGREEMENTS)
def test_inputs_that_disagree_are_the_callers_mistake_if_the_model_fails(
    load: Callable[..., Ask], capfd: pytest.CaptureFixture[str], case: str
) -> None:
    model, request, message = DISAGREEMENTS[case]
    ask = load(model)

    status, answer = ask(INFER, request)

    assert status == 400
    assert answer["error"].startswith(f"{message}, and the model failed on this input: ")
    printed = capfd.readouterr().out
    assert '"ClientErrors":[1]' in printed
    assert "ServerErrors" not in printed


@pytest.mark.parametrize(
    ("model", "request_"),
    [
        (graph(NAMED, ADD), infer(a=zeros(3, 2), b=zeros(1, 2))),
        (graph(UNNAMED, ADD), infer(a=zeros(3, 2), b=zeros(3, 1))),
        (graph(SQUARE, node("Relu", ["a"], ["y"])), infer(a=zeros(2, 3))),
        (graph(UNNAMED, node("MatMul", ["a", "b"], ["y"])), infer(a=zeros(3, 2), b=zeros(2, 3))),
        (graph(WITH_OPTIONAL, ADD, weights=[OPTIONAL]), infer(a=zeros(3))),
    ],
)
def test_what_the_model_answers_is_no_mistake(
    load: Callable[..., Ask], model: ModelProto, request_: Any
) -> None:
    assert load(model)(INFER, request_)[0] == 200


COLUMNS: Inputs = {"a": (FLOAT, [None, 2]), "b": (FLOAT, [None, 2])}
NAMES = {"a": "pq", "b": "rs"}  # a letter for each column


@pytest.mark.parametrize(
    ("inputs", "features", "body"),
    [
        (VECTORS, None, {"a": zeros(3), "b": zeros(2)}),
        (ONE_EACH, None, {"a": zeros(3), "b": zeros(2)}),
        (COLUMNS, None, {"a": zeros(3, 2), "b": zeros(2, 2)}),
        (COLUMNS, NAMES, {"p": zeros(3), "q": zeros(3), "r": zeros(2), "s": zeros(2)}),
        (COLUMNS, NAMES, {"a": zeros(3, 2), "r": zeros(2), "s": zeros(2)}),
    ],
)
def test_so_are_columns_of_a_table_with_other_numbers_of_rows(
    load: Callable[..., Ask], inputs: Inputs, features: dict[str, str] | None, body: Any
) -> None:
    ask = load(graph(inputs, ADD), features)

    status, answer = ask("/invocations", {"inputs": body})

    assert status == 400
    assert answer["error"].startswith(
        "the number of rows is 3 in shape[0] of input 'a' and 2 in shape[0] of input 'b', and "
    )


def test_columns_of_one_input_are_compared_before_the_model_runs(load: Callable[..., Ask]) -> None:
    ask = load(graph(COLUMNS, ADD), NAMES)
    body = {"p": zeros(3), "q": zeros(2), "r": zeros(3), "s": zeros(3)}

    status, answer = ask("/invocations", {"inputs": body})

    assert status == 400
    assert answer["error"] == "column 'q': Expected 3 rows, got 2; column 'p' has 3"


NETWORK: Inputs = {"nodes": (FLOAT, [None]), "edges": (INT64, [None])}
WALK = node("Gather", ["nodes", "edges"], ["y"])


@pytest.mark.parametrize("nodes", [4, 2])
def test_a_difference_that_a_golden_sample_has_explains_no_failure(
    load: Callable[..., Ask], capfd: pytest.CaptureFixture[str], nodes: int
) -> None:
    # GIVEN a model whose inputs differ in length, in its golden sample too
    golden = {"inputs": {"nodes": [1.0, 2.0, 3.0], "edges": [0, 2]}, "outputs": {"y": [1.0, 3.0]}}
    ask = load(graph(NETWORK, WALK), golden=[golden])
    # WHEN it fails for another reason
    inputs = [tensor("nodes", zeros(nodes)), tensor("edges", [0, 9, 0], np.int64)]
    status, answer = ask(INFER, {"inputs": inputs})
    # THEN it stays a failure of the model
    assert status == 500
    assert answer["error"] == "the model failed on this input: InvalidArgument in a Gather node"
    assert '"ServerErrors":[1]' in capfd.readouterr().out


def test_a_repeated_row_in_a_golden_sample_excuses_nothing_else(load: Callable[..., Ask]) -> None:
    golden = {"inputs": {"a": zeros(3, 2), "b": zeros(1, 2)}, "outputs": {}}
    ask = load(graph(NAMED, ADD), golden=[golden])

    status, answer = ask(INFER, infer(a=zeros(3, 2), b=zeros(2, 2)))

    assert status == 400
    assert answer["error"].startswith("dimension 'batch' is 3 in shape[0] of input 'a' and 2 in")


@pytest.mark.parametrize(
    ("inputs", "arrays"),
    [
        (UNNAMED, {"a": zeros(3, 2), "b": zeros(3, 5)}),
        ({"a": (FLOAT, [None]), "b": (FLOAT, [4])}, {"a": zeros(3), "b": zeros(4)}),
        (
            {"a": (FLOAT, ["unk__1", "?"]), "b": (FLOAT, ["unk__2", "?"])},
            {"a": zeros(3, 2), "b": zeros(3, 5)},
        ),
    ],
)
def test_a_failure_is_ours_where_nothing_disagrees(
    load: Callable[..., Ask], inputs: Inputs, arrays: dict[str, Any]
) -> None:
    assert load(graph(inputs, ADD))(INFER, infer(**arrays))[0] == 500


@pytest.mark.parametrize("rows", [0, 2])
def test_a_model_that_needs_rows_gets_some(load: Callable[..., Ask], rows: int) -> None:
    first = helper.make_tensor("first", INT64, [], [0])
    model = graph({"a": (FLOAT, [None, 2])}, node("Gather", ["a", "first"], ["y"]), weights=[first])

    status, answer = load(model)("/invocations", {"instances": zeros(rows, 2)})

    assert status == (200 if rows else 400)
    if not rows:
        assert answer["error"].startswith("the request has no rows, and the model failed")


LAST = helper.make_tensor("last", INT64, [], [-1])
PICK = node("Gather", ["a", "last"], ["y"], axis=1)
PAIRS = helper.make_tensor("pairs", INT64, [3], [0, -1, 2])
LENGTHS = {
    "a": {"least_lengths": [1, 0]},
    "b": {"least_lengths": [0, 1]},
}


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        ([0, 2], [0, 2], "input 'a': shape[0]: expected at least 1, got 0"),
        ([2, 0], [2, 0], "input 'b': shape[1]: expected at least 1, got 0"),
        ([1, 1], [0, 1], ""),
    ],
)
def test_a_dimension_that_must_not_be_empty_is_refused_before_the_model_runs(
    load: Callable[..., Ask],
    capfd: pytest.CaptureFixture[str],
    a: list[int],
    b: list[int],
    message: str,
) -> None:
    ask = load(graph(UNNAMED, ADD), lengths=LENGTHS)
    arrays = {"a": np.zeros(a, np.float32), "b": np.zeros(b, np.float32)}

    status, answer = ask(INFER, infer(**arrays))

    printed = capfd.readouterr().out
    assert status == (400 if message else 200)
    assert ("InferenceLatency" in printed) != bool(message)
    assert "ServerErrors" not in printed
    if message:
        assert answer["error"].endswith(message)


def test_no_rows_are_refused_in_a_scoring_request_too(load: Callable[..., Ask]) -> None:
    ask = load(graph({"a": (FLOAT, [None, 2])}, node("Relu", ["a"], ["y"])), lengths=LENGTHS)

    status, answer = ask("/invocations", {"instances": []})

    assert status == 400
    assert answer["error"] == "input 'a': shape[0]: expected at least 1, got 0"


def test_an_empty_dimension_is_the_callers_mistake_if_the_model_fails(
    load: Callable[..., Ask],
) -> None:
    ask = load(graph({"a": (FLOAT, [None, None])}, PICK, weights=[LAST]))

    assert ask(INFER, infer(a=np.zeros((0, 3))))[0] == 200
    status, answer = ask(INFER, infer(a=np.zeros((3, 0))))

    assert status == 400
    assert answer["error"].startswith(
        "expected at least 1, got 0 in shape[1] of input 'a', and the model failed on this input: "
    )


@pytest.mark.parametrize(
    ("length", "status", "message"),
    [
        (4, 200, ""),
        (5, 500, "the model failed on this input"),
        (3, 400, "expected at least 4, got 3 in shape[1] of input 'a'"),
        (9, 400, "expected at most 8, got 9 in shape[1] of input 'a'"),
        (10, 200, ""),
    ],
)
def test_a_length_that_failed_in_packaging_is_the_callers_mistake_if_the_model_fails(
    load: Callable[..., Ask], length: int, status: int, message: str
) -> None:
    pairs = graph(
        {"a": (FLOAT, [None, None])}, node("Reshape", ["a", "pairs"], ["y"]), weights=[PAIRS]
    )
    ask = load(pairs, lengths={"a": {"answered_lengths": [None, [4, 8]]}})

    found, answer = ask(INFER, infer(a=zeros(1, length)))

    assert found == status
    assert message in answer.get("error", "")


FILL = graph({"x": (INT64, [None])}, node("ConstantOfShape", ["x"], ["y"]))
COUNT = graph(
    {"x": (INT64, [])},
    node("Range", ["zero", "x", "one"], ["r"]),
    node("Cast", ["r"], ["y"], to=FLOAT),
    weights=[helper.make_tensor("zero", INT64, [], [0]), helper.make_tensor("one", INT64, [], [1])],
)


@pytest.mark.parametrize(
    ("model", "sizes", "status", "message"),
    [
        (FILL, [10, 10], 200, ""),
        (FILL, [0, 2**40], 200, ""),
        (FILL, [101], 413, "input 'x': its sizes make more than 100 elements"),
        (FILL, [11, 11], 413, "input 'x': its sizes make more than 100 elements"),
        (FILL, [2**62, 2**62], 413, "input 'x': its sizes make more than 100 elements"),
        (FILL, [2**62] * 100, 413, "input 'x': its sizes make more than 100 elements"),
        (FILL, [3141, -1], 400, "input 'x' has a negative size, and the model failed"),
        (COUNT, 100, 200, ""),
        (COUNT, -3141, 200, ""),
        (COUNT, 2**40, 413, "input 'x': its sizes make more than 100 elements"),
    ],
)
def test_sizes_that_would_take_the_memory_are_the_callers_mistake(
    load: Callable[..., Ask],
    capfd: pytest.CaptureFixture[str],
    model: ModelProto,
    sizes: Any,
    status: int,
    message: str,
) -> None:
    ask = load(model, limits={"made_elements": 100})

    found, answer = ask(INFER, {"inputs": [tensor("x", sizes, np.int64)]})

    assert found == status
    assert answer.get("error", "").startswith(message)
    assert "3141" not in str(answer)
    assert "ServerErrors" not in capfd.readouterr().out


INDEX: Inputs = {"x": (INT64, ["batch", 2])}
LOOK_UP = node("Gather", ["table", "x"], ["y"])
OUTSIDE = "input 'x': data[1][0]: Expected an index from -3 to 2"
ROWS = [[0, 2], [3141, -3]]


def as_binary(rows: Any, dtype: str = "<i8") -> tuple[str, bytes, dict[str, str]]:
    data = np.array(rows, dtype).tobytes()
    described = tensor("x", rows, dtype) | {"parameters": {"binary_data_size": len(data)}}
    del described["data"]
    text = json.dumps({"inputs": [described]})
    headers = {
        "content-type": "application/octet-stream",
        "inference-header-content-length": str(len(text)),
    }
    return INFER, text.encode() + data, headers


def as_npy(rows: Any) -> tuple[str, bytes, dict[str, str]]:
    stream = io.BytesIO()
    np.save(stream, np.array(rows))
    return "/invocations", stream.getvalue(), {"content-type": "application/x-npy"}


def as_csv(rows: Any) -> tuple[str, bytes, dict[str, str]]:
    lines = ["p,q", *(",".join(map(str, row)) for row in rows)]
    return "/invocations", "\n".join(lines).encode(), {"content-type": "text/csv"}


def as_json(path: str, body: Any) -> tuple[str, bytes, dict[str, str]]:
    return path, json.dumps(body).encode(), {"content-type": "application/json"}


FORMS: dict[str, Callable[[Any], tuple[str, bytes, dict[str, str]]]] = {
    "flat": lambda rows: as_json(INFER, {"inputs": [tensor("x", rows, np.int64)]}),
    "nested": lambda rows: as_json(
        INFER, {"inputs": [tensor("x", rows, np.int64) | {"data": rows}]}
    ),
    "binary": as_binary,
    "npy": as_npy,
    "csv": as_csv,
    "instances": lambda rows: as_json("/invocations", {"instances": rows}),
    "inputs": lambda rows: as_json("/invocations", {"inputs": {"x": rows}}),
    "columns": lambda rows: as_json(
        "/invocations", {"inputs": dict(zip("pq", zip(*rows, strict=True), strict=True))}
    ),
    "records": lambda rows: as_json(
        "/invocations", {"dataframe_records": [dict(zip("pq", row, strict=True)) for row in rows]}
    ),
    "split": lambda rows: as_json(
        "/invocations", {"dataframe_split": {"columns": ["p", "q"], "data": rows}}
    ),
}


def ask_bytes(ask: Ask, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, Any]:
    return ask(path, base64.b64encode(body).decode(), headers=headers, isBase64Encoded=True)


@pytest.mark.parametrize("form", FORMS)
def test_an_index_outside_its_table_is_refused_in_every_form(
    load: Callable[..., Ask], capfd: pytest.CaptureFixture[str], form: str
) -> None:
    ask = load(graph(INDEX, LOOK_UP), {"x": "pq"})

    assert ask_bytes(ask, *FORMS[form]([[0, 2], [-1, -3]]))[0] == 200
    capfd.readouterr()
    # WHEN one is outside
    status, answer = ask_bytes(ask, *FORMS[form](ROWS))
    # THEN it is named, without its value, and the model did not run
    assert (status, answer) == (400, {"error": OUTSIDE})
    printed = capfd.readouterr().out
    assert '"ClientErrors":[1]' in printed
    assert "3141" not in printed


def test_a_column_of_indices_is_refused_by_its_name(load: Callable[..., Ask]) -> None:
    # GIVEN a table of numbers, one column of which is cast to the index of an embedding
    place = helper.make_tensor("place", INT64, [], [1])
    nodes = (
        node("Gather", ["x", "place"], ["column"], axis=1),
        node("Cast", ["column"], ["i"], to=INT64),
        node("Gather", ["table", "i"], ["y"]),
    )
    ask = load(graph({"x": (FLOAT, [None, 2])}, *nodes, weights=[place]), {"x": "pq"})

    def send(*rows: list[float]) -> tuple[int, Any]:
        return ask("/invocations", {"instances": list(rows)})

    # WHEN its fraction leads into the table THEN it is answered, as the other column always is
    assert send([99.0, 2.75], [-99.0, -3.75]) == (200, {"predictions": [3.0, 1.0]})
    # WHEN it leads out of it THEN it is refused
    error = "input 'x': data[1][1] (column 'q'): Expected an index from -3 to 2"
    assert send([0.0, 0.0], [0.0, 3.0]) == (400, {"error": error})
    assert send([0.0, 0.0], [0.0, -4.0]) == (400, {"error": error})


def test_nan_for_an_index_is_the_callers_mistake(load: Callable[..., Ask]) -> None:
    model = graph(
        {"x": (FLOAT, [None])},
        node("Cast", ["x"], ["i"], to=INT64),
        node("Gather", ["table", "i"], ["y"]),
    )

    status, answer = ask_bytes(load(model), *as_binary([0.0, np.nan], "<f4"))

    assert status == 400
    assert answer["error"].startswith("input 'x' has NaN for an index, and the model failed")


ENCODER = node(
    "OneHotEncoder", ["x"], ["y"], domain="ai.onnx.ml", cats_strings=["DE", "FR"], zeros=0
)


def test_a_category_that_the_model_does_not_know_is_the_callers_mistake(
    load: Callable[..., Ask], capfd: pytest.CaptureFixture[str]
) -> None:
    ask = load(graph({"x": (TEXT, [None, 1])}, ENCODER))

    assert ask("/invocations", {"instances": ["DE", "FR"]})[0] == 200
    status, answer = ask("/invocations", {"instances": ["DE", "s3cret"]})

    assert status == 400
    assert answer["error"].startswith("input 'x': data[1][0]: Expected one of 2 categories, and ")
    assert "s3cret" not in capfd.readouterr().out
    # AND they are told
    _, metadata = ask("/v2/models/tiny", "", method="GET")
    assert metadata["inputs"][0]["categories"] == ["DE", "FR"]
    assert describe_element(ask) == {"enum": ["DE", "FR"]}


@pytest.mark.parametrize(
    ("model", "data"),
    [
        (graph({"x": (TEXT, [None, 1])}, ENCODER), ["DE"]),
        (graph({"x": (TEXT, [None])}, node("Identity", ["x"], ["y"]), output=TEXT), [""]),
        (graph(INDEX, LOOK_UP), [0, 0]),
    ],
)
def test_the_example_is_one_that_the_model_answers(
    load: Callable[..., Ask], model: ModelProto, data: list[Any]
) -> None:
    model.graph.output[0].type.tensor_type.elem_type = TensorProto.STRING if data == [""] else FLOAT
    ask = load(model)
    example = describe_request(ask)["example"]

    assert example["inputs"][0]["data"] == data
    assert ask(INFER, example)[0] == 200


def test_people_and_tools_learn_the_range(load: Callable[..., Ask]) -> None:
    ask = load(graph(INDEX, LOOK_UP))

    _, metadata = ask("/v2/models/tiny", "", method="GET")

    assert metadata["inputs"] == [
        {"name": "x", "datatype": "INT64", "shape": [-1, 2], "index_range": [-3, 2]}
    ]
    assert describe_element(ask) == {"type": "integer", "minimum": -3, "maximum": 2}


def test_the_range_of_a_number_with_a_fraction_is_open(load: Callable[..., Ask]) -> None:
    cast = node("Cast", ["x"], ["i"], to=INT64)
    ask = load(graph({"x": (FLOAT, [None])}, cast, node("Gather", ["table", "i"], ["y"])))

    assert describe_element(ask) == {
        "type": "number",
        "exclusiveMinimum": -4,
        "exclusiveMaximum": 3,
    }


def describe_request(ask: Ask) -> Any:
    """Return what OpenAPI says of an inference request."""
    _, page = ask("/openapi.json", "", method="GET")
    operation = page["paths"]["/v2/models/{name}/infer"]["post"]
    return operation["requestBody"]["content"]["application/json"]


def describe_element(ask: Ask) -> Any:
    """Return what OpenAPI says of an element of the first input."""
    schema = describe_request(ask)["schema"]
    described = schema["properties"]["inputs"]["items"]["anyOf"][0]
    return described["properties"]["data"]["items"]["anyOf"][0]
