"""Loads, verifies and runs one ONNX model: the only importer of onnxruntime."""

import ctypes
import math
import os
import re
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NewType

import numpy as np
from msgspec import Struct

from serving.errors import (
    InferenceError,
    LimitError,
    ManifestError,
    ModelLoadError,
    NonFiniteError,
    RequestError,
    unknown,
)
from serving.manifest import DYNAMIC, MODEL_FILE, Manifest, Range, Tensor, read_manifest
from serving.tensors import DATATYPES, Array, is_finite, part

# onnxruntime >= 1.29 records usage under HOME unless told otherwise before it is imported
# (microsoft/onnxruntime, docs/Privacy.md).
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
import onnxruntime

try:
    from _sha2 import sha256  # type: ignore[import-not-found]  # typeshed has no stub
except ImportError:  # a build of CPython may leave it out (--with-builtin-hashlib-hashes)
    from hashlib import sha256

MB_PER_VCPU = 1769  # docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html
ONNX_BFLOAT16 = 16  # onnx.TensorProto.BFLOAT16
BF16 = DATATYPES["BF16"].dtype
SMALL = 2**20  # bytes
FATAL = 4  # onnxruntime's highest severity

_DATATYPE_BY_ONNX = {datatype.onnx: datatype.name for datatype in DATATYPES.values()}
_DATATYPE_BY_DTYPE = {datatype.dtype: datatype.name for datatype in DATATYPES.values()}


# Arrays by input name, each of which `Model.check_input` has accepted.
Inputs = NewType("Inputs", dict[str, Array])


class Measured(Struct, frozen=True):  # made in a tenth of a NamedTuple's time
    """One run of the model: rows, milliseconds of the model alone, shapes by input name."""

    rows: int
    milliseconds: float
    shapes: dict[str, tuple[int, ...]]


class Prediction(Struct, frozen=True):
    """What the model answered, by output name."""

    outputs: dict[str, Array]
    measured: Measured


