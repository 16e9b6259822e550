"""Run the function through everything that it counts; what it prints are the records.

Runs as a script, in a process whose PYTHONPATH says which functions/ it is, as on Lambda: whether a
name in the code is that of an alarm can only be seen with code that has other names.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from runpy import run_module
from types import SimpleNamespace
from typing import Any

ROOT = Path(__file__).parents[1]
CONTEXT = SimpleNamespace(
    function_name="inference",
    memory_limit_in_mb=1769,
    invoked_function_arn="arn:aws:lambda:eu-west-1:123456789012:function:inference:live",
    aws_request_id="8f507cfc-xmpl-4697-b07a-ac58fc914c95",
)


def read_records(functions: Path, variables: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the records of the code in `functions`, with these environment variables."""
    process = subprocess.run(
        [sys.executable, Path(__file__)],
        env={
            "PATH": os.defpath,
            "PYTHONPATH": f"{functions}:{ROOT}",
            "OPENBLAS_NUM_THREADS": "1",
            **variables,
        },
        capture_output=True,
        text=True,
        check=True,
    )
    return [json.loads(line) for line in process.stdout.splitlines() if '"_aws"' in line]


def main() -> None:
    """Ask good, bad and failing models, for callers of the API and for each other lane."""
    from tests.onnx_models import gather, logarithm, logistic

    good = tensor("features", [2, 4], "FP32", [[1, 2, 3, 4], [5, 6, 7, 8]])
    ask(logistic(), good, good | {"name": "misspelt"})
    ask(gather(), tensor("x", [1], "INT64", [99]))  # fails inside the model
    ask(logarithm(), tensor("x", [1], "FP32", [-1]))  # NaN
    for lane in ("batch", "stream", "watch", "gate"):
        ask(logistic(), good, lane=lane)
    with suppress(Exception):
        ask(logistic(), files={"model.onnx": "0" * 64})  # does not load


def tensor(name: str, shape: list[int], datatype: str, data: Any) -> dict[str, Any]:
    """Make an input."""
    return {"name": name, "shape": shape, "datatype": datatype, "data": data}


def ask(model: Any, *inputs: dict[str, Any], lane: str = "", **fields: Any) -> None:
    """Start the function with a model, and ask it for each of the inputs."""
    from tests.onnx_models import package

    with tempfile.TemporaryDirectory() as folder:
        os.environ["MODEL_DIR"] = str(package(Path(folder), model, **fields))
        handler = run_module("api.handler")["handler"]
    for one in inputs:
        context: dict[str, Any] = {"stage": "$default", "http": {"method": "POST"}}
        if lane:
            context["lane"] = lane
        event = {
            "rawPath": "/v2/models/tiny/infer",
            "requestContext": context,
            "body": json.dumps({"inputs": [one]}),
        }
        handler(event, CONTEXT)


if __name__ == "__main__":
    main()
