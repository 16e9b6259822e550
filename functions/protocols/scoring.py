"""The scoring protocol of MLflow and SageMaker: request bytes -> response bytes.

Sources: mlflow/mlflow, mlflow/pyfunc/scoring_server; tensorflow/serving,
tensorflow_serving/g3doc/api_rest.md, "Predict API"; Amazon SageMaker AI Developer Guide, "Custom
Inference Code with Hosting Services" and "Linear learner response formats".
"""

import io
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from msgspec import UNSET, Raw, Struct, UnsetType
from msgspec.structs import asdict

from protocols import compression
from protocols.messages import BINARY, JSON, Request, Response
from protocols.strict_json import decode, refuse_repeated_keys
from protocols.table import (
    Split,
    object_type,
    read_csv,
    read_named,
    read_records,
    read_split,
    read_tensor,
)
from protocols.tensor_encodings import from_binary, from_json
from serving.errors import EncodingError, RequestError
from serving.model import Inputs, Model
from serving.tensors import DATATYPES, Array, Datatype

MAX_NPY_HEADER = 256  # characters; numpy writes 118 for most arrays

# The kinds of numpy types that become each kind of input without loss of meaning, as JSON's
# numbers do: an integer may stand for a float, and never the other way.
_NPY_KINDS = {"b": "b", "i": "iu", "u": "iu", "f": "iuf", "O": "U"}

_OBJECTS = re.compile(rb"\s*\[\s*{")
_OBJECT = re.compile(rb"\s*{")
_encode = msgspec.json.Encoder().encode


class ScoringRequest(Struct):
    """Exactly one field is given. Others, as MLflow's `params`, are ignored, as MLflow does."""

    instances: Raw | UnsetType = UNSET
    inputs: Raw | UnsetType = UNSET
    dataframe_records: Raw | UnsetType = UNSET
    dataframe_split: Split | UnsetType = UNSET


def ping(_: Model, __: Request) -> Response:
    """Confirm that predictions are possible: the model is loaded before the first request."""
    return Response(_encode({"status": "healthy"}))


def invoke(model: Model, request: Request) -> Response:
    """Predict for one scoring request.

    Raises EncodingError, RequestError, LimitError or InferenceError.
    """
    content_type = JSON if request.media_type is None else request.media_type
    if content_type not in _READERS:
        raise EncodingError(f"content-type: expected {', '.join(_READERS)}")
    body = compression.expand(request.body, request.headers, model.expanded_bytes)
    inputs, by_row = _READERS[content_type](model, body)
    answered = model.predict(inputs)
    rows = answered.measured.rows if by_row else None
    predictions = _predictions(answered.outputs, rows)
    body = _encode({"predictions": predictions})
    body, encoding = compression.compress(body, request.headers)
    return Response(body, extra_headers=encoding, measured=answered.measured)


def example_request(model: Model) -> dict[str, Any] | None:
    """Return a request that the model answers, unless an input has no JSON form."""
    if any(DATATYPES[tensor.datatype].json is None for tensor in model.manifest.inputs):
        return None
    return {"inputs": {name: array.tolist() for name, array in model.example().items()}}


def _read_json(model: Model, body: bytes) -> tuple[Inputs, bool]:
    request = decode(body, ScoringRequest, "body")
    forms = _given(request)
    if len(forms) != 1:
        names = ", ".join(request.__struct_fields__)
        raise RequestError(f"body: Expected exactly one of {names}, got {len(forms)}")
    [(form, data)] = forms.items()
    values = _given(data) if isinstance(data, Split) else forms
    refuse_repeated_keys(body, dict.fromkeys([form, *values], 1), "body", list(values.values()))
    if isinstance(data, Split):
        return read_split(model, data, form), True
    only = _only_input(model)
    if form == "dataframe_records" or _OBJECTS.match(data) or (form == "instances" and not only):
        return read_records(model, data, form), form != "inputs"
    if form == "inputs" and (_OBJECT.match(data) or not only):
        return read_named(model, data, form), False
    return Inputs({only: read_tensor(model, only, data)}), form == "instances"


def _given(members: Struct) -> dict[str, Any]:
    return {name: value for name, value in asdict(members).items() if value is not UNSET}


def _read_csv(model: Model, body: bytes) -> tuple[Inputs, bool]:
    return read_csv(model, body), True