class Model:
    """One loaded model: named arrays in, named arrays out, as its manifest says.

    `function_version` names what serves it, for callers who ask; `load_milliseconds` is how long it
    took to load.
    """

    def __init__(
        self,
        manifest: Manifest,
        session: Any,
        load_milliseconds: float = 0.0,
        function_version: str = "",
    ) -> None:
        self.manifest = manifest
        self.load_milliseconds = load_milliseconds
        self.function_version = function_version
        self.inputs = {tensor.name: tensor for tensor in manifest.inputs}
        self.outputs = {tensor.name: tensor for tensor in manifest.outputs}
        self.expanded_bytes = manifest.expanded_bytes
        self._session = session
        self._index_ranges = [
            (tensor, column, bounds)
            for tensor in manifest.inputs
            for column, bounds in tensor.index_ranges()
        ]
        self._sizes = [tensor for tensor in manifest.inputs if tensor.sizes]
        self._bfloat16_outputs = {
            tensor.name for tensor in manifest.outputs if tensor.datatype == "BF16"
        }

    def check_input(self, name: str, datatype: str, shape: list[int]) -> Tensor:
        """Return the contract of an input, which an array of `datatype` and `shape` fits.

        Whoever reads an array asks this first, so that nothing is read that does not fit. Raises
        RequestError when the model has no such input or it does not fit, and LimitError when it has
        too many rows or elements.
        """
        try:
            tensor = self.inputs[name]
        except KeyError:
            raise RequestError(unknown("input", self.inputs)) from None
        tensor.check(datatype, shape)
        limits = self.manifest.limits
        if tensor.shape[:1] == [DYNAMIC] and shape[0] > limits.rows:
            raise LimitError(f"input '{name}': at most {limits.rows} rows a request")
        if math.prod(max(1, length) for length in shape) > limits.elements:  # an empty tensor, too
            raise LimitError(f"input '{name}': at most {limits.elements} elements a request")
        return tensor

    def example(self) -> dict[str, Array]:
        """Return made-up inputs, to show to callers: the manifest's, or one row of zeros."""
        if self.manifest.example:
            return self.read(self.manifest.example)
        return {name: _zeros(tensor) for name, tensor in self.inputs.items() if not tensor.optional}

    def check(self, arrays: Mapping[str, Array]) -> Inputs:
        """Check arrays that come from anywhere but a request; raise as `check_input` does."""
        for name, array in arrays.items():
            datatype = _DATATYPE_BY_DTYPE.get(array.dtype) or str(array.dtype)
            self.check_input(name, datatype, list(array.shape))
        return Inputs(dict(arrays))

    def read(self, inputs: Mapping[str, Any]) -> Inputs:
        """Read inputs that model.json holds as nested lists.

        Raises RequestError, which repeats none of their values, and LimitError.
        """
        arrays = {}
        for name, values in inputs.items():
            datatype = self.inputs[name].datatype
            try:
                arrays[name] = np.array(values, DATATYPES[datatype].dtype)
            except (ValueError, TypeError, OverflowError):  # numpy's messages quote the value
                raise RequestError(f"input '{name}': expected an array of {datatype}") from None
        return self.check(arrays)

    def predict(self, inputs: Inputs, outputs: Iterable[str] | None = None) -> Prediction:
        """Run the model on `inputs` for the named `outputs`, or for all of them.

        Raises RequestError or LimitError for values outside the contract, RequestError when the
        model fails and the inputs show why, InferenceError when they do not, and NonFiniteError
        when it answers with NaN or infinity.
        """
        started = time.perf_counter()
        self._check_values(inputs)
        names = list(dict.fromkeys(outputs or self.outputs))  # onnxruntime takes [] for all
        if not self.outputs.keys() >= set(names):
            raise RequestError(unknown("output", self.outputs))
        try:
            arrays = _run(self._session, names, inputs, self._bfloat16_outputs & set(names))
        except Exception as error:  # onnxruntime's errors have no common base but Exception
            reason = _reason(error)  # its message may quote the input
            from serving.mistake import find_mistake

            if mistake := find_mistake(self.manifest, inputs):
                raise RequestError(f"{mistake}, and {reason}") from None
            raise InferenceError(reason) from None
        answer = dict(zip(names, arrays, strict=True))
        self._check_finite(answer, inputs)
        milliseconds = (time.perf_counter() - started) * 1e3
        shapes = {name: array.shape for name, array in inputs.items()}
        return Prediction(answer, Measured(self._count_rows(inputs), milliseconds, shapes))

    def _count_rows(self, inputs: Inputs) -> int:
        """Count the rows: the longest dynamic first dimension, or one."""
        return max(
            (
                len(array)
                for name, array in inputs.items()
                if self.inputs[name].shape[:1] == [DYNAMIC]
            ),
            default=1,
        )

    def _check_values(self, inputs: Inputs) -> None:
        """Check what is not seen from the shape of a single input."""
        for name, tensor in self.inputs.items():
            if name not in inputs and not tensor.optional:
                raise RequestError(f"input '{name}' is missing")
        for tensor, column, bounds in self._index_ranges:
            if tensor.name in inputs:
                place = _find_outside(part(inputs[tensor.name], column), bounds)
                if place is not None:
                    low, high = bounds
                    where = tensor.place(place, column)
                    raise RequestError(f"{where}: Expected an index from {low} to {high}")
        for tensor in self._sizes:
            most = self.manifest.limits.made_elements
            if tensor.name in inputs and _multiply(inputs[tensor.name]) > most:
                raise LimitError(f"input '{tensor.name}': its sizes make more than {most} elements")

    def _check_finite(self, answer: Mapping[str, Array], inputs: Inputs) -> None:
        """Refuse an answer that is no number, unless the manifest says that there may be some.

        A model may know what to make of NaN, so as input it is no mistake until the answer shows.
        """
        if self.manifest.non_finite_outputs == "null":
            return
        name = next((name for name, array in answer.items() if not is_finite(array)), None)
        if name is None:
            return
        message = f"output '{name}' holds NaN or infinity"
        if not all(is_finite(array) for array in inputs.values()):
            raise RequestError(f"{message}, as an input does")
        raise NonFiniteError(message)


