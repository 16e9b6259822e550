"""Tiny real ONNX models, packaged with their model.json as a model layer is."""

import hashlib
import json
from pathlib import Path
from typing import Any

from onnx import ModelProto, TensorProto, helper, save

DATATYPES = {
    "BF16": TensorProto.BFLOAT16,
    "BOOL": TensorProto.BOOL,
    "UINT8": TensorProto.UINT8,
    "UINT16": TensorProto.UINT16,
    "UINT32": TensorProto.UINT32,
    "UINT64": TensorProto.UINT64,
    "INT8": TensorProto.INT8,
    "INT16": TensorProto.INT16,
    "INT32": TensorProto.INT32,
    "INT64": TensorProto.INT64,
    "FP16": TensorProto.FLOAT16,
    "FP32": TensorProto.FLOAT,
    "FP64": TensorProto.DOUBLE,
    "BYTES": TensorProto.STRING,
}


CITIES = ["Graz", "Wien"]
CLASSES = ["setosa", "versicolor", "virginica"]


def logistic() -> ModelProto:
    """scores = sigmoid(features . [0.1, -0.2, 0.3, 0.05]); features FP32 [-1, 4]."""
    nodes = [
        helper.make_node("MatMul", ["features", "weights"], ["sum"]),
        helper.make_node("Sigmoid", ["sum"], ["scores"]),
    ]
    weights = helper.make_tensor("weights", TensorProto.FLOAT, [4, 1], [0.1, -0.2, 0.3, 0.05])
    return _model(
        nodes, {"features": ("FP32", [None, 4])}, {"scores": ("FP32", [None, 1])}, [weights]
    )


def identity(datatype: str, shape: list[int | None]) -> ModelProto:
    """y = x, of any datatype and shape."""
    nodes = [helper.make_node("Identity", ["x"], ["y"])]
    return _model(nodes, {"x": (datatype, shape)}, {"y": (datatype, shape)})


def identities(shapes: dict[str, list[int | None]]) -> ModelProto:
    """y_T = x_T for each datatype T."""
    nodes = [helper.make_node("Identity", [f"x_{name}"], [f"y_{name}"]) for name in shapes]
    return _model(
        nodes,
        {f"x_{name}": (name, shape) for name, shape in shapes.items()},
        {f"y_{name}": (name, shape) for name, shape in shapes.items()},
    )


def logarithm() -> ModelProto:
    """y = log(x): NaN below zero, minus infinity at zero."""
    nodes = [helper.make_node("Log", ["x"], ["y"])]
    return _model(nodes, {"x": ("FP32", [None])}, {"y": ("FP32", [None])})


def quotient() -> ModelProto:
    """y = x / b, where b is an optional input that is 10 if it is not given."""
    b = helper.make_tensor("b", TensorProto.FLOAT, [1], [10.0])
    nodes = [helper.make_node("Div", ["x", "b"], ["y"])]
    inputs: dict[str, tuple[str, list[int | None]]] = {"x": ("FP32", [None]), "b": ("FP32", [1])}
    return _model(nodes, inputs, {"y": ("FP32", [None])}, [b])


def is_nan() -> ModelProto:
    """y = whether x is NaN."""
    nodes = [helper.make_node("IsNaN", ["x"], ["y"])]
    return _model(nodes, {"x": ("FP32", [None])}, {"y": ("BOOL", [None])})


def gather() -> ModelProto:
    """y = [1, 2, 3][x]: fails inside onnxruntime for an index that is out of range."""
    table = helper.make_tensor("table", TensorProto.FLOAT, [3], [1.0, 2.0, 3.0])
    nodes = [helper.make_node("Gather", ["table", "x"], ["y"])]
    return _model(nodes, {"x": ("INT64", [None])}, {"y": ("FP32", [None])}, [table])


def recurrent(operator: str) -> ModelProto:
    """y = the last state of a GRU or LSTM; x FP32 [sequence, batch, 2]."""
    size, gates = 3, {"GRU": 3, "LSTM": 4}[operator]
    weights = [
        helper.make_tensor(
            name, TensorProto.FLOAT, [1, gates * size, columns], [0.1] * gates * size * columns
        )
        for name, columns in (("W", 2), ("R", size))
    ]
    node = helper.make_node(operator, ["x", "W", "R"], ["", "y"], hidden_size=size)
    return _model(
        [node], {"x": ("FP32", [None, None, 2])}, {"y": ("FP32", [1, None, size])}, weights
    )


