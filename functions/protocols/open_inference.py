"""Open Inference Protocol V2: request bytes -> response bytes.

Sources: kserve/open-inference-protocol, specification/protocol/inference_rest.md;
triton-inference-server/server, docs/protocol/extension_binary_data.md.
"""

import math
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from protocols import compression
from protocols.messages import BINARY, JSON, Request, Response
from protocols.strict_json import count, count_all, decode, refuse_repeated_keys
from protocols.tensor_encodings import from_binary, from_json, to_binary, to_json
from serving.errors import EncodingError, LimitError, RequestError, UnknownModelError
from serving.manifest import DYNAMIC, Tensor
from serving.model import Inputs, Model, Prediction
from serving.tensors import DATATYPES, Array

PLATFORM = "onnx_onnxv1"
HEADER_LENGTH = "inference-header-content-length"
VALUES = ("index_range", "column_index_ranges", "categories", "column_categories")
MOST_BESIDES = 2**20  # bytes of a request's JSON that are not the data of a tensor
MOST_OBJECTS = 10_000  # in the whole of a request
LONGEST_SHAPE = 1000  # bytes
LENGTHS = list[int]


class BinarySize(Struct, frozen=True):
    """`binary_data_size`: the tensor's data is that many bytes after the JSON."""

    binary_data_size: Annotated[int, Meta(ge=0)] | None = None


class RequestInput(Struct):
    """One input tensor; `data` stays undecoded until its shape is known, and that is short."""

    name: str
    shape: msgspec.Raw
    datatype: str
    data: msgspec.Raw | UnsetType = UNSET
    parameters: BinarySize | None = None


class OutputParameters(Struct, frozen=True):
    """`binary_data` overrides the request's `binary_data_output`."""

    binary_data: bool | None = None


class RequestOutput(Struct):
    """One output that the caller wants."""

    name: str
    parameters: OutputParameters | None = None


class RequestParameters(Struct, frozen=True):
    """`binary_data_output`: every output is wanted as bytes after the JSON."""

    binary_data_output: bool | None = None


class InferRequest(Struct):
    """Unknown fields are ignored: the KServe client adds some of its own."""

    inputs: list[RequestInput]
    id: str | None = None
    outputs: list[RequestOutput] | None = None
    parameters: RequestParameters | None = None


class ResponseOutput(Struct, omit_defaults=True):
    """One output tensor, row-major: flat in `data`, or as bytes after the JSON."""

    name: str
    datatype: str
    shape: list[int]
    data: list[Any] | UnsetType = UNSET
    parameters: BinarySize | UnsetType = UNSET


class InferResponse(Struct, kw_only=True, omit_defaults=True):
    """`id` is there when the request had one."""

    model_name: str
    model_version: str
    id: str | None = None
    outputs: list[ResponseOutput]


_encode = msgspec.json.Encoder().encode


def server_metadata(model: Model, _: Request) -> Response:
    """Describe what serves, and which extensions of the protocol it speaks."""
    return Response(
        _encode(
            {
                "name": "serverless-onnx",
                "version": model.function_version,
                "extensions": ["binary_tensor_data"],
            }
        )
    )


def server_live(_: Model, __: Request) -> Response:
    """Confirm that requests are answered."""
    return Response(_encode({"live": True}))


def server_ready(_: Model, __: Request) -> Response:
    """Confirm that inference is possible: the model is loaded before the first request."""
    return Response(_encode({"live": True, "ready": True}))  # clients differ in which they read


def list_models(model: Model, _: Request) -> Response:
    """List the one model that is served here (KServe's addition to the protocol)."""
    return Response(_encode({"models": [model.manifest.name]}))


def repository_index(model: Model, _: Request) -> Response:
    """List the one model and its state (the model repository extension's index)."""
    entry = {"name": model.manifest.name, "version": model.manifest.version, "state": "READY"}
    return Response(_encode([entry | {"reason": ""}]))


def model_metadata(model: Model, request: Request) -> Response:
    """Describe the model: its inputs and outputs, its limits and its identity.

    `parameters` is the protocol's object of plain values: what a request may hold at most, and
    whether an answer of NaN or infinity is refused or null.
    """
    _select(model, request)
    manifest = model.manifest
    tensors = {
        field: [_describe(tensor) for tensor in getattr(manifest, field)]
        for field in ("inputs", "outputs")
    }
    body = {
        "name": manifest.name,
        "versions": [manifest.version],
        "platform": PLATFORM,
        **tensors,
        "properties": {"sha256": manifest.sha256, "function_version": model.function_version},
        "parameters": {
            "max_rows": manifest.limits.rows,
            "max_elements": manifest.limits.elements,
            "max_expanded_bytes": model.expanded_bytes,
            "non_finite_outputs": manifest.non_finite_outputs,
        },
    }
    return Response(_encode(body))