def load_model(directory: Path, memory_mb: int = MB_PER_VCPU, function_version: str = "") -> Model:
    """Verify, load and warm up the model that `directory`/model.json describes.

    `memory_mb` is the function's memory, which decides how many threads it can use;
    `function_version` names what serves it, for callers who ask. Raises ManifestError or
    ModelLoadError.
    """
    started = time.perf_counter()
    manifest = read_manifest(directory / "model.json")
    for path, sha256 in manifest.files.items():
        _verify(directory / path, sha256)
    try:
        # A path, not bytes: external data is found in the file's folder, and memory-mapped.
        session = open_session(directory / MODEL_FILE, memory_mb)
    except Exception as error:  # onnxruntime's errors have no common base but Exception
        raise ModelLoadError(f"onnxruntime cannot load {MODEL_FILE}: {error}") from error
    _compare(
        "inputs", manifest.inputs, session.get_inputs(), session.get_overridable_initializers()
    )
    _compare("outputs", manifest.outputs, session.get_outputs(), [])
    _check_servable(manifest)
    model = Model(manifest, session, function_version=function_version)
    _warm_up(model)
    model.load_milliseconds = (time.perf_counter() - started) * 1e3
    return model


def open_session(graph: Path, memory_mb: int, simplified: Path | None = None) -> Any:
    """Return onnxruntime's session on a graph.

    `simplified` is where to write the graph as every session first simplifies it: constants are
    computed, and what has no effect is dropped. Layouts for one processor and onnxruntime's own
    operators come with higher levels of optimization, which such a session does without.
    """
    options = _options(memory_mb)
    if simplified:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(simplified)
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def _warm_up(model: Model) -> None:
    """Run the model once: the first run allocates memory that later runs reuse."""
    manifest = model.manifest
    if manifest.example:
        place, inputs = "example", manifest.example
    elif manifest.golden:
        place, inputs = "golden[0].inputs", manifest.golden[0].inputs
    else:
        return
    try:
        model.predict(model.read(inputs))
    except RequestError as error:
        raise ManifestError(f"model.json: {place}: {error}") from error


def _run(session: Any, names: list[str], inputs: Inputs, bfloat16_outputs: set[str]) -> list[Array]:
    """Run the session; onnxruntime takes and gives bfloat16 as values of its own, not numpy's."""
    values = {
        name: _ort_value(array) if array.dtype == BF16 or bfloat16_outputs else array
        for name, array in inputs.items()
    }
    if bfloat16_outputs:
        return [_from_ort_value(value) for value in session.run_with_ort_values(names, values)]
    arrays: list[Array] = session.run(names, values)
    return arrays


def _ort_value(array: Array) -> Any:
    if array.dtype == BF16:
        bits = array.view(np.uint16)
        return onnxruntime.OrtValue.ortvalue_from_numpy_with_onnx_type(bits, ONNX_BFLOAT16)
    return onnxruntime.OrtValue.ortvalue_from_numpy(array)


def _from_ort_value(value: Any) -> Array:
    if value.data_type() != DATATYPES["BF16"].onnx:
        array: Array = value.numpy()
        return array
    shape = value.shape()
    size = math.prod(shape) * BF16.itemsize
    return np.frombuffer(ctypes.string_at(value.data_ptr(), size), BF16).reshape(shape)


def _check_servable(manifest: Manifest) -> None:
    """Raise ManifestError for what would fail every request."""
    datatypes = {tensor.datatype for tensor in manifest.inputs}
    if "BYTES" in datatypes and any(tensor.datatype == "BF16" for tensor in manifest.outputs):
        raise ManifestError("model.json: onnxruntime cannot answer BF16 to a BYTES input")
    for tensor in manifest.inputs:
        least = math.prod(abs(length) for length in tensor.shape)
        if least > manifest.limits.elements:
            raise ManifestError(
                f"model.json: limits.elements is {manifest.limits.elements}, but one row of "
                f"'{tensor.name}' has {least}"
            )


