"""Requests to the inference function, as events of an HTTP API (payload format 2.0).

Source: docs.aws.amazon.com/apigateway/latest/developerguide/, the page
http-api-develop-integrations-lambda.
"""

import json
import math
import time
import uuid
from collections.abc import Mapping
from typing import Any, NamedTuple

from serving.manifest import DYNAMIC, Golden, Manifest, Tensor
from serving.tensors import DATATYPES

UNKNOWN = "no-such-name"
ZEROS = {"BOOL": False, "BYTES": ""}
SMALL = 100_000  # elements, which twice are far less than the 6 MB that Lambda takes
JSON = {"content-type": "application/json"}

type Event = dict[str, Any]


class Malformed(NamedTuple):
    """A request that must be refused, and with which status."""

    what: str
    event: Event
    status: int


def get(path: str) -> Event:
    """Make a request without a body."""
    return _event("GET", path, {})


def post(path: str, body: str, headers: Mapping[str, str] = JSON) -> Event:
    """Make a request with a body, of JSON unless `headers` say something else."""
    return _event("POST", path, headers) | {"body": body}


def infer(manifest: Manifest, inputs: list[dict[str, Any]], **fields: Any) -> Event:
    """Make an inference request (Open Inference Protocol)."""
    return post(_path(manifest), json.dumps({"inputs": inputs, **fields}))


def golden_inputs(manifest: Manifest, golden: Golden) -> list[dict[str, Any]]:
    """Write the input tensors of a golden request."""
    datatypes = {tensor.name: tensor.datatype for tensor in manifest.inputs}
    return [
        _tensor(name, datatypes[name], _shape(data), data) for name, data in golden.inputs.items()
    ]


def malformed(manifest: Manifest) -> list[Malformed]:
    """Make requests that are wrong whatever the model is; none gets as far as the model."""
    path, first = _path(manifest), manifest.inputs[0]
    shape = [abs(length) for length in first.shape]
    other = next(name for name in DATATYPES if name != first.datatype)
    valid = _example(manifest)

    def changed(**fields: Any) -> Event:
        return infer(manifest, [_tensor(first.name, first.datatype, shape, []) | fields])

    requests = [
        Malformed("an empty body", post(path, ""), 400),
        Malformed("a body that breaks off", post(path, '{"inputs": ['), 400),
        Malformed("a body without inputs", post(path, "{}"), 400),
        Malformed("an unknown input", changed(name=UNKNOWN), 400),
        Malformed("an input of another datatype", changed(datatype=other), 400),
        Malformed("an input of another rank", changed(shape=[*shape, 1]), 400),
        Malformed("an input of negative length", changed(shape=[-1, *shape[1:]]), 400),
        Malformed("an input without its elements", changed(data=[{}] * (0 in shape)), 400),
        Malformed("an input of objects", changed(data=[{}]), 400),
        Malformed("a body that is not gzip", post(path, "{}", {"content-encoding": "gzip"}), 400),
        Malformed("an unknown encoding", post(path, "{}", {"content-encoding": UNKNOWN}), 415),
        Malformed("a body of plain text", post(path, "{}", {"content-type": "text/plain"}), 415),
        Malformed("an unknown model", post(f"/v2/models/{manifest.name}-/infer", "{}"), 404),
        Malformed("an unknown path", get(f"/{UNKNOWN}"), 404),
        Malformed("a method that infers nothing", get(path), 405),
        Malformed("a scoring request without data", post("/invocations", "{}"), 400),
    ]
    if sum(math.prod(tensor["shape"]) for tensor in valid) <= SMALL:
        outputs = [{"name": UNKNOWN}]
        requests += [
            Malformed("an input twice", infer(manifest, valid * 2), 400),
            Malformed("an unknown output", infer(manifest, valid, outputs=outputs), 400),
        ]
    batched = next((tensor for tensor in manifest.inputs if tensor.shape[:1] == [DYNAMIC]), None)
    if batched:
        rows = [manifest.limits.rows + 1, *(abs(length) for length in batched.shape[1:])]
        inputs = [_tensor(batched.name, batched.datatype, rows, [])]
        requests.append(Malformed("too many rows", infer(manifest, inputs), 413))
    return requests


def _example(manifest: Manifest) -> list[dict[str, Any]]:
    """Write inputs that fit the contract: the first golden request, or zeros for every input."""
    if manifest.golden and manifest.golden[0].inputs:
        return golden_inputs(manifest, manifest.golden[0])
    return [_zeros(tensor) for tensor in manifest.inputs]


def _zeros(tensor: Tensor) -> dict[str, Any]:
    shape = [abs(length) for length in tensor.shape]
    data = [ZEROS.get(tensor.datatype, 0)] * math.prod(shape)
    return _tensor(tensor.name, tensor.datatype, shape, data)


def _tensor(name: str, datatype: str, shape: list[int], data: Any) -> dict[str, Any]:
    data = data if isinstance(data, list) else [data]
    return {"name": name, "datatype": datatype, "shape": shape, "data": data}


def _shape(data: Any) -> list[int]:
    return [len(data), *(_shape(data[0]) if data else [])] if isinstance(data, list) else []


def _path(manifest: Manifest) -> str:
    return f"/v2/models/{manifest.name}/infer"


def _event(method: str, path: str, headers: Mapping[str, str]) -> Event:
    now = time.time()
    return {
        "version": "2.0",
        "routeKey": "ANY /{proxy+}",
        "rawPath": path,
        "rawQueryString": "",
        "headers": {"host": "gate", **headers},
        "pathParameters": {"proxy": path.removeprefix("/")},
        "requestContext": {
            "accountId": "",
            "apiId": "gate",
            "domainName": "gate",
            "domainPrefix": "gate",
            "http": {
                "method": method,
                "path": path,
                "protocol": "HTTP/1.1",
                "sourceIp": "127.0.0.1",
                "userAgent": "gate",
            },
            "requestId": str(uuid.uuid4()),
            "routeKey": "ANY /{proxy+}",
            "stage": "$default",
            "lane": "gate",  # counted by nothing but the gate's own report
            "time": time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(now)),
            "timeEpoch": int(now * 1000),
        },
        "isBase64Encoded": False,
    }
