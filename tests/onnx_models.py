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


def is_nan() -> ModelProto:
    """y = whether x is NaN."""
    nodes = [helper.make_node("IsNaN", ["x"], ["y"])]
    return _model(nodes, {"x": ("FP32", [None])}, {"y": ("BOOL", [None])})


def gather() -> ModelProto:
    """y = [1, 2, 3][x]: fails inside onnxruntime for an index that is out of range."""
    table = helper.make_tensor("table", TensorProto.FLOAT, [3], [1.0, 2.0, 3.0])
    nodes = [helper.make_node("Gather", ["table", "x"], ["y"])]
    return _model(nodes, {"x": ("INT64", [None])}, {"y": ("FP32", [None])}, [table])


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
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def _tensor(value: Any) -> dict[str, Any]:
    kind = value.type.tensor_type
    names = {number: name for name, number in DATATYPES.items()}
    shape = [d.dim_value if d.HasField("dim_value") else -1 for d in kind.shape.dim]
    return {"name": value.name, "datatype": names[kind.elem_type], "shape": shape}
