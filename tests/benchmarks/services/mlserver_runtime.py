"""The model in MLServer, with a custom runtime since MLServer has none for ONNX."""

import os
from typing import Any

import onnxruntime
from mlserver import MLModel  # type: ignore[import-not-found]
from mlserver.codecs import NumpyCodec  # type: ignore[import-not-found]
from mlserver.types import InferenceRequest, InferenceResponse  # type: ignore[import-not-found]


class Onnx(MLModel):  # type: ignore[misc]
    """Answers with every output of the session."""

    async def load(self) -> bool:
        """Load the model."""
        path = f"{os.environ['MODEL_DIR']}/model.onnx"
        self._session: Any = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Predict for the rows of a request."""
        inputs = {tensor.name: NumpyCodec.decode_input(tensor) for tensor in payload.inputs}
        names = [argument.name for argument in self._session.get_outputs()]
        arrays = dict(zip(names, self._session.run(None, inputs), strict=True))
        outputs = [NumpyCodec.encode_output(name, array) for name, array in arrays.items()]
        for output in outputs:  # the codec turns a vector into a matrix
            output.shape = list(arrays[output.name].shape)
        return InferenceResponse(model_name=self.name, outputs=outputs)
