"""Requests and answers of the Open Inference Protocol in binary, as Lambda gets and returns them.

Source: triton-inference-server/server, docs/protocol/extension_binary_data.md.
"""

import json
import struct
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from infra.local.triggers.event import Request, to_direct_event, to_response
from infra.model.errors import AnswerError, ModelError
from infra.model.tensor import DTYPES, Array

HEADER_LENGTH = "inference-header-content-length"
DATATYPE_NAMES = {dtype: name for name, dtype in DTYPES.items()}


def make_event(path: str, headers: Mapping[str, str], body: bytes, lane: str = "") -> bytes:
    """Return the event that an HTTP API makes of a POST.

    `lane` names another lane than the API, so that the request is not in the API's metrics.
    """
    event = to_direct_event(Request("POST", path, headers.items(), body, "127.0.0.1"))
    if lane:
        event["requestContext"]["lane"] = lane
    return json.dumps(event).encode()


def encode(model: str, inputs: Mapping[str, Array]) -> bytes:
    """Return the event that asks a model for all of its outputs."""
    data = [_to_bytes(array) for array in inputs.values()]
    tensors = [
        {
            "name": name,
            "datatype": DATATYPE_NAMES[array.dtype],
            "shape": array.shape,
            "parameters": {"binary_data_size": len(part)},
        }
        for (name, array), part in zip(inputs.items(), data, strict=True)
    ]
    text = json.dumps({"inputs": tensors, "parameters": {"binary_data_output": True}}).encode()
    headers = {"content-type": "application/octet-stream", HEADER_LENGTH: str(len(text))}
    return make_event(f"/v2/models/{model}/infer", headers, b"".join([text, *data]))


def decode(payload: bytes) -> dict[str, Array]:
    """Read the outputs from what the handler returned.

    Raises AnswerError if it is an error, and ModelError if it is not an answer of the protocol.
    """
    response = to_response(payload)
    length = int(dict(response.headers).get(HEADER_LENGTH, len(response.body)))
    answer = json.loads(response.body[:length])
    if "error" in answer:
        raise AnswerError(answer["error"], status=response.status)
    try:
        return _read_outputs(answer["outputs"], response.body, length)
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError("the function does not answer in the Open Inference Protocol") from error


def _read_outputs(
    tensors: Iterable[Mapping[str, Any]], data: bytes, start: int
) -> dict[str, Array]:
    outputs = {}
    for tensor in tensors:
        end = start + tensor["parameters"]["binary_data_size"]
        array = _from_bytes(data[start:end], tensor["datatype"])
        outputs[tensor["name"]], start = array.reshape(tensor["shape"]), end
    return outputs


def _to_bytes(array: Array) -> bytes:
    if not array.dtype.hasobject:
        return array.tobytes()
    texts = [text.encode() for text in array.flat]
    return b"".join(struct.pack("<I", len(text)) + text for text in texts)


def _from_bytes(data: bytes, datatype: str) -> Array:
    if datatype != "BYTES":
        return np.frombuffer(data, DTYPES[datatype])
    texts = []
    while data:
        end = 4 + int.from_bytes(data[:4], "little")
        texts.append(data[4:end].decode())
        data = data[end:]
    return np.array(texts, object)
