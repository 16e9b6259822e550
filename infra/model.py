"""Packages an ONNX file for the model layer: the files, and the contract that its graph tells."""

import hashlib
import json
import math
import re
import shutil
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # it has none
from onnx import ModelProto, TensorProto, ValueInfoProto
from onnx.external_data_helper import ExternalDataInfo, uses_external_data

GRAPH, CONTRACT = "model.onnx", "model.json"
DYNAMIC = -1
ROWS, ELEMENTS = 10_000, 1_000_000

# Element types that the Open Inference Protocol and onnxruntime's Python API both carry.
DATATYPES: dict[int, str] = {
    TensorProto.BOOL: "BOOL",
    TensorProto.UINT8: "UINT8",
    TensorProto.UINT16: "UINT16",
    TensorProto.UINT32: "UINT32",
    TensorProto.UINT64: "UINT64",
    TensorProto.INT8: "INT8",
    TensorProto.INT16: "INT16",
    TensorProto.INT32: "INT32",
    TensorProto.INT64: "INT64",
    TensorProto.FLOAT16: "FP16",
    TensorProto.FLOAT: "FP32",
    TensorProto.DOUBLE: "FP64",
    TensorProto.STRING: "BYTES",
}


class ModelError(Exception):
    """A file is not a model that can be served."""


def derive(source: Path, directory: Path) -> dict[str, Any]:
    """Put the model `source`, its external data and a derived model.json into `directory`.

    Whatever was in `directory` is replaced. Returns the contract; raises ModelError.
    """
    source = source.resolve()
    model = _read(source)
    copies = {GRAPH: source} | {
        location: _find(source.parent, location) for location in _locations(model)
    }
    contract = _describe(model, source.stem)
    contract["files"] = {name: _digest(path) for name, path in copies.items()}
    unfinished = directory.with_name(f"{directory.name}.new")
    shutil.rmtree(unfinished, ignore_errors=True)
    for name, path in copies.items():
        (unfinished / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, unfinished / name)
    (unfinished / CONTRACT).write_text(json.dumps(contract, indent=2) + "\n")
    shutil.rmtree(directory, ignore_errors=True)  # last: `source` may be in it
    unfinished.rename(directory)
    return contract


def _read(path: Path) -> ModelProto:
    """Read the graph without its external data, and let shape inference complete the outputs.

    onnxruntime infers shapes too, and serves what it inferred.
    """
    try:
        model = onnx.load(path, load_external_data=False)
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}") from error
    except DecodeError as error:
        raise ModelError(f"{path.name} is not an ONNX model") from error
    if not model.graph.output:
        raise ModelError(f"{path.name} is not an ONNX model: it has no outputs")
    return onnx.shape_inference.infer_shapes(model)


def _describe(model: ModelProto, stem: str) -> dict[str, Any]:
    graph = model.graph
    initializers = {tensor.name for tensor in graph.initializer}
    inputs = [_tensor("input", value) for value in graph.input if value.name not in initializers]
    if not inputs:
        raise ModelError("the model has no inputs")
    sizes = [math.prod(abs(length) for length in tensor["shape"]) for tensor in inputs]
    return {
        "schema": 1,
        "name": re.sub(r"[^a-z0-9]+", "-", stem.lower()).strip("-")[:100] or "model",
        "version": "1",
        "description": model.doc_string.strip(),
        "inputs": inputs,
        "outputs": [_tensor("output", value) for value in graph.output],
        "limits": {"rows": ROWS, "elements": max(ELEMENTS, *sizes)},
        "golden": [],
        "provenance": {
            "producer": f"{model.producer_name} {model.producer_version}".strip(),
            "opsets": {opset.domain or "ai.onnx": opset.version for opset in model.opset_import},
        },
    }


def _tensor(kind: str, value: ValueInfoProto) -> dict[str, Any]:
    """Read the type of an input or output; -1 stands for a dimension of any length.

    onnxruntime gives the shape [] to an output whose rank it cannot infer; so do we.
    """
    which = value.type.WhichOneof("value")
    if which != "tensor_type":
        found = (which or "no_type").removesuffix("_type").replace("_", " ")
        raise ModelError(
            f"{kind} '{value.name}' has the type {found}: only dense tensors can be served"
            + (" (convert with zipmap=False)" if found in {"sequence", "map"} else "")
        )
    tensor = value.type.tensor_type
    if tensor.elem_type not in DATATYPES:
        name = TensorProto.DataType.Name(tensor.elem_type)
        raise ModelError(f"{kind} '{value.name}' holds {name}, which no request can carry")
    if kind == "input" and not tensor.HasField("shape"):
        raise ModelError(f"input '{value.name}' has no shape: export the model with one")
    shape = [
        dimension.dim_value if dimension.HasField("dim_value") else DYNAMIC
        for dimension in tensor.shape.dim
    ]
    return {"name": value.name, "datatype": DATATYPES[tensor.elem_type], "shape": shape}


def _locations(model: ModelProto) -> set[str]:
    """Return where the external data is, relative to the model."""
    return {
        str(ExternalDataInfo(tensor).location)
        for tensor in _tensors(model)
        if uses_external_data(tensor)
    }


def _tensors(message: Any) -> Iterator[TensorProto]:
    """Yield every tensor in the model, wherever it is: graphs nest in nodes and functions."""
    for field, value in message.ListFields():
        if field.message_type is not None:
            for part in value if field.is_repeated else [value]:
                if isinstance(part, TensorProto):
                    yield part
                else:
                    yield from _tensors(part)


def _find(folder: Path, location: str) -> Path:
    """Return the file with external data, which must be a plain file inside `folder`."""
    path = PurePosixPath(location)
    if path.is_absolute() or ".." in path.parts or str(path) != location or location in {".", ""}:
        raise ModelError(f"external data '{location}': the path must stay in the model's folder")
    if location in {GRAPH, CONTRACT}:
        raise ModelError(f"external data '{location}': the name is taken, rename the file")
    found = folder / path
    links = [part for part in (found, *found.parents) if part.is_symlink() and part != folder]
    if links and folder in links[0].parents:
        raise ModelError(f"external data '{location}': links are not followed")
    if not found.is_file():
        raise ModelError(f"external data '{location}' is not beside the model")
    return found


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
