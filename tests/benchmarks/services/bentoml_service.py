"""The model in BentoML: one API with the path and fields of the Open Inference Protocol."""

import os
from typing import Any

import bentoml  # type: ignore[import-not-found]
import numpy as np
import onnxruntime

DATATYPES = {"float32": "FP32", "int64": "INT64"}


@bentoml.service(workers=1)
class Onnx:
    """Answers with every output of the session."""

    def __init__(self) -> None:
        path = f"{os.environ['MODEL_DIR']}/model.onnx"
        self._session: Any = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

    @bentoml.api(route=os.environ["INFER_PATH"])  # type: ignore[untyped-decorator]
    def infer(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        """Predict for the rows of a request."""
        arrays = {tensor["name"]: np.array(tensor["data"], np.float32) for tensor in inputs}
        outputs = zip(self._session.get_outputs(), self._session.run(None, arrays), strict=True)
        return {
            "outputs": [
                {
                    "name": argument.name,
                    "shape": list(array.shape),
                    "datatype": DATATYPES[array.dtype.name],
                    "data": array.ravel().tolist(),
                }
                for argument, array in outputs
            ]
        }
