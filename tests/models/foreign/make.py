"""Make three models unlike the example, each as its users would hand it over.

Run it in the environment of layers/model/training/train.py. `make test-models` puts each of them
in the example's place and runs all tests.
"""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType, Int64TensorType, StringTensorType
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

HERE = Path(__file__).parent
WORDS = ["broken", "cancel", "delivery", "great", "invoice", "slow", "support", "thanks"]
COLUMNS = {
    "plan": StringTensorType([None, 1]),
    "country": StringTensorType([None, 1]),
    "age": Int64TensorType([None, 1]),
    "spend": FloatTensorType([None, 1]),
    "note": StringTensorType([None, 1]),
}


def main() -> None:
    """Write the models, and rows for the one whose strings nobody can make up."""
    rng = np.random.default_rng(0)
    rows = make_customers(rng, 400)
    onnx.save(make_churn(rows), HERE / "churn.onnx")
    with (HERE / "churn.csv").open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([list(COLUMNS), *rows[:60]])
    onnx.save(make_thumbnails(rng), HERE / "thumbnails.onnx")
    onnx.save(make_sentences(rng), HERE / "sentences.onnx")


def make_customers(rng: np.random.Generator, count: int) -> list[list[Any]]:
    """Return rows of a plan, a country, an age, a spend and a note."""
    return [
        [
            str(rng.choice(["basic", "plus", "family"])),
            str(rng.choice(["AT", "CH", "DE"])),
            int(rng.integers(18, 80)),
            round(float(rng.gamma(2, 20)), 2),
            " ".join(rng.choice(WORDS, 3)),
        ]
        for _ in range(count)
    ]


def make_churn(rows: list[list[Any]]) -> onnx.ModelProto:
    """Train a scikit-learn pipeline of categories, numbers and text, an input for each column."""
    leaves = [(spend < 30) != ("cancel" in note) for _, _, _, spend, note in rows]
    features = ColumnTransformer(
        [
            ("categories", OneHotEncoder(handle_unknown="ignore"), [0, 1]),
            ("numbers", StandardScaler(), [2, 3]),
            ("text", TfidfVectorizer(), 4),
        ]
    )
    pipeline = Pipeline([("features", features), ("classifier", LogisticRegression())])
    pipeline.fit(np.array(rows, object), np.where(leaves, "leaves", "stays"))
    model: onnx.ModelProto = to_onnx(
        pipeline, initial_types=list(COLUMNS.items()), target_opset=17, name="churn"
    )
    return model


def make_thumbnails(rng: np.random.Generator) -> onnx.ModelProto:
    """Classify pictures, FP16 [-1, 3, 32, 32]: a convolution with random weights, and a softmax."""
    kernels = rng.normal(0, 0.3, (8, 3, 3, 3)).astype(np.float16)
    weights = rng.normal(0, 1, (8, 10)).astype(np.float16)
    nodes = [
        helper.make_node("Conv", ["pixels", "kernels"], ["maps"], strides=[2, 2]),
        helper.make_node("Relu", ["maps"], ["active"]),
        helper.make_node("GlobalAveragePool", ["active"], ["means"]),
        helper.make_node("Flatten", ["means"], ["row"]),
        helper.make_node("MatMul", ["row", "weights"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["classes"]),
    ]
    return make_model(
        nodes,
        {"pixels": (TensorProto.FLOAT16, ["batch", 3, 32, 32])},
        {"classes": (TensorProto.FLOAT16, ["batch", 10])},
        {"kernels": kernels, "weights": weights},
    )


def make_sentences(rng: np.random.Generator) -> onnx.ModelProto:
    """Embed sentences as text encoders do: INT64 ids and a mask, [-1, -1], to FP32 [-1, 16]."""
    table = rng.normal(0, 1, (100, 16)).astype(np.float32)
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["tokens"]),
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["mask", "last"], ["column"]),
        helper.make_node("Mul", ["tokens", "column"], ["kept"]),
        helper.make_node("ReduceSum", ["kept", "middle"], ["sum"], keepdims=0),
        helper.make_node("LpNormalization", ["sum"], ["embedding"]),
    ]
    weights = {"table": table, "last": np.array([2]), "middle": np.array([1])}
    ids = (TensorProto.INT64, ["batch", "sequence"])
    return make_model(
        nodes,
        {"input_ids": ids, "attention_mask": ids},
        {"embedding": (TensorProto.FLOAT, ["batch", 16])},
        weights,
    )


def make_model(
    nodes: list[onnx.NodeProto],
    inputs: dict[str, tuple[int, list[Any]]],
    outputs: dict[str, tuple[int, list[Any]]],
    weights: dict[str, Any],
) -> onnx.ModelProto:
    """Return a model that the checker of ONNX accepts."""
    inputs_info, outputs_info = (
        [helper.make_tensor_value_info(name, *tensor) for name, tensor in tensors.items()]
        for tensors in (inputs, outputs)
    )
    initializers = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    graph = helper.make_graph(nodes, "foreign", inputs_info, outputs_info, initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return model


if __name__ == "__main__":
    main()
