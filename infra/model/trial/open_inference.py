"""Inference requests as an HTTP API sends them, and the answers: Open Inference Protocol, binary.

Source: triton-inference-server/server, docs/protocol/extension_binary_data.md.
"""

import json
import struct
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from infra.local.triggers.event import Request, to_event, to_response
from infra.model.errors import AnswerError, ModelError
from infra.model.samples.samples import DTYPES, Array

HEADER_LENGTH = "inference-header-content-length"
DATATYPES = {dtype: name for name, dtype in DTYPES.items()}


def encode(model: str, inputs: Mapping[str, Array]) -> bytes:
    """Write the event that asks a model for all of its outputs."""
    data = [_to_bytes(array) for array in inputs.values()]
    tensors = [
        {
            "name": name,
            "datatype": DATATYPES[array.dtype],
            "shape": array.shape,
            "parameters": {"binary_data_size": len(part)},
        }
        for (name, array), part in zip(inputs.items(), data, strict=True)
    ]
    text = json.dumps({"inputs": tensors, "parameters": {"binary_data_output": True}}).encode()
    headers = {"content-type": "application/octet-stream", HEADER_LENGTH: str(len(text))}
    path = f"/v2/models/{model}/infer"
    request = Request("POST", path, headers.items(), b"".join([text, *data]), "127.0.0.1")
    event = to_event(
        request,
        route_key="ANY /{proxy+}",
        path_parameters={"proxy": path[1:]},
        stage="$default",
        request_id="",
        trace_id="",
    )
    return json.dumps(event).encode()


def decode(payload: bytes) -> dict[str, Array]:
    """Read the outputs of what the handler returned.

    Raises AnswerError if that is an error, and ModelError if it is no answer of the protocol.
    """
    response = to_response(payload)
    length = int(dict(response.headers).get(HEADER_LENGTH, len(response.body)))
    answer = json.loads(response.body[:length])
    if "error" in answer:
        raise AnswerError(answer["error"])
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
