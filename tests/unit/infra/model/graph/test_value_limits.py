"""values.py: from the graph alone, and never against a value that the model takes."""

import inspect
import math
from collections.abc import Sequence
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnxruntime
import pytest
from onnx import ModelProto, NodeProto, TensorProto, helper

from infra.model.graph.graph import read_graph
from serving.errors import InferenceError, RequestError
from serving.manifest import Manifest
from serving.model import Model
from serving.tensors import DATATYPES

ML, MICROSOFT = "ai.onnx.ml", "com.microsoft"
ROWS, WIDTH = 5, 3  # of the table

type Shape = Sequence[int | str | None]

TABLE = helper.make_tensor("table", TensorProto.FLOAT, [ROWS, WIDTH], range(ROWS * WIDTH))
SHORT_TABLE = helper.make_tensor("short", TensorProto.FLOAT, [2, WIDTH], range(2 * WIDTH))
SCALES = helper.make_tensor("scale", TensorProto.FLOAT, [], [0.5])
BYTES = helper.make_tensor("bytes", TensorProto.UINT8, [ROWS, WIDTH], range(ROWS * WIDTH))
NORMS = [
    helper.make_tensor(name, TensorProto.FLOAT, [WIDTH], [1.0] * WIDTH)
    for name in ("gamma", "beta")
]

node = helper.make_node
LOOK_UP = node("Gather", ["table", "i"], ["y"])


def ints(name: str, *numbers: int) -> TensorProto:
    return helper.make_tensor(name, TensorProto.INT64, [len(numbers)], numbers)


def one(name: str, number: int) -> TensorProto:
    return helper.make_tensor(name, TensorProto.INT64, [], [number])


def graph(
    *nodes: NodeProto,
    kind: int = TensorProto.INT64,
    shape: Shape = (None, 2),
    weights: Sequence[TensorProto] = (),
    others: Sequence[Any] = (),
    opset: int = 17,
) -> ModelProto:
    """Make a model of one input, x, whose output is y."""
    made = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", kind, shape), *others],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [TABLE, SHORT_TABLE, SCALES, BYTES, *NORMS, *weights],
    )
    opsets = [helper.make_opsetid(*one) for one in (("", opset), (ML, 3), (MICROSOFT, 1))]
    return helper.make_model(made, opset_imports=opsets, ir_version=8)


def embed_layer_norm() -> NodeProto:
    names = ["i", "", "table", "short", "", "gamma", "beta"]
    return node("EmbedLayerNormalization", names, ["y", "mask"], domain=MICROSOFT)


ALL = {"index_range": [-ROWS, ROWS - 1]}
NONE: dict[str, Any] = {}


def encoder(source: str, output: str, **attributes: Any) -> NodeProto:
    return node("OneHotEncoder", [source], [output], domain=ML, **attributes)


def columns(*ranges: list[int] | None) -> dict[str, Any]:
    return {"column_index_ranges": list(ranges)}


FULL, FEW = [-ROWS, ROWS - 1], [-2, 1]
KEEP = {
    "Identity": node("Identity", ["x"], ["i"]),
    "Reshape": node("Reshape", ["x", "flat"], ["i"]),
    "Squeeze": node("Squeeze", ["x"], ["i"]),
    "Unsqueeze": node("Unsqueeze", ["x", "first"], ["i"]),
    "Flatten": node("Flatten", ["x"], ["i"]),
    "Transpose": node("Transpose", ["x"], ["i"]),
    "Concat": node("Concat", ["x", "x"], ["i"], axis=0),
    "Cast": node("Cast", ["x"], ["i"], to=TensorProto.INT64),
}
PLACES = [ints("flat", -1), ints("first", 0), ints("second", 1), one("place", 1), ints("two", 2)]

