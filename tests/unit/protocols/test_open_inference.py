"""open_inference.py: what the metadata tells a client of the model, and nothing of its samples."""

import json
from pathlib import Path
from typing import Any

from protocols.messages import Request
from protocols.open_inference import model_metadata
from serving.model import load_model
from tests.onnx_models import logistic, package

NAMES = ["age", "spend", "visits", "tenure"]
BASELINE = {"edges": [31337.0, 31338.0], "counts": [4711]}


def read_metadata(folder: Path, **fields: Any) -> tuple[str, dict[str, Any]]:
    model = load_model(package(folder, logistic(), **fields), function_version="7")
    body = model_metadata(model, Request(parameters={"name": "tiny"})).body
    return body.decode(), json.loads(body)


def test_metadata_has_what_a_lane_must_know(tmp_path: Path) -> None:
    # GIVEN a contract with features and limits of its own, and samples
    features = [{"name": name, "minimum": 31337.0, "baseline": BASELINE} for name in NAMES]
    tensor = {
        "name": "features",
        "datatype": "FP32",
        "shape": [-1, 4],
        "features": features,
        "column_index_ranges": [None, None, [0, 4], None],
    }
    golden = {"inputs": {"features": [[3133.5, 1, 2, 3]]}, "outputs": {"scores": [[0.5]]}}
    text, metadata = read_metadata(
        tmp_path,
        inputs=[tensor],
        golden=[golden],
        limits={"rows": 20, "elements": 40, "expanded_bytes": 1000},
        non_finite_outputs="null",
    )

    # THEN the columns and the values that they take are beside the tensor
    [described] = metadata["inputs"]
    assert described["features"] == NAMES
    assert described["column_index_ranges"] == [None, None, [0, 4], None]
    # AND the limits are plain values, as parameters of the protocol are
    assert metadata["parameters"] == {
        "max_rows": 20,
        "max_elements": 40,
        "max_expanded_bytes": 1000,
        "non_finite_outputs": "null",
    }
    # AND what was there before is there, of text alone
    assert metadata["properties"].keys() == {"sha256", "function_version"}
    assert metadata["properties"]["function_version"] == "7"
    # AND nothing of a sample is
    assert not any(value in text for value in ("31337", "31338", "4711", "3133.5"))


def test_metadata_of_a_model_without_features_names_none(tmp_path: Path) -> None:
    _, metadata = read_metadata(tmp_path)
    assert metadata["inputs"] == [{"name": "features", "datatype": "FP32", "shape": [-1, 4]}]
