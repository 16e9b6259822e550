"""Real customers, asked of the local run of a fresh checkout."""

import csv
from pathlib import Path

import httpx
import numpy as np
import onnxruntime

from tests.example_model import CUSTOMERS, INFER
from tests.local_run import LocalRun

ROOT = Path(__file__).parents[3]


def test_real_customers_get_what_onnxruntime_itself_answers(local_run: LocalRun) -> None:
    # GIVEN customers that the model has not been trained on
    with CUSTOMERS.open() as file:
        customers = np.array(
            [[float(value) for value in list(row.values())[:4]] for row in csv.DictReader(file)],
            np.float32,
        )
    session = onnxruntime.InferenceSession(ROOT / "layers/model/model.onnx")
    labels, probabilities = session.run(None, {"features": customers})

    # WHEN the API is asked about all of them
    tensor = {"name": "features", "datatype": "FP32", "shape": list(customers.shape)}
    request = {"inputs": [tensor | {"data": customers.tolist()}]}
    outputs = httpx.post(local_run.url + INFER, json=request).json()["outputs"]

    # THEN every number is the same
    assert len(customers) >= 50
    assert outputs[0]["data"] == labels.tolist()
    assert outputs[1]["data"] == probabilities.ravel().tolist()