CASES: dict[str, tuple[ModelProto, dict[str, Any]]] = {
    # What looks up
    "Gather": (graph(node("Gather", ["table", "x"], ["y"])), ALL),
    "Gather of version 1": (graph(node("Gather", ["table", "x"], ["y"]), opset=8), ALL),
    "Gather of the last axis": (
        graph(node("Gather", ["table", "x"], ["y"], axis=-1)),
        {"index_range": [-WIDTH, WIDTH - 1]},
    ),
    "GatherElements": (graph(node("GatherElements", ["table", "x"], ["y"])), ALL),
    "ScatterElements": (
        graph(
            node("Cast", ["x"], ["u"], to=TensorProto.FLOAT),
            node("ScatterElements", ["table", "x", "u"], ["y"]),
        ),
        ALL,
    ),
    "GatherND": (
        graph(node("GatherND", ["table", "x"], ["y"])),
        columns(FULL, [-WIDTH, WIDTH - 1]),
    ),
    "GatherND of one": (graph(node("GatherND", ["table", "x"], ["y"]), shape=[None, 1]), ALL),
    "GatherND of tuples of any length": (
        graph(node("GatherND", ["table", "x"], ["y"]), shape=[None, None]),
        ALL,  # the second of two may be as large as the first
    ),
    "ArrayFeatureExtractor": (
        graph(node("ArrayFeatureExtractor", ["table", "x"], ["y"], domain=ML), shape=[None]),
        {"index_range": [0, WIDTH - 1]},
    ),
    "EmbedLayerNormalization": (
        graph(
            node("Cast", ["x"], ["i"], to=TensorProto.INT32),
            embed_layer_norm(),
            kind=TensorProto.INT16,
        ),
        {"index_range": [0, ROWS - 1]},
    ),
    # What is looked up in
    "a Constant": (
        graph(node("Constant", [], ["t"], value=TABLE), node("Gather", ["t", "x"], ["y"])),
        ALL,
    ),
    "a list that is a Constant": (
        graph(
            node("Constant", [], ["t"], value_floats=[1.0, 2.0]),
            node("Gather", ["t", "x"], ["y"]),
        ),
        {"index_range": FEW},
    ),
    "a transposed table": (
        graph(node("Transpose", ["table"], ["t"]), node("Gather", ["t", "x"], ["y"])),
        {"index_range": [-WIDTH, WIDTH - 1]},
    ),
    "a quantized table": (
        graph(
            node("DequantizeLinear", ["bytes", "scale"], ["t"]), node("Gather", ["t", "x"], ["y"])
        ),
        ALL,
    ),
    "an input of a fixed length": (
        graph(
            node("Gather", ["other", "x"], ["y"]),
            others=[helper.make_tensor_value_info("other", TensorProto.FLOAT, [4, None])],
        ),
        {"index_range": [-4, 3]},
    ),
    "an input of any length": (
        graph(
            node("Gather", ["other", "x"], ["y"]),
            others=[helper.make_tensor_value_info("other", TensorProto.FLOAT, [None, 4])],
        ),
        NONE,
    ),
    "an optional input of any length": (
        graph(
            node("Gather", ["table", "x"], ["y"]),
            others=[helper.make_tensor_value_info("table", TensorProto.FLOAT, [None, WIDTH])],
        ),
        NONE,
    ),
    "two tables": (
        graph(
            node("Gather", ["table", "x"], ["a"]),
            node("Gather", ["short", "x"], ["b"]),
            node("Add", ["a", "b"], ["y"]),
        ),
        {"index_range": FEW},
    ),
    # What an input goes through
    **{
        f"{name} before": (graph(before, LOOK_UP, weights=PLACES, shape=[None, 2]), ALL)
        for name, before in KEEP.items()
    },
    "an offset": (graph(node("Add", ["x", "two"], ["i"]), LOOK_UP, weights=PLACES), NONE),
    "a limit": (graph(node("Clip", ["x"], ["i"]), LOOK_UP), NONE),
    # Casts
    "INT32": (graph(node("Gather", ["table", "x"], ["y"]), kind=TensorProto.INT32), ALL),
    **{
        f"{TensorProto.DataType.Name(kind)} to {TensorProto.DataType.Name(to)}": (
            graph(node("Cast", ["x"], ["i"], to=to), LOOK_UP, kind=kind),
            found,
        )
        for kind, to, found in (
            (TensorProto.INT8, TensorProto.INT32, ALL),
            (TensorProto.INT32, TensorProto.INT64, ALL),
            (TensorProto.UINT8, TensorProto.INT32, ALL),
            (TensorProto.UINT32, TensorProto.INT64, ALL),
            (TensorProto.FLOAT16, TensorProto.INT64, ALL),
            (TensorProto.FLOAT, TensorProto.INT32, ALL),
            (TensorProto.FLOAT, TensorProto.INT64, ALL),
            (TensorProto.DOUBLE, TensorProto.INT32, ALL),
            (TensorProto.DOUBLE, TensorProto.INT64, ALL),
            # The upper bits are lost: 2**32 is 0, and the largest UINT64 is -1.
            (TensorProto.INT64, TensorProto.INT32, NONE),
            (TensorProto.UINT32, TensorProto.INT32, NONE),
            (TensorProto.UINT64, TensorProto.INT64, NONE),
            (TensorProto.BOOL, TensorProto.INT64, NONE),
        )
    },
    "rounded to FLOAT16": (
        graph(
            node("Cast", ["x"], ["h"], to=TensorProto.FLOAT16),
            node("Cast", ["h"], ["i"], to=TensorProto.INT64),
            LOOK_UP,
            kind=TensorProto.FLOAT,
        ),
        NONE,  # 4.9999 becomes 5
    ),
    "FLOAT to DOUBLE to INT32 to INT64": (
        graph(
            node("Cast", ["x"], ["d"], to=TensorProto.DOUBLE),
            node("Cast", ["d"], ["s"], to=TensorProto.INT32),
            node("Cast", ["s"], ["i"], to=TensorProto.INT64),
            LOOK_UP,
            kind=TensorProto.FLOAT,
        ),
        ALL,
    ),
    # Columns
    "a column by Gather": (
        graph(node("Gather", ["x", "place"], ["i"], axis=1), LOOK_UP, weights=PLACES),
        columns(None, FULL),
    ),
    "a column by Gather, from the end": (
        graph(node("Gather", ["x", "end"], ["i"], axis=-1), LOOK_UP, weights=[one("end", -2)]),
        columns(FULL, None),
    ),
    "a column by Slice": (
        graph(node("Slice", ["x", "second", "two", "second"], ["i"]), LOOK_UP, weights=PLACES),
        columns(None, FULL),
    ),
    "a column by Slice of version 1": (
        graph(node("Slice", ["x"], ["i"], axes=[1], starts=[0], ends=[1]), LOOK_UP, opset=9),
        columns(FULL, None),
    ),
    "columns by Slice, backwards": (
        graph(
            node("Slice", ["x", "from", "to", "axis", "step"], ["i"]),
            LOOK_UP,
            shape=[None, 4],
            weights=[ints("from", -1), ints("to", -(2**40)), ints("axis", -1), ints("step", -2)],
        ),
        columns(None, FULL, None, FULL),
    ),
    "rows by Slice": (
        graph(node("Slice", ["x", "first", "second", "first"], ["i"]), LOOK_UP, weights=PLACES),
        NONE,
    ),
    "a column by ArrayFeatureExtractor, of numbers with fractions": (
        graph(
            node("ArrayFeatureExtractor", ["x", "second"], ["f"], domain=ML),
            node("Cast", ["f"], ["i"], to=TensorProto.INT64),
            LOOK_UP,
            kind=TensorProto.FLOAT,
            weights=PLACES,
        ),
        columns(None, FULL),
    ),
    "columns by Split": (
        graph(
            node("Split", ["x"], ["i", "j"], axis=1),
            node("Gather", ["table", "i"], ["a"]),
            node("Gather", ["short", "j"], ["b"]),
            node("Add", ["a", "b"], ["y"]),
        ),
        columns(FULL, FEW),
    ),
    "columns by Split into sizes": (
        graph(
            node("Split", ["x", "sizes"], ["k", "i"], axis=1),
            LOOK_UP,
            shape=[None, 3],
            weights=[ints("sizes", 2, 1)],
        ),
        columns(None, None, FULL),
    ),
    "columns of columns, of a tensor": (
        graph(
            node("Slice", ["x", "second", "far", "two"], ["s"]),
            node("Cast", ["s"], ["c"], to=TensorProto.INT64),
            node("Gather", ["c", "place"], ["i"], axis=2),
            LOOK_UP,
            shape=[None, 2, 4],
            kind=TensorProto.FLOAT,
            weights=[*PLACES, ints("far", 9)],
        ),
        columns(None, None, FULL, None),
    ),
    "a column that is rearranged before": (
        graph(
            node("Transpose", ["x"], ["t"]),
            node("Gather", ["t", "place"], ["i"], axis=1),
            LOOK_UP,
            weights=PLACES,
        ),
        NONE,
    ),
    "all columns, and one of a short table": (
        graph(
            node("Gather", ["table", "x"], ["a"]),
            node("Gather", ["x", "place"], ["i"], axis=1),
            node("Gather", ["short", "i"], ["b"]),
            node("ReduceSum", ["a"], ["c"], keepdims=0),
            node("Add", ["b", "c"], ["y"]),
            weights=PLACES,
        ),
        columns(FULL, FEW),
    ),
    # Categories
    "categories that are numbers": (
        graph(encoder("x", "y", cats_int64s=[0, 3], zeros=0)),
        {"categories": [0, 3]},
    ),
    "categories of numbers with fractions": (
        graph(encoder("x", "y", cats_int64s=[0, 3], zeros=0), kind=TensorProto.FLOAT),
        {"categories": [0, 3]},
    ),
    "categories that are text": (
        graph(encoder("x", "y", cats_strings=["a", "b"], zeros=0), kind=TensorProto.STRING),
        {"categories": ["a", "b"]},
    ),
    "categories of a column": (
        graph(
            node("ArrayFeatureExtractor", ["x", "second"], ["i"], domain=ML),
            encoder("i", "y", cats_strings=["a", "b"], zeros=0),
            kind=TensorProto.STRING,
            weights=PLACES,
        ),
        {"column_categories": [None, ["a", "b"]]},
    ),
    "categories of two encoders": (
        graph(
            encoder("x", "one", cats_int64s=[0, 3, 5], zeros=0),
            encoder("x", "two", cats_int64s=[5, 0, 4], zeros=0),
            node("Add", ["one", "two"], ["y"]),
        ),
        {"categories": [5, 0]},
    ),
    "no category that both encoders know": (
        graph(
            encoder("x", "one", cats_int64s=[0, 3], zeros=0),
            encoder("x", "two", cats_int64s=[4, 5], zeros=0),
            node("Add", ["one", "two"], ["y"]),
        ),
        NONE,
    ),
    "categories and others": (graph(encoder("x", "y", cats_int64s=[0, 3], zeros=1)), NONE),
    "categories and, by default, others": (graph(encoder("x", "y", cats_int64s=[0, 3])), NONE),
    # What need not run, or need not be computed
    "only the shape is used": (
        graph(
            node("Gather", ["table", "x"], ["t"]),
            node("Shape", ["t"], ["s"]),
            node("Cast", ["s"], ["y"], to=TensorProto.FLOAT),
            shape=[2, 2],
        ),
        NONE,
    ),
    "nothing is used": (
        graph(node("Gather", ["table", "x"], ["t"]), node("Cast", ["x"], ["y"], to=1)),
        NONE,
    ),
}