def _describe(tensor: Tensor) -> dict[str, Any]:
    described: dict[str, Any] = {
        "name": tensor.name,
        "datatype": tensor.datatype,
        "shape": tensor.shape,
    }
    if tensor.features:
        described["features"] = [feature.name for feature in tensor.features]
    for field in VALUES:
        if value := getattr(tensor, field):
            described[field] = value
    return described


def model_ready(model: Model, request: Request) -> Response:
    """Confirm that the model can predict."""
    _select(model, request)
    return Response(_encode({"name": model.manifest.name, "ready": True}))


def infer(model: Model, request: Request) -> Response:
    """Predict for one inference request.

    Raises UnknownModelError, EncodingError, RequestError, LimitError or InferenceError.
    """
    _select(model, request)
    if request.media_type not in {None, JSON, BINARY}:  # tritonclient sends none
        raise EncodingError(f"content-type: expected {JSON} or {BINARY}")
    body = compression.expand(request.body, request.headers, model.expanded_bytes)
    asked, binary = _decode(model, body, request)
    inputs = _read_inputs(model, asked, binary)
    outputs = None if asked.outputs is None else [output.name for output in asked.outputs]
    prediction = model.predict(inputs, outputs)
    return _respond(model, asked, prediction, request.headers)


def example_request(model: Model) -> dict[str, Any] | None:
    """Return a request that the model answers, unless an input has no JSON form."""
    if any(DATATYPES[tensor.datatype].json is None for tensor in model.manifest.inputs):
        return None
    return {
        "inputs": [
            {
                "name": name,
                "datatype": model.inputs[name].datatype,
                "shape": list(array.shape),
                "data": to_json(array),
            }
            for name, array in model.example().items()
        ]
    }


def _select(model: Model, request: Request) -> None:
    """Raise UnknownModelError unless the path names the served model, and no other version."""
    manifest, path = model.manifest, request.parameters
    if path["name"] != manifest.name or path.get("version", manifest.version) != manifest.version:
        raise UnknownModelError(
            f"unknown model or version; served here: '{manifest.name}' version '{manifest.version}'"
        )


def _decode(model: Model, body: bytes, request: Request) -> tuple[InferRequest, memoryview]:
    """Split the expanded body into the JSON and the binary tensors behind it."""
    length = _header_length(request.headers, len(body))
    view = memoryview(body)
    if not body:
        raise RequestError("the body is empty")
    if length == 0:
        if request.media_type == JSON:
            raise RequestError(f"{HEADER_LENGTH}: Expected the JSON's length, got 0")
        return _raw_request(model, body)
    text = body[:length]
    quotes = count_all(text, b'"')  # none of the objects that are made has less than two
    if quotes > 2 * MOST_OBJECTS and count(text, b"{", MOST_OBJECTS) > MOST_OBJECTS:
        raise LimitError(f"body: more than {MOST_OBJECTS} objects")
    asked: InferRequest = decode(text, InferRequest, "body")
    if len(text) > MOST_BESIDES and len(text) > MOST_BESIDES + sum(map(len, _data(asked))):
        raise LimitError(f"body: more than {MOST_BESIDES} bytes apart from the tensors' data")
    keys = _count_keys(asked)
    values = 2 * keys["datatype"] + keys["id"] + len(asked.outputs or ())  # that are strings
    if quotes != 2 * (sum(keys.values()) + values):  # there is room for more keys
        refuse_repeated_keys(text, keys, "body", _data(asked))
    return asked, view[len(text) :]


def _data(request: InferRequest) -> list[msgspec.Raw]:
    return [tensor.data for tensor in request.inputs if not isinstance(tensor.data, UnsetType)]


def _count_keys(request: InferRequest) -> dict[str, int]:
    """Count each key that the JSON of `request` has at least: all but those that are null."""
    inputs, outputs = request.inputs, request.outputs or []
    sizes = [tensor.parameters for tensor in inputs if tensor.parameters]
    choices = [output.parameters for output in outputs if output.parameters]
    whole = request.parameters
    return {
        "inputs": 1,
        "outputs": request.outputs is not None,
        "id": request.id is not None,
        "shape": len(inputs),
        "datatype": len(inputs),
        "data": sum(tensor.data is not UNSET for tensor in inputs),
        "name": len(inputs) + len(outputs),
        "parameters": len(sizes) + len(choices) + (whole is not None),
        "binary_data_size": sum(one.binary_data_size is not None for one in sizes),
        "binary_data": sum(one.binary_data is not None for one in choices),
        "binary_data_output": whole is not None and whole.binary_data_output is not None,
    }


