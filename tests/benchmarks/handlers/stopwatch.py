"""Time warm requests: our handler and the bare session, or the typical handler alone.

Runs as a script on the managed runtime's Python, which sees only a function and its layers. Each
line on its input asks for a round; the answer is a line of JSON with the microseconds of a request,
by case and handler.
"""

import base64
import json
import os
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

CALLS = 10  # in a row
ROWS = (1, 100, 1000)
CONTEXT: Any = SimpleNamespace(
    function_name="inference",
    memory_limit_in_mb=1769,
    invoked_function_arn="arn:aws:lambda:eu-west-1:123456789012:function:inference:live",
    aws_request_id="8f507cfc-xmpl-4697-b07a-ac58fc914c95",
)

type Case = dict[str, Callable[[], Any]]


def main(subject: str) -> None:
    """Answer until the input ends; what the handlers print is discarded."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    cases = {
        f"{rows} row{'s' * (rows > 1)}, {form}": prepare(subject, rows, form)
        for rows in ROWS
        for form in ("JSON", "binary")
        if subject == "ours" or form == "JSON"
    }
    for _ in sys.stdin:
        result = {case: measure(variants) for case, variants in cases.items()}
        answers.write(f"{json.dumps(result)}\n")


def measure(variants: Case) -> dict[str, float]:
    """Call each handler some times in a row, and return its best: noise only adds time."""
    best = {}
    for name, variant in variants.items():
        calls = []
        for _ in range(CALLS):
            started = time.perf_counter()
            variant()
            calls.append(time.perf_counter() - started)
        best[name] = min(calls) * 1e6
    return best


def prepare(subject: str, rows: int, form: str) -> Case:
    """Return the calls of one case; raise ValueError unless each answers as the session does."""
    directory = Path(os.environ["MODEL_DIR"])
    manifest = json.loads((directory / "model.json").read_text())
    [(name, golden)] = manifest["golden"][0]["inputs"].items()
    array = np.resize(np.array(golden, np.float32), (rows, len(golden[0])))
    path = f"/v2/models/{manifest['name']}/infer"
    event = make_event(path, name, array, binary=form == "binary")
    session = import_module("floor").session
    module = import_module("api.handler" if subject == "ours" else subject)
    check(module.handler(event, CONTEXT), session.run(None, {name: array}))
    calls: Case = {subject: lambda: module.handler(event, CONTEXT)}
    if subject == "ours":
        calls["session.run"] = lambda: session.run(None, {name: array})
    return calls


def check(answer: dict[str, Any], expected: list[Any]) -> None:
    """Raise ValueError unless the answer holds the arrays of the session."""
    if answer["isBase64Encoded"]:
        is_same = base64.b64decode(answer["body"]).endswith(b"".join(map(bytes, expected)))
    else:
        tensors = json.loads(answer["body"])["outputs"]
        is_same = all(
            np.allclose(np.reshape(tensor["data"], tensor["shape"]), array, 1e-5, 1e-6)
            for tensor, array in zip(tensors, expected, strict=True)
        )
    if not is_same:
        raise ValueError(f"status {answer['statusCode']}: {answer['body'][:200]}")


def make_event(path: str, name: str, array: Any, *, binary: bool) -> dict[str, Any]:
    """Make the event of an HTTP API for the rows of `array`."""
    tensor: dict[str, Any] = {"name": name, "datatype": "FP32", "shape": list(array.shape)}
    headers = {"content-type": "application/json"}
    if binary:
        tensor["parameters"] = {"binary_data_size": array.nbytes}
        header = json.dumps(
            {"inputs": [tensor], "parameters": {"binary_data_output": True}}
        ).encode()
        headers = {"inference-header-content-length": str(len(header))}
        body = base64.b64encode(header + array.tobytes()).decode()
    else:
        body = json.dumps({"inputs": [tensor | {"data": array.tolist()}]})
    return {
        "version": "2.0",
        "routeKey": "ANY /{proxy+}",
        "rawPath": path,
        "rawQueryString": "",
        "headers": headers,
        "requestContext": {
            "domainName": "localhost",
            "stage": "$default",
            "http": {
                "method": "POST",
                "path": path,
                "protocol": "HTTP/1.1",
                "sourceIp": "127.0.0.1",
            },
        },
        "body": body,
        "isBase64Encoded": binary,
    }


if __name__ == "__main__":
    main(sys.argv[1])