VALUES = [*range(-2 * ROWS, 2 * ROWS), 2**31, 2**32, 2**32 - 1, 2**33 + 2, -(2**32), 2**63 - 1]
VALUES += [2**64 - 1, -(2**63)]
FRACTIONS = [n + part for n in range(-ROWS - 2, ROWS + 2) for part in (0.0, 0.25, 0.9999)]
FRACTIONS += [1e10, 2.0**32, 2.0**63, 2.0**64, -1e30, np.inf, -np.inf]
TEXTS = ["a", "b", "", "A", "\u00e4"]


def describe(model: ModelProto, folder: Path) -> dict[str, dict[str, Any]]:
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    found = inspect.unwrap(read_graph)(path)  # here a process for each would be too many
    assert not found.problems
    return {one["name"]: one for one in found.inputs}


def limits(tensor: dict[str, Any]) -> dict[str, Any]:
    return {
        key: value for key, value in tensor.items() if "index_range" in key or "categories" in key
    }


@pytest.mark.parametrize("case", CASES)
def test_the_graph_shows_which_values_an_input_can_have(tmp_path: Path, case: str) -> None:
    model, expected = CASES[case]

    assert limits(describe(model, tmp_path)["x"]) == expected


class Trial:
    """A model with the contract that its graph tells, and onnxruntime alone."""

    def __init__(self, model: ModelProto, folder: Path) -> None:
        described = describe(model, folder)
        self.tensor = described.pop("x")
        self.others = {
            name: np.ones([abs(length) for length in one["shape"]], np.float32)
            for name, one in described.items()
            if not one.get("optional")
        }
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        self.session = onnxruntime.InferenceSession(model.SerializeToString(), options)
        fields = {"shape": [-1], "datatype": "FP32"}
        self.model = Model(
            msgspec.convert(
                {
                    "schema": 1,
                    "name": "tiny",
                    "version": "1",
                    "files": {"model.onnx": "0" * 64},
                    "inputs": [self.tensor, *described.values()],
                    "outputs": [{"name": "y"} | fields],
                },
                Manifest,
            ),
            self.session,
        )

    def fill(self, place: int, value: Any, dtype: np.dtype[Any]) -> dict[str, Any] | None:
        """Make inputs of zeros or "a", but for one element; None if that cannot be `value`."""
        shape = [2 if length < 0 else length for length in self.tensor["shape"]]
        array = np.full(shape, "a" if dtype.kind == "O" else 0, dtype)
        with np.errstate(all="ignore"):
            try:
                array[np.unravel_index(place, array.shape)] = value
            except OverflowError:
                return None
        return {"x": array, **self.others}

    def answers(self, inputs: dict[str, Any]) -> bool:
        """Ask onnxruntime."""
        try:
            self.session.run(None, inputs)
        except Exception:  # onnxruntime's errors have no common base but Exception
            return False
        return True

    def refuses(self, inputs: dict[str, Any]) -> bool:
        """Ask our model whether it is the caller's mistake."""
        try:
            self.model.predict(self.model.check(inputs))
        except RequestError as error:
            return "Expected " in str(error)
        except InferenceError:
            pass
        return False


