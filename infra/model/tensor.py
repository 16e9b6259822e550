"""An input or output of a model, as model.json describes it."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import TensorProto, helper

type Tensor = dict[str, Any]  # an entry of `inputs` or `outputs` in model.json
type Shapes = Mapping[str, list[int]]  # by name of the output
type Array = npt.NDArray[Any]

DYNAMIC = -1  # the length of a dimension that can have any
TABLE = 2  # dimensions: rows and columns

# Element types that the Open Inference Protocol and onnxruntime's Python API both carry.
DATATYPES: dict[int, str] = {
    TensorProto.BOOL: "BOOL",
    TensorProto.UINT8: "UINT8",
    TensorProto.UINT16: "UINT16",
    TensorProto.UINT32: "UINT32",
    TensorProto.UINT64: "UINT64",
    TensorProto.INT8: "INT8",
    TensorProto.INT16: "INT16",
    TensorProto.INT32: "INT32",
    TensorProto.INT64: "INT64",
    TensorProto.FLOAT16: "FP16",
    TensorProto.BFLOAT16: "BF16",
    TensorProto.FLOAT: "FP32",
    TensorProto.DOUBLE: "FP64",
    TensorProto.STRING: "BYTES",
}
DTYPES = {name: np.dtype(helper.tensor_dtype_to_np_dtype(kind)) for kind, name in DATATYPES.items()}


def kind_of(tensor: Tensor) -> str:
    """Return f for numbers with a fraction, i for integers, b for booleans and O for text."""
    datatype = tensor["datatype"]
    return {"BOOL": "b", "BYTES": "O"}.get(datatype, "f" if "F" in datatype else "i")


def has_rows(tensor: Tensor) -> bool:
    """Return whether the first dimension counts rows, and so has any length or the length 1."""
    return tensor["shape"][:1] in ([DYNAMIC], [1])


def row_shape(tensor: Tensor) -> list[int]:
    """Return the shape of one row, or of the whole tensor if it has no rows."""
    shape: list[int] = tensor["shape"]
    return shape[1:] if has_rows(tensor) else shape