def positions(length: int) -> ModelProto:
    """y = x + the first of `length` positions, as transformers have it; x FP32 [rows, length]."""
    table = helper.make_tensor("table", TensorProto.FLOAT, [length], range(length))
    zero = helper.make_tensor("zero", TensorProto.INT64, [1], [0])
    nodes = [
        helper.make_node("Shape", ["x"], ["columns"], start=1),
        helper.make_node("Slice", ["table", "zero", "columns"], ["positions"]),
        helper.make_node("Add", ["x", "positions"], ["y"]),
    ]
    shapes: list[int | None] = [None, None]
    return _model(nodes, {"x": ("FP32", shapes)}, {"y": ("FP32", shapes)}, [table, zero])


def reshape() -> ModelProto:
    """y = the pairs of x; x FP32 [rows, length], where length must be even."""
    pairs = helper.make_tensor("pairs", TensorProto.INT64, [3], [0, -1, 2])
    nodes = [helper.make_node("Reshape", ["x", "pairs"], ["y"])]
    return _model(nodes, {"x": ("FP32", [None, None])}, {"y": ("FP32", [None, None, 2])}, [pairs])


def linear_classifier() -> ModelProto:
    """Three classes of four features as skl2onnx exports them: it ends with a ZipMap."""
    rows = [[0.4, 1.4, -2.2, -1.0], [0.4, -1.6, 0.6, -1.4], [-1.7, -1.5, 2.4, 2.5]]
    linear = helper.make_node(
        "LinearClassifier",
        ["X"],
        ["label", "scores"],
        domain="ai.onnx.ml",
        classlabels_strings=CLASSES,
        coefficients=[number for row in rows for number in row],
        intercepts=[0.2, 1.0, -1.2],
        multi_class=1,
        post_transform="SOFTMAX",
    )
    return _classifier([linear], TensorProto.STRING, {"classlabels_strings": CLASSES})


def tree_classifier() -> ModelProto:
    """Two classes by a tree of one split, at X[0] = 0.5; the labels are integers."""
    tree = helper.make_node(
        "TreeEnsembleClassifier",
        ["X"],
        ["label", "scores"],
        domain="ai.onnx.ml",
        nodes_treeids=[0, 0, 0],
        nodes_nodeids=[0, 1, 2],
        nodes_featureids=[0, 0, 0],
        nodes_modes=["BRANCH_LEQ", "LEAF", "LEAF"],
        nodes_values=[0.5, 0.0, 0.0],
        nodes_truenodeids=[1, 0, 0],
        nodes_falsenodeids=[2, 0, 0],
        class_treeids=[0, 0, 0, 0],
        class_nodeids=[1, 1, 2, 2],
        class_ids=[0, 1, 0, 1],
        class_weights=[0.75, 0.25, 0.125, 0.875],
        classlabels_int64s=[0, 1],
        post_transform="NONE",
    )
    return _classifier([tree], TensorProto.INT64, {"classlabels_int64s": [0, 1]})