# Where a value may be one that the model refuses, and nothing shows it beforehand.
VAGUE = {"GatherND of tuples of any length"}


@pytest.mark.parametrize("case", CASES)
def test_a_value_is_refused_only_if_onnxruntime_fails_on_it(tmp_path: Path, case: str) -> None:
    model, expected = CASES[case]
    trial = Trial(model, tmp_path)
    dtype = DATATYPES[trial.tensor["datatype"]].dtype
    by_kind: dict[str, list[Any]] = {"f": FRACTIONS, "O": TEXTS}
    values = by_kind.get(dtype.kind, VALUES)
    size = abs(math.prod(2 if n < 0 else n for n in trial.tensor["shape"]))

    for place, value in product(range(size), values):
        inputs = trial.fill(place, value, dtype)
        if inputs is None:
            continue
        answered, refused = trial.answers(inputs), trial.refuses(inputs)
        assert not (answered and refused), (place, value)
        if expected and case not in VAGUE:
            assert answered or refused, (place, value)


BRANCH = helper.make_graph(
    [node("Gather", ["table", "x"], ["then"])],
    "then",
    [],
    [helper.make_tensor_value_info("then", TensorProto.FLOAT, None)],
)
CHOICE = helper.make_tensor_value_info("choice", TensorProto.BOOL, [])