def _header_length(headers: Mapping[str, str], size: int) -> int | None:
    """Return the length of the JSON, or None when all of the body is JSON."""
    text = headers.get(HEADER_LENGTH)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 20 and int(text) <= size):  # noqa: PLR2004 digits of a 64-bit number
        raise RequestError(f"{HEADER_LENGTH}: Expected 0 to {size}, the size of the body")
    return int(text)


def _raw_request(model: Model, body: bytes) -> tuple[InferRequest, memoryview]:
    """Make the request that a body of nothing but the only input's bytes stands for."""
    tensor, *others = model.manifest.inputs
    dynamic = [i for i, length in enumerate(tensor.shape) if length == DYNAMIC]
    if others or len(dynamic) > 1:
        raise RequestError(
            "a raw binary request needs a model with one input and at most one dynamic dimension"
        )
    if tensor.datatype == "BYTES":  # Triton takes the whole body for one string, without its length
        body, rows = len(body).to_bytes(4, "little") + body, 1
    else:
        row = math.prod(length for length in tensor.shape if length != DYNAMIC)
        row *= DATATYPES[tensor.datatype].dtype.itemsize
        rows = len(body) // row if row else 0
    shape = [rows if length == DYNAMIC else length for length in tensor.shape]
    parameters = BinarySize(binary_data_size=len(body))
    written = msgspec.Raw(_encode(shape))
    request = InferRequest(
        [RequestInput(tensor.name, written, tensor.datatype, parameters=parameters)],
        parameters=RequestParameters(binary_data_output=True),
    )
    return request, memoryview(body)


def _read_inputs(model: Model, request: InferRequest, binary: memoryview) -> Inputs:
    arrays: dict[str, Array] = {}
    for i, tensor in enumerate(request.inputs):
        if tensor.name in arrays:
            raise RequestError(f"inputs[{i}]: '{tensor.name}' is given twice")
        shape = _read_shape(tensor.shape, f"body.inputs[{i}].shape")
        try:
            contract = model.check_input(tensor.name, tensor.datatype, shape)
        except RequestError as error:
            raise type(error)(f"inputs[{i}]: {error}") from error
        try:
            size = tensor.parameters.binary_data_size if tensor.parameters else None
            arrays[tensor.name] = _read_input(tensor, contract.datatype, shape, binary, size)
            binary = binary[size or 0 :]
        except RequestError as error:
            raise RequestError(f"input '{tensor.name}': {error}") from error
    if binary:
        raise RequestError(f"{len(binary)} bytes of binary data belong to no input")
    return Inputs(arrays)


def _read_shape(text: msgspec.Raw, place: str) -> list[int]:
    if len(text) > LONGEST_SHAPE:
        raise RequestError(f"{place}: Expected a list of a few lengths")
    shape: list[int] = decode(text, LENGTHS, place)
    return shape


def _read_input(
    tensor: RequestInput, datatype: str, shape: list[int], binary: memoryview, size: int | None
) -> Array:
    if size is not None and tensor.data is not UNSET:
        raise RequestError("Expected either `data` or `binary_data_size`, got both")
    if size is not None:
        if len(binary) < size:
            raise RequestError(
                f"binary data: `binary_data_size` is {size}, the body has {len(binary)} bytes left"
            )
        return from_binary(binary[:size], DATATYPES[datatype], shape)
    if isinstance(tensor.data, UnsetType):
        raise RequestError("`data` is missing")
    return from_json(tensor.data, DATATYPES[datatype], shape)


def _respond(
    model: Model, request: InferRequest, prediction: Prediction, headers: Mapping[str, str]
) -> Response:
    wanted = {
        output.name: output.parameters.binary_data
        for output in request.outputs or ()
        if output.parameters and output.parameters.binary_data is not None
    }
    is_binary = request.parameters is not None and bool(request.parameters.binary_data_output)
    outputs: list[ResponseOutput] = []
    parts: list[bytes] = []
    for name, array in prediction.outputs.items():
        output = ResponseOutput(name, model.outputs[name].datatype, list(array.shape))
        if wanted.get(name, is_binary):
            part = to_binary(array)
            parts.append(part)
            output.parameters = BinarySize(binary_data_size=len(part))
        else:
            output.data = to_json(array)
        outputs.append(output)
    header = _encode(
        InferResponse(
            model_name=model.manifest.name,
            model_version=model.manifest.version,
            id=request.id,
            outputs=outputs,
        )
    )
    extra_headers = {HEADER_LENGTH: str(len(header))} if parts else {}
    body = b"".join([header, *parts])
    body, encoding = compression.compress(body, headers)
    content_type = BINARY if parts else JSON
    return Response(body, 200, content_type, extra_headers | encoding, prediction.measured)
