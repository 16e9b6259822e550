"""Time warm requests inside the built function, on the managed runtime's Python alone.

Runs as a script in an execution environment of its own; prints one JSON object: medians in
microseconds by case, over rounds in which every variant takes its turn.
"""

import base64
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from api import handler as api
from serving import telemetry

ROUNDS = 200
CONTEXT: Any = SimpleNamespace(
    function_name="inference",
    memory_limit_in_mb=1769,
    invoked_function_arn="arn:aws:lambda:eu-west-1:123456789012:function:inference:live",
    aws_request_id="8f507cfc-xmpl-4697-b07a-ac58fc914c95",
)


def main() -> None:
    with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere):
        result = {
            f"{rows} row{'s' * (rows > 1)}, {form}": measure(rows, binary=form == "binary")
            for rows in (1, 100, 1000)
            for form in ("JSON", "binary")
        }
    json.dump(result, sys.stdout)


def measure(rows: int, *, binary: bool) -> dict[str, float]:
    [tensor] = api.model.manifest.inputs
    array = np.resize(api.model.example()[tensor.name], (rows, *tensor.shape[1:]))
    event = make_event(tensor.name, array, binary=binary)
    variants: dict[str, Callable[[], Any]] = {
        "session.run": lambda: api.model._session.run(None, {tensor.name: array}),  # noqa: SLF001 the floor
        "handler": lambda: api.handler(event, CONTEXT),
        "handler without telemetry": lambda: without_telemetry(event),
    }
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(ROUNDS):
        for name, variant in variants.items():
            started = time.perf_counter()
            variant()
            seconds[name].append(time.perf_counter() - started)
    return {name: statistics.median(values) * 1e6 for name, values in seconds.items()}


def without_telemetry(event: dict[str, Any]) -> None:
    """Do what the handler does but count, measure and log."""
    metrics: Any = telemetry._metrics  # noqa: SLF001 the one thing to leave out
    metrics.add_metric = _ignore
    api._route(event, CONTEXT)  # noqa: SLF001 the handler, up to the line that it writes
    del metrics.add_metric


def _ignore(*_: object, **__: object) -> None:
    pass


def make_event(name: str, array: Any, *, binary: bool) -> dict[str, Any]:
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
    path = f"/v2/models/{api.model.manifest.name}/infer"
    return {
        "rawPath": path,
        "headers": headers,
        "requestContext": {"stage": "$default", "http": {"method": "POST", "path": path}},
        "body": body,
        "isBase64Encoded": binary,
    }


if __name__ == "__main__":
    main()