def with_function() -> ModelProto:
    """Look x up in a function that has the name of an operator."""
    model = graph(node("Gather", ["table", "x"], ["y"]))
    body = [node("Add", ["one", "other"], ["sum"])]
    opsets = [helper.make_opsetid("", 17)]
    model.functions.append(
        helper.make_function("", "Gather", ["one", "other"], ["sum"], body, opsets)
    )
    return model


def doubled(times: int) -> ModelProto:
    """Concatenate x with itself, and the result with itself, and so on."""
    names = ["x", *(f"c{i}" for i in range(times))]
    joins = [node("Concat", [a, a], [b], axis=0) for a, b in pairwise(names)]
    return graph(*joins, node("Gather", ["table", names[-1]], ["y"]))


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        pytest.param(
            graph(
                node("If", ["choice"], ["y"], then_branch=BRANCH, else_branch=BRANCH),
                others=[CHOICE],
            ),
            NONE,
            id="a branch",
        ),
        pytest.param(with_function(), NONE, id="a function"),
        pytest.param(doubled(40), ALL, id="an exponential number of sources"),
        pytest.param(graph(node("Gather", ["table"], ["y"])), NONE, id="no indices"),
        pytest.param(graph(node("Gather", ["table", "x"], [])), NONE, id="no output"),
        pytest.param(graph(node("Identity", ["x"], []), LOOK_UP), NONE, id="no value"),
        pytest.param(graph(node("Gather", ["table", "x"], ["y"], axis=7)), NONE, id="no axis"),
        pytest.param(
            graph(
                node("Slice", ["x", "second", "two", "second", "zero"], ["i"]),
                LOOK_UP,
                weights=[*PLACES, ints("zero", 0)],
            ),
            NONE,
            id="a step of nothing",
        ),
        pytest.param(
            graph(
                node("Slice", ["x", "first", "two", "second", "given"], ["i"]),
                LOOK_UP,
                weights=PLACES,
                others=[helper.make_tensor_value_info("given", TensorProto.INT64, [1])],
            ),
            NONE,
            id="a step that a request brings",
        ),
        pytest.param(
            graph(
                node("Split", ["x", "given"], ["i", "j"], axis=1),
                LOOK_UP,
                others=[helper.make_tensor_value_info("given", TensorProto.INT64, [2])],
            ),
            NONE,
            id="sizes that a request brings",
        ),
        pytest.param(
            graph(
                node("Gather", ["x", "places"], ["i"], axis=1),
                LOOK_UP,
                weights=[
                    TensorProto(name="places", data_type=TensorProto.INT64, dims=[9], raw_data=b"1")
                ],
            ),
            NONE,
            id="a constant of other lengths than it says",
        ),
        pytest.param(
            graph(node("Gather", ["table", "x"], ["y"]), shape=[None, 2**30]),
            ALL,
            id="columns beyond memory",
        ),
        pytest.param(
            graph(
                node("Gather", ["none", "x"], ["y"]),
                weights=[TensorProto(name="none", data_type=TensorProto.FLOAT, dims=[0, 2])],
            ),
            NONE,
            id="a table without rows",
        ),
    ],
)
def test_what_is_not_certain_has_no_range(
    tmp_path: Path, model: ModelProto, expected: dict[str, Any]
) -> None:
    assert limits(describe(model, tmp_path)["x"]) == expected