def _read_npy(model: Model, body: bytes) -> tuple[Inputs, bool]:
    """Read numpy's own file format; nothing is ever unpickled."""
    from numpy.lib import format as npy

    name = _only_input(model)
    if not name:
        raise RequestError("a .npy body needs a model with one input")
    stream = io.BytesIO(body)
    try:
        readers = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
        read_header = readers[npy.read_magic(stream)]
        shape, is_fortran, dtype = read_header(stream, max_header_size=MAX_NPY_HEADER)
    except Exception as error:  # numpy evaluates the header, which fails in many ways
        raise RequestError("the body is not a .npy file of version 1 or 2") from error
    datatype = DATATYPES[model.inputs[name].datatype]
    if dtype.kind not in _NPY_KINDS.get(datatype.dtype.kind, ""):
        raise RequestError(f"input '{name}': expected {datatype.name}, the .npy holds another type")
    shape = tuple(map(int, shape))  # numpy takes True for an integer, too
    model.check_input(name, datatype.name, list(shape))
    stored = shape[::-1] if is_fortran else shape
    data = memoryview(body)[stream.tell() :]
    try:
        array = _read_npy_data(data, dtype, stored)
        array = _fit(array.T if is_fortran else array, datatype)
    except RequestError as error:
        raise RequestError(f"input '{name}': {error}") from error
    return Inputs({name: array}), False


def _read_npy_data(data: memoryview, dtype: np.dtype[Any], shape: Sequence[int]) -> Array:
    if dtype.kind == "U":
        size = math.prod(shape) * dtype.itemsize
        if len(data) != size:
            raise RequestError(f"binary data: Expected {size} bytes, got {len(data)}")
        try:
            str(data, "utf-32-le")  # numpy would trust each code point
            texts = np.frombuffer(data, dtype).tolist() if data else []
        except ValueError as error:
            raise RequestError("binary data: Expected text as numpy writes it") from error
        return from_json(_encode(texts), DATATYPES["BYTES"], shape)
    source = next((known for known in DATATYPES.values() if known.dtype == dtype), None)
    if source is None:
        raise RequestError("binary data: Expected little-endian numbers of at most 64 bits")
    return from_binary(data, source, shape)


def _fit(array: Array, datatype: Datatype) -> Array:
    """Convert as JSON's numbers are converted; RequestError for one that does not fit."""
    if datatype.dtype.kind in "iuf":
        is_float = datatype.dtype.kind == "f"
        bounds = np.finfo(datatype.dtype) if is_float else np.iinfo(datatype.dtype)
        array = array.astype(np.float64) if is_float else array
        outside = ~((array >= bounds.min) & (array <= bounds.max))
        if outside.any():
            place = "".join(f"[{i}]" for i in np.argwhere(outside)[0])
            raise RequestError(f"data{place}: Expected a finite number in {datatype.name}'s range")
    return array.astype(datatype.dtype, order="C", copy=False)


_READERS = {
    JSON: _read_json,
    "text/csv": _read_csv,
    "application/x-npy": _read_npy,
    BINARY: _read_json,  # the type under which compressed JSON gets through API Gateway
}


def _only_input(model: Model) -> str:
    """Return the name of the one input that a request must have, or nothing if there are more."""
    required = [name for name, tensor in model.inputs.items() if not tensor.optional]
    return required[0] if len(required) == 1 else ""


def _predictions(arrays: Mapping[str, Array], rows: int | None) -> Any:
    """Answer as the request asked: by row if it has `rows`, by name if not.

    By row as TensorFlow Serving, SageMaker's own algorithms, and MLflow for a table; by name as
    the first and the last of these for `inputs`. The name of a single output is left out.
    """
    for name, array in arrays.items():
        if array.dtype == DATATYPES["BF16"].dtype:
            raise RequestError(f"output '{name}': BF16 has no JSON form; /v2 sends it as bytes")
    outputs = {name: array.tolist() for name, array in arrays.items()}
    if len(outputs) == 1:
        return outputs.popitem()[1]
    if rows is None:
        return outputs
    for name, array in arrays.items():
        if array.shape[:1] != (rows,):
            raise RequestError(f"output '{name}' is not one entry a row; ask with `inputs`")
    row = object_type(tuple(dict.fromkeys(outputs, Any).items()))
    return list(map(row, *outputs.values()))
