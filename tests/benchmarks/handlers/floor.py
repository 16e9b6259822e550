"""The floor: the same model, request and session as ours, with only numpy and onnxruntime."""

import json
import os
import time
from typing import Any

import numpy as np
import onnxruntime

DATATYPES = {"float32": "FP32", "int64": "INT64"}


def make_options() -> Any:
    """Return the options of our own sessions."""
    options = onnxruntime.SessionOptions()
    memory_mb = int(os.environ["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"])
    options.intra_op_num_threads = max(1, round(memory_mb / 1769))
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    options.log_severity_level = 4
    return options


started = time.perf_counter()
session = onnxruntime.InferenceSession(
    f"{os.environ['MODEL_DIR']}/model.onnx", make_options(), providers=["CPUExecutionProvider"]
)
print(json.dumps({"ModelLoadTime": (time.perf_counter() - started) * 1e3}))  # noqa: T201 read there
names = [output.name for output in session.get_outputs()]


def handler(event: dict[str, Any], _context: Any) -> dict[str, Any]:
    """Answer an inference request in JSON, and check nothing."""
    [tensor] = json.loads(event["body"])["inputs"]
    array = np.array(tensor["data"], np.float32)
    outputs = [
        {
            "name": name,
            "datatype": DATATYPES[output.dtype.name],
            "shape": output.shape,
            "data": output.ravel().tolist(),
        }
        for name, output in zip(names, session.run(None, {tensor["name"]: array}), strict=True)
    ]
    headers = {"content-type": "application/json"}
    return {"statusCode": 200, "headers": headers, "body": json.dumps({"outputs": outputs})}