ZERO, UNIT = one("zero", 0), one("unit", 1)
BODY = helper.make_graph(
    [node("Identity", ["c"], ["d"]), node("Identity", ["s"], ["t"])],
    "body",
    [
        helper.make_tensor_value_info("k", TensorProto.INT64, []),
        helper.make_tensor_value_info("c", TensorProto.BOOL, []),
        helper.make_tensor_value_info("s", TensorProto.FLOAT, [1]),
    ],
    [
        helper.make_tensor_value_info("d", TensorProto.BOOL, []),
        helper.make_tensor_value_info("t", TensorProto.FLOAT, [1]),
    ],
)
START = helper.make_tensor("start", TensorProto.FLOAT, [1], [0.0])
TRUE = helper.make_tensor("true", TensorProto.BOOL, [], [True])
RANGE_OF_FLOATS = node("Cast", ["r"], ["y"], to=TensorProto.FLOAT)
SIZES: dict[str, tuple[ModelProto, bool]] = {
    "ConstantOfShape": (graph(node("ConstantOfShape", ["x"], ["y"]), shape=[2]), True),
    "after a cast": (
        graph(
            node("Cast", ["x"], ["i"], to=TensorProto.INT64),
            node("ConstantOfShape", ["i"], ["y"]),
            kind=TensorProto.INT32,
            shape=[2],
        ),
        True,
    ),
    "one of two sizes": (
        graph(
            node("Concat", ["x", "two"], ["i"], axis=0),
            node("ConstantOfShape", ["i"], ["y"]),
            shape=[1],
            weights=PLACES,
        ),
        True,
    ),
    "Expand": (graph(node("Expand", ["scale", "x"], ["y"]), shape=[None]), True),
    "Tile": (graph(node("Tile", ["table", "x"], ["y"]), shape=[2]), True),
    "Resize": (graph(node("Resize", ["table", "", "", "x"], ["y"]), shape=[2]), True),
    "Range": (
        graph(
            node("Range", ["zero", "x", "unit"], ["r"]),
            RANGE_OF_FLOATS,
            shape=[],
            weights=[ZERO, UNIT],
        ),
        True,
    ),
    "Range from anywhere": (
        graph(node("Range", ["x", "x", "unit"], ["r"]), RANGE_OF_FLOATS, shape=[], weights=[UNIT]),
        False,
    ),
    "Loop": (
        graph(node("Loop", ["x", "", "start"], ["y"], body=BODY), shape=[], weights=[START]),
        True,
    ),
    "Loop with an end of its own": (
        graph(
            node("Loop", ["x", "true", "start"], ["y"], body=BODY),
            shape=[],
            weights=[START, TRUE],
        ),
        False,
    ),
    "a column alone": (
        graph(
            node("Gather", ["x", "flat"], ["i"], axis=0),
            node("ConstantOfShape", ["i"], ["y"]),
            shape=[2],
            weights=PLACES,
        ),
        False,
    ),
    "a shape to which nothing is added": (
        graph(node("Reshape", ["scale", "x"], ["y"]), shape=[None]),
        False,
    ),
}


@pytest.mark.parametrize("case", SIZES)
def test_the_graph_shows_which_inputs_are_sizes(tmp_path: Path, case: str) -> None:
    model, expected = SIZES[case]

    assert describe(model, tmp_path)["x"].get("sizes", False) == expected