def customers() -> ModelProto:
    """An input for each column, as scikit-learn's pipelines have them; an unknown city is an error.

    score = log(amount) + visits; place is 1 in the column of the city; echo = note.
    """
    cities: dict[str, Any] = {"cats_strings": CITIES, "zeros": 0}
    nodes = [
        helper.make_node("Log", ["amount"], ["log"]),
        helper.make_node("Cast", ["visits"], ["count"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["log", "count"], ["score"]),
        helper.make_node("OneHotEncoder", ["city"], ["place"], domain="ai.onnx.ml", **cities),
        helper.make_node("Identity", ["note"], ["echo"]),
    ]
    inputs: dict[str, tuple[str, list[int | None]]] = {
        "amount": ("FP32", [None, 1]),
        "visits": ("INT64", [None, 1]),
        "city": ("BYTES", [None, 1]),
        "note": ("BYTES", [None, 1]),
    }
    outputs: dict[str, tuple[str, list[int | None]]] = {
        "score": ("FP32", [None, 1]),
        "place": ("FP32", [None, 1, 2]),
        "echo": ("BYTES", [None, 1]),
    }
    return _model(nodes, inputs, outputs)


def misdeclared() -> ModelProto:
    """Give `label`, `table` and `sums` of x other shapes than they have: onnxmltools' label is [1].

    label = x > 0.5 of the first column [rows]; table = x [rows, 4]; sums = of each row [rows].
    """
    zero = helper.make_tensor("zero", TensorProto.INT64, [], [0])
    half = helper.make_tensor("half", TensorProto.FLOAT, [], [0.5])
    nodes = [
        helper.make_node("Gather", ["x", "zero"], ["first"], axis=1),
        helper.make_node("Greater", ["first", "half"], ["label"]),
        helper.make_node("Relu", ["x"], ["table"]),
        helper.make_node("ReduceSum", ["x", "one"], ["sums"], keepdims=0),
    ]
    one = helper.make_tensor("one", TensorProto.INT64, [1], [1])
    outputs: dict[str, tuple[str, list[int | None]]] = {
        "label": ("BOOL", [1]),
        "table": ("FP32", [None, 5]),
        "sums": ("FP32", [None, 1]),
    }
    return _model(nodes, {"x": ("FP32", [None, 4])}, outputs, [zero, half, one])


def scaled() -> ModelProto:
    """y = x / divisor, which is 2 unless a request brings it."""
    nodes = [helper.make_node("Div", ["x", "divisor"], ["y"])]
    two = helper.make_tensor("divisor", TensorProto.FLOAT, [1], [2.0])
    inputs: dict[str, tuple[str, list[int | None]]] = {
        "x": ("FP32", [None, 2]),
        "divisor": ("FP32", [1]),
    }
    return _model(nodes, inputs, {"y": ("FP32", [None, 2])}, [two])


def normalizer(**attributes: Any) -> ModelProto:
    """y = x in lower case, as skl2onnx's text models begin: no locale is named."""
    named: dict[str, Any] = {"case_change_action": "LOWER", "is_case_sensitive": 0} | attributes
    nodes = [helper.make_node("StringNormalizer", ["x"], ["y"], **named)]
    return _model(nodes, {"x": ("BYTES", [None])}, {"y": ("BYTES", [None])})


def random() -> ModelProto:
    """y = x plus noise, other noise each time."""
    nodes = [
        helper.make_node("RandomUniformLike", ["x"], ["noise"]),
        helper.make_node("Add", ["x", "noise"], ["y"]),
    ]
    return _model(nodes, {"x": ("FP32", [None, 2])}, {"y": ("FP32", [None, 2])})


def deep(layers: int = 20) -> ModelProto:
    """Multiply x by constants that are computed from others, layer after layer."""
    nodes, weights, before = [], [], "x"
    for i in range(layers):
        after = "y" if i == layers - 1 else f"x{i}"
        weights.append(helper.make_tensor(f"w{i}", TensorProto.FLOAT, [4, 4], [0.25] * 16))
        nodes += [
            helper.make_node("Transpose", [f"w{i}"], [f"a{i}"]),
            helper.make_node("Add", [f"a{i}", f"w{i}"], [f"b{i}"]),
            helper.make_node("Sqrt", [f"b{i}"], [f"c{i}"]),
            helper.make_node("MatMul", [before, f"c{i}"], [f"d{i}"]),
            helper.make_node("Tanh", [f"d{i}"], [after]),
        ]
        before = after
    return _model(nodes, {"x": ("FP32", [None, 4])}, {"y": ("FP32", [None, 4])}, weights)


def endless() -> ModelProto:
    """y = x + 1 + 1 and so on, which never ends."""
    values = [
        helper.make_tensor_value_info("i", TensorProto.INT64, []),
        helper.make_tensor_value_info("before", TensorProto.BOOL, []),
        helper.make_tensor_value_info("v", TensorProto.FLOAT, [None]),
        helper.make_tensor_value_info("after", TensorProto.BOOL, []),
        helper.make_tensor_value_info("w", TensorProto.FLOAT, [None]),
    ]
    one = helper.make_tensor("one", TensorProto.FLOAT, [1], [1.0])
    body = [
        helper.make_node("Identity", ["before"], ["after"]),
        helper.make_node("Add", ["v", "one"], ["w"]),
    ]
    loop = helper.make_graph(body, "body", values[:3], values[3:], [one])
    yes = helper.make_tensor("yes", TensorProto.BOOL, [], [True])
    nodes = [helper.make_node("Loop", ["", "yes", "x"], ["y"], body=loop)]
    return _model(nodes, {"x": ("FP32", [None])}, {"y": ("FP32", [None])}, [yes])


def crashing_at_load() -> ModelProto:
    """Make onnxruntime 1.31 read beyond the inputs of a node while it infers shapes."""
    scalars = [
        helper.make_tensor("condition", TensorProto.BOOL, [], [True]),
        helper.make_tensor("byte", TensorProto.UINT8, [1], [0]),
        helper.make_tensor("scale", TensorProto.FLOAT, [], [0.0]),
        helper.make_tensor("none", TensorProto.FLOAT, [0], []),
    ]
    inputs = ["condition", "byte", "scale", "byte", "byte", "scale", "byte", "none", "byte"]
    nodes = [
        helper.make_node("QLinearWhere", inputs, ["z"], domain="com.microsoft"),
        helper.make_node("Relu", ["x"], ["y"]),
    ]
    return _model(nodes, {"x": ("FP32", [1])}, {"y": ("FP32", [1]), "z": ("UINT8", [1])}, scalars)


def crashing_at_run() -> ModelProto:
    """Make onnxruntime 1.31 read beyond an empty scale when it runs a node."""
    weights = [
        helper.make_tensor("bytes", TensorProto.UINT8, [4], [3] * 4),
        helper.make_tensor("scale", TensorProto.FLOAT, [1], [1.0]),
        helper.make_tensor("zero", TensorProto.UINT8, [1, 4, 8], [0] * 32),
        helper.make_tensor("empty", TensorProto.FLOAT, [0, 4], []),
        helper.make_tensor("one", TensorProto.UINT8, [1, 1, 4, 4], [1] * 16),
    ]
    names = [weight.name for weight in weights]
    nodes = [
        helper.make_node("QLinearSoftmax", names, ["z"], domain="com.microsoft", opset=1),
        helper.make_node("Relu", ["x"], ["y"]),
    ]
    return _model(nodes, {"x": ("FP32", [1])}, {"y": ("FP32", [1]), "z": ("UINT8", [4])}, weights)


def package(folder: Path, model: ModelProto, **fields: Any) -> Path:
    """Write model.onnx and a model.json that describes it, with `fields` put over it."""
    folder.mkdir(parents=True, exist_ok=True)
    save(model, folder / "model.onnx")
    manifest = {
        "schema": 1,
        "name": "tiny",
        "version": "1",
        "files": {"model.onnx": hashlib.sha256((folder / "model.onnx").read_bytes()).hexdigest()},
        "inputs": [_tensor(value) for value in model.graph.input],
        "outputs": [_tensor(value) for value in model.graph.output],
    }
    (folder / "model.json").write_text(json.dumps(manifest | fields))
    return folder


def _model(
    nodes: list[Any],
    inputs: dict[str, tuple[str, list[int | None]]],
    outputs: dict[str, tuple[str, list[int | None]]],
    weights: list[Any] | None = None,
) -> ModelProto:
    def values(tensors: dict[str, tuple[str, list[int | None]]]) -> list[Any]:
        return [
            helper.make_tensor_value_info(name, DATATYPES[datatype], shape)
            for name, (datatype, shape) in tensors.items()
        ]

    graph = helper.make_graph(nodes, "tiny", values(inputs), values(outputs), weights)
    opsets = [
        helper.make_opsetid("", 17),
        *(
            helper.make_opsetid(domain, version)
            for domain, version in (("ai.onnx.ml", 3), ("com.microsoft", 1))
            if any(node.domain == domain for node in nodes)
        ),
    ]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def _classifier(nodes: list[Any], label: int, classes: dict[str, Any]) -> ModelProto:
    """Normalize `scores`, make maps of them and name the outputs as skl2onnx does."""
    nodes = [
        *nodes,
        helper.make_node("Normalizer", ["scores"], ["rows"], domain="ai.onnx.ml", norm="L1"),
        helper.make_node("Identity", ["label"], ["output_label"]),
        helper.make_node(
            "ZipMap", ["rows"], ["output_probability"], domain="ai.onnx.ml", **classes
        ),
    ]
    model = _model(nodes, {"X": ("FP32", [None, 4])}, {}, [])
    maps = helper.make_map_type_proto(label, helper.make_tensor_type_proto(TensorProto.FLOAT, []))
    model.graph.output.extend(
        [
            helper.make_tensor_value_info("output_label", label, [None]),
            helper.make_value_info("output_probability", helper.make_sequence_type_proto(maps)),
        ]
    )
    return model


def _tensor(value: Any) -> dict[str, Any]:
    kind = value.type.tensor_type
    names = {number: name for name, number in DATATYPES.items()}
    shape = [d.dim_value if d.HasField("dim_value") else -1 for d in kind.shape.dim]
    return {"name": value.name, "datatype": names[kind.elem_type], "shape": shape}
