"""Open Inference Protocol V2 over HTTP: request bytes -> response bytes.

Source: kserve/open-inference-protocol, specification/protocol/inference_rest.md.
"""

import time
from typing import Any

import msgspec

from api.responses import Response
from serving.errors import RequestError, UnknownModelError
from serving.model import Model
from serving.telemetry import FUNCTION_VERSION, record
from serving.tensors import DATATYPES, from_json, to_json

PLATFORM = "onnx_onnxv1"


class RequestInput(msgspec.Struct):
    """One input tensor of a request; `data` stays undecoded until its datatype is known."""

    name: str
    shape: list[int]
    datatype: str
    data: msgspec.Raw


class RequestOutput(msgspec.Struct):
    """One output that the caller wants."""

    name: str


class InferRequest(msgspec.Struct):
    """Unknown fields are ignored: the KServe client adds some of its own."""

    inputs: list[RequestInput]
    id: str | None = None
    outputs: list[RequestOutput] | None = None


class ResponseOutput(msgspec.Struct):
    """One output tensor of an answer, flat and row-major."""

    name: str
    datatype: str
    shape: list[int]
    data: list[Any]


class InferResponse(msgspec.Struct, kw_only=True, omit_defaults=True):
    """`id` is there when the request had one."""

    model_name: str
    model_version: str
    id: str | None = None
    outputs: list[ResponseOutput]


_request_decoder = msgspec.json.Decoder(InferRequest)
_encode = msgspec.json.Encoder().encode


def server_metadata(_: Model) -> Response:
    """Tell what serves, and which extensions of the protocol it speaks."""
    name, version = "serverless-onnx", FUNCTION_VERSION
    return Response(_encode({"name": name, "version": version, "extensions": []}))


def server_live(_: Model) -> Response:
    """Tell that requests are answered."""
    return Response(_encode({"live": True}))


def server_ready(_: Model) -> Response:
    """Tell that inference is possible: the model is loaded before the first request."""
    return Response(_encode({"live": True, "ready": True}))  # clients differ in which they read


def list_models(model: Model) -> Response:
    """List the one model that is served here (KServe's addition to the protocol)."""
    return Response(_encode({"models": [model.manifest.name]}))


def model_metadata(model: Model, name: str, version: str | None = None) -> Response:
    """Tell the model's inputs, outputs and identity."""
    _select(model, name, version)
    manifest = model.manifest
    tensors = {
        field: [
            {"name": tensor.name, "datatype": tensor.datatype, "shape": tensor.shape}
            for tensor in getattr(manifest, field)
        ]
        for field in ("inputs", "outputs")
    }
    body = {
        "name": manifest.name,
        "versions": [manifest.version],
        "platform": PLATFORM,
        **tensors,
        "properties": {"sha256": manifest.sha256, "function_version": FUNCTION_VERSION},
    }
    return Response(_encode(body))


def model_ready(model: Model, name: str, version: str | None = None) -> Response:
    """Tell that the model can predict."""
    _select(model, name, version)
    return Response(_encode({"name": name, "ready": True}))


def infer(model: Model, name: str, body: bytes, version: str | None = None) -> Response:
    """Predict for one inference request in JSON.

    Raises UnknownModelError, RequestError, LimitError or InferenceError.
    """
    started = time.perf_counter()
    record(Requests=1)
    try:
        _select(model, name, version)
        request = _decode(body)
        inputs = _inputs(model, request)
        outputs = None if request.outputs is None else [output.name for output in request.outputs]
        running = time.perf_counter()
        arrays = model.predict(inputs, outputs)
        record(InferenceLatency=(time.perf_counter() - running) * 1e3)
        record(Rows=max((len(array) for array in inputs.values() if array.ndim), default=1))
        response = InferResponse(
            model_name=model.manifest.name,
            model_version=model.manifest.version,
            id=request.id,
            outputs=[
                ResponseOutput(
                    output, model.outputs[output].datatype, list(array.shape), to_json(array)
                )
                for output, array in arrays.items()
            ],
        )
        return Response(_encode(response))
    finally:
        record(RequestLatency=(time.perf_counter() - started) * 1e3)


def example_request(model: Model) -> dict[str, Any]:
    """Return a request that the model answers."""
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


def _select(model: Model, name: str, version: str | None) -> None:
    """Raise UnknownModelError unless `name` and `version` are those of the served model."""
    manifest = model.manifest
    if name != manifest.name or version not in {None, manifest.version}:
        raise UnknownModelError(
            f"unknown model or version; served here: '{manifest.name}' version '{manifest.version}'"
        )


def _decode(body: bytes) -> InferRequest:
    try:
        return _request_decoder.decode(body)
    except msgspec.ValidationError as error:
        raise RequestError(str(error).replace("`$.", "`")) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RequestError(f"the body must be a JSON object: {error}") from error
    except RecursionError as error:
        raise RequestError("the body is nested too deeply") from error


def _inputs(model: Model, request: InferRequest) -> dict[str, Any]:
    arrays: dict[str, Any] = {}
    for i, tensor in enumerate(request.inputs):
        if tensor.name in arrays:
            raise RequestError(f"inputs[{i}]: '{tensor.name}' is given twice")
        try:
            contract = model.check_input(tensor.name, tensor.datatype, tensor.shape)
        except RequestError as error:
            raise type(error)(f"inputs[{i}]: {error}") from error
        try:
            datatype = DATATYPES[contract.datatype]
            arrays[tensor.name] = from_json(tensor.data, datatype, tensor.shape)
        except RequestError as error:
            raise RequestError(f"input '{tensor.name}': {error}") from error
    return arrays
