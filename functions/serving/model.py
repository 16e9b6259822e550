"""Loads, verifies and runs one ONNX model: the only importer of onnxruntime."""

import hashlib
import math
import os
import re
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from serving.errors import InferenceError, LimitError, ManifestError, ModelLoadError, RequestError
from serving.manifest import DYNAMIC, MODEL_FILE, Manifest, Tensor, read_manifest
from serving.tensors import DATATYPES, Array

# onnxruntime >= 1.29 records usage under HOME unless told otherwise before it is imported
# (microsoft/onnxruntime, docs/Privacy.md).
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
import onnxruntime

MB_PER_VCPU = 1769  # docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html
FATAL = 4  # onnxruntime's highest severity

_DATATYPE_BY_ONNX = {datatype.onnx: datatype.name for datatype in DATATYPES.values()}
_DATATYPE_BY_DTYPE = {datatype.dtype: datatype.name for datatype in DATATYPES.values()}


class Model:
    """One loaded model: named arrays in, named arrays out, as its manifest says."""

    def __init__(self, manifest: Manifest, session: Any, load_milliseconds: float) -> None:
        self.manifest = manifest
        self.load_milliseconds = load_milliseconds
        self.inputs = {tensor.name: tensor for tensor in manifest.inputs}
        self.outputs = {tensor.name: tensor for tensor in manifest.outputs}
        self._session = session

    def check_input(self, name: str, datatype: str, shape: list[int]) -> Tensor:
        """Return the input's contract.

        Raises RequestError when the model has no such input or it does not fit the contract, and
        LimitError when it has too many rows or elements.
        """
        try:
            tensor = self.inputs[name]
        except KeyError:
            raise RequestError(_unknown("input", self.inputs)) from None
        tensor.check(datatype, shape)
        limits = self.manifest.limits
        if tensor.shape[:1] == [DYNAMIC] and shape[0] > limits.rows:
            raise LimitError(
                f"input '{name}': at most {limits.rows} rows a request, got {shape[0]}"
            )
        elements = math.prod(shape)
        if elements > limits.elements:
            raise LimitError(
                f"input '{name}': at most {limits.elements} elements a request, got {elements}"
            )
        return tensor

    def example(self) -> dict[str, Array]:
        """Return inputs that fit the contract: the first golden sample, or one row of zeros."""
        golden = self.manifest.golden[0].inputs if self.manifest.golden else {}
        return {
            name: np.array(golden[name], DATATYPES[tensor.datatype].dtype)
            if name in golden
            else np.zeros(
                [abs(length) for length in tensor.shape], DATATYPES[tensor.datatype].dtype
            )
            for name, tensor in self.inputs.items()
        }

    def predict(
        self, inputs: Mapping[str, Array], outputs: Iterable[str] | None = None
    ) -> dict[str, Array]:
        """Run the model on `inputs` and return the named `outputs`, or all of them.

        Raises RequestError or LimitError for input outside the contract, and InferenceError when
        the model fails or answers with NaN or infinity.
        """
        for name, array in inputs.items():
            datatype = _DATATYPE_BY_DTYPE.get(array.dtype, str(array.dtype))
            self.check_input(name, datatype, list(array.shape))
        missing = [name for name in self.inputs if name not in inputs]
        if missing:
            raise RequestError(f"input '{missing[0]}' is missing")
        names = list(self.outputs) if outputs is None else list(outputs)
        if not self.outputs.keys() >= set(names):
            raise RequestError(_unknown("output", self.outputs))
        try:
            arrays = self._session.run(names, dict(inputs))
        except Exception as error:  # onnxruntime's errors have no common base but Exception
            raise InferenceError(_reason(error)) from None  # its message may quote the input
        for name, array in zip(names, arrays, strict=True):
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                raise InferenceError(f"output '{name}' holds NaN or infinity")
        return dict(zip(names, arrays, strict=True))


def load_model(directory: Path, memory_mb: int = MB_PER_VCPU) -> Model:
    """Verify, load and warm up the model that `directory`/model.json describes.

    `memory_mb` is the function's memory, which decides how many threads it can use. Raises
    ManifestError or ModelLoadError.
    """
    started = time.perf_counter()
    manifest = read_manifest(directory / "model.json")
    for path, sha256 in manifest.files.items():
        _verify(directory / path, sha256)
    try:
        # A path, not bytes: external data is found beside the file, and memory-mapped.
        session = onnxruntime.InferenceSession(
            directory / MODEL_FILE, _options(memory_mb), providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # onnxruntime's errors have no common base but Exception
        raise ModelLoadError(f"onnxruntime cannot load {MODEL_FILE}: {error}") from error
    _compare("inputs", manifest.inputs, session.get_inputs())
    _compare("outputs", manifest.outputs, session.get_outputs())
    model = Model(manifest, session, 0.0)
    if manifest.golden:  # the first run allocates memory that later runs reuse
        model.predict(model.example())
    model.load_milliseconds = (time.perf_counter() - started) * 1e3
    return model


def _options(memory_mb: int) -> Any:
    """Threads for the vCPUs that Lambda gives for the memory, none of which spins while it waits.

    Spinning burns billed time, and a frozen environment freezes its threads in mid-spin. Both
    counts are set because onnxruntime pins threads to processors when it chooses by itself, which
    Lambda forbids (microsoft/onnxruntime#8313).
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = max(1, round(memory_mb / MB_PER_VCPU))
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = FATAL  # its errors are raised; its log lines may quote the input
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    return options


def _reason(error: Exception) -> str:
    """Tell where the model failed, in words that hold none of the input."""
    node = re.search(r"while running (\w+) node", str(error))
    return f"the model failed on this input: {type(error).__name__}" + (
        f" in a {node[1]} node" if node else ""
    )


def _verify(path: Path, sha256: str) -> None:
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ModelLoadError(f"{path.name} is in model.json but not in the model layer") from error
    if found != sha256:
        raise ModelLoadError(f"{path.name}: model.json says sha256 {sha256}, the file has {found}")


def _compare(field: str, tensors: list[Tensor], arguments: list[Any]) -> None:
    """Raise ManifestError unless the manifest's `tensors` are the graph's `arguments`."""
    graph = {
        argument.name: (
            _DATATYPE_BY_ONNX.get(argument.type, argument.type),
            [length if isinstance(length, int) else DYNAMIC for length in argument.shape],
        )
        for argument in arguments
    }
    for tensor in tensors:
        expected = graph.pop(tensor.name, None)
        if expected is None:
            raise ManifestError(f"model.json: {field}: the graph has no '{tensor.name}'")
        if expected != (tensor.datatype, tensor.shape):
            raise ManifestError(
                f"model.json: {field}: '{tensor.name}' is {tensor.datatype} {tensor.shape}, "
                f"in the graph it is {expected[0]} {expected[1]}"
            )
    if graph:
        raise ManifestError(f"model.json: {field}: the graph's '{next(iter(graph))}' is missing")


def _unknown(kind: str, known: Iterable[str]) -> str:
    return f"unknown {kind}; the model has: {', '.join(known)}"