def _options(memory_mb: int) -> Any:
    """Threads for the vCPUs that Lambda gives for the memory, and none spins while it waits.

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
    """Say where the model failed, in words that hold none of the input."""
    node = re.search(r"while running (\w+) node", str(error))
    return f"the model failed on this input: {type(error).__name__}" + (
        f" in a {node[1]} node" if node else ""
    )


def _zeros(tensor: Tensor) -> Array:
    """Make one row of zeros, or of empty text, or of the first category where there are such."""
    array = np.zeros(list(map(abs, tensor.shape)), DATATYPES[tensor.datatype].dtype)
    if array.dtype.hasobject:
        array[...] = ""
    for column, categories in tensor.known_categories():
        part(array, column)[...] = categories[0]
    return array


def _multiply(sizes: Array) -> float:
    with np.errstate(over="ignore", invalid="ignore"):
        return float(np.prod(sizes, dtype=np.float64))


def _find_outside(array: Array, bounds: Range) -> list[int] | None:
    """Return the place of the first element that is outside `bounds` without its fraction."""
    low, high = bounds
    if array.dtype.kind == "f":
        array = np.trunc(array, dtype=np.float64)
    if not array.size or (low <= array.min() and array.max() <= high):
        return None
    outside = (array < low) | (array > high)  # NaN is not
    if not outside.any():
        return None
    return list(map(int, np.unravel_index(outside.argmax(), array.shape)))


def _verify(path: Path, sha256: str) -> None:
    try:
        found = _digest(path)
    except OSError as error:
        raise ModelLoadError(f"{path.name} is in model.json but not in the model layer") from error
    if found != sha256:
        raise ModelLoadError(f"{path.name}: model.json says sha256 {sha256}, the file has {found}")


def _digest(path: Path) -> str:
    """Return the sha256 of a file.

    hashlib is five times as fast as CPython's own code, but first loads OpenSSL, which takes as
    long as CPython's does for a megabyte.
    """
    if path.stat().st_size <= SMALL:
        found: str = sha256(path.read_bytes()).hexdigest()
        return found
    import hashlib

    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _compare(field: str, tensors: list[Tensor], required: list[Any], optional: list[Any]) -> None:
    """Raise ManifestError unless the manifest's `tensors` are those of the graph."""
    graph = {argument.name: argument for argument in [*required, *optional]}
    for tensor in tensors:
        argument = graph.get(tensor.name)
        if argument is None:
            raise ManifestError(f"model.json: {field}: the graph has no '{tensor.name}'")
        found = _DATATYPE_BY_ONNX.get(argument.type, argument.type)
        shape = [length if isinstance(length, int) else DYNAMIC for length in argument.shape]
        fits = shape == tensor.shape if field == "inputs" else _agree(shape, tensor.shape)
        if found != tensor.datatype or not fits:
            raise ManifestError(
                f"model.json: {field}: '{tensor.name}' is {tensor.datatype} {tensor.shape}, "
                f"in the graph it is {found} {shape}"
            )
        if tensor.optional != (argument in optional):
            raise ManifestError(
                f"model.json: {field}: '{tensor.name}': `optional` must be {argument in optional}"
            )
    missing = {argument.name for argument in required} - {tensor.name for tensor in tensors}
    if missing:
        raise ManifestError(f"model.json: {field}: the graph's '{min(missing)}' is missing")


def _agree(inferred: list[int], shape: list[int]) -> bool:
    """Compare shapes of an output: the exporter may know more of it than onnxruntime.

    onnxruntime gives [] for a rank that it could not infer.
    """
    return not inferred or (
        len(inferred) == len(shape)
        and all(DYNAMIC in pair or pair[0] == pair[1] for pair in zip(inferred, shape, strict=True))
    )
