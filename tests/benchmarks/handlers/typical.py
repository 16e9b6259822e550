"""The typical function: FastAPI, pydantic, Mangum, a boto3 client and a default session."""

import json
import os
import time
from typing import Any

import boto3
import numpy as np
import onnxruntime
from fastapi import FastAPI
from mangum import Mangum
from pydantic import BaseModel


class InputTensor(BaseModel):
    """Rows of features."""

    name: str
    shape: list[int]
    datatype: str
    data: list[list[float]]


class InferRequest(BaseModel):
    """Open Inference Protocol, in JSON."""

    inputs: list[InputTensor]


class OutputTensor(BaseModel):
    """Values, row by row."""

    name: str
    shape: list[int]
    datatype: str
    data: list[float] | list[int]


class InferResponse(BaseModel):
    """Open Inference Protocol, in JSON."""

    model_name: str
    outputs: list[OutputTensor]


DATATYPES = {"float32": "FP32", "int64": "INT64"}

s3 = boto3.client("s3")  # where such functions keep their models or write their predictions
started = time.perf_counter()
session = onnxruntime.InferenceSession(
    f"{os.environ['MODEL_DIR']}/model.onnx", providers=["CPUExecutionProvider"]
)
print(json.dumps({"ModelLoadTime": (time.perf_counter() - started) * 1e3}))  # noqa: T201 read there
app = FastAPI()


@app.post("/v2/models/{name}/infer")
def infer(name: str, request: InferRequest) -> InferResponse:
    """Predict for rows of features."""
    inputs: dict[str, Any] = {
        tensor.name: np.array(tensor.data, np.float32) for tensor in request.inputs
    }
    outputs = zip(session.get_outputs(), session.run(None, inputs), strict=True)
    return InferResponse(
        model_name=name,
        outputs=[
            OutputTensor(
                name=argument.name,
                shape=list(array.shape),
                datatype=DATATYPES[array.dtype.name],
                data=array.ravel().tolist(),
            )
            for argument, array in outputs
        ],
    )


handler = Mangum(app, lifespan="off")
