"""model.py: verifies before it loads, and predicts only within the contract."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import save

from serving.errors import (
    InferenceError,
    LimitError,
    ManifestError,
    ModelLoadError,
    RequestError,
)
from serving.model import SMALL, load_model
from tests.onnx_models import (
    gather,
    identities,
    identity,
    is_nan,
    logarithm,
    logistic,
    package,
    quotient,
)

ROWS = np.array([[1, 2, 3, 4], [5, 6, 7, 8]], np.float32)


def test_predicts_what_the_graph_says(tmp_path: Path) -> None:
    model = load_model(package(tmp_path, logistic()))

    scores = model.predict(model.check({"features": ROWS})).outputs["scores"]

    weighted = ROWS @ np.array([[0.1], [-0.2], [0.3], [0.05]], np.float32)
    np.testing.assert_allclose(scores, 1 / (1 + np.exp(-weighted)), rtol=1e-6)


def test_refuses_a_file_that_is_not_the_packaged_one(tmp_path: Path) -> None:
    # GIVEN a layer whose model was replaced after model.json was written
    package(tmp_path, logistic())
    packaged = hashlib.sha256((tmp_path / "model.onnx").read_bytes()).hexdigest()
    save(logarithm(), tmp_path / "model.onnx")
    found = hashlib.sha256((tmp_path / "model.onnx").read_bytes()).hexdigest()

    # WHEN it is loaded, THEN both digests are told
    with pytest.raises(ModelLoadError) as refused:
        load_model(tmp_path)
    assert packaged in str(refused.value)
    assert found in str(refused.value)


@pytest.mark.parametrize("size", [0, SMALL, SMALL + 1, 3 * SMALL])
def test_files_of_every_size_are_verified(tmp_path: Path, size: int) -> None:
    # GIVEN a model with a file beside it
    data = bytes(size)
    package(tmp_path, logistic())
    manifest = json.loads((tmp_path / "model.json").read_text())
    manifest["files"]["weights.bin"] = hashlib.sha256(data).hexdigest()
    (tmp_path / "model.json").write_text(json.dumps(manifest))
    (tmp_path / "weights.bin").write_bytes(data)
    load_model(tmp_path)
    # WHEN its last byte is another one
    (tmp_path / "weights.bin").write_bytes(data[:-1] + b"x")
    # THEN
    with pytest.raises(ModelLoadError, match=r"weights\.bin: model\.json says sha256"):
        load_model(tmp_path)


def test_a_python_without_a_sha256_of_its_own_verifies_by_hashlib(tmp_path: Path) -> None:
    # GIVEN a build of CPython that leaves hashing to OpenSSL
    code = """if True:
        import sys
        from pathlib import Path
        sys.modules["_sha2"] = None
        from serving.model import load_model
        load_model(Path(sys.argv[1]))
    """
    package(tmp_path, logistic())

    subprocess.run(
        [sys.executable, "-c", code, tmp_path],
        env={"PYTHONPATH": "functions", "PATH": os.defpath},
        check=True,
    )


def test_verifies_every_file_that_the_manifest_lists(tmp_path: Path) -> None:
    package(tmp_path, logistic())
    manifest = json.loads((tmp_path / "model.json").read_text())
    manifest["files"]["weights.bin"] = "0" * 64
    (tmp_path / "model.json").write_text(json.dumps(manifest))

    with pytest.raises(ModelLoadError, match=r"weights\.bin is in model\.json but not in"):
        load_model(tmp_path)

    (tmp_path / "weights.bin").write_bytes(b"1")
    with pytest.raises(ModelLoadError, match=r"weights\.bin: model\.json says sha256 0000"):
        load_model(tmp_path)


def test_says_that_onnxruntime_cannot_load_the_file(tmp_path: Path) -> None:
    package(tmp_path, logistic())
    (tmp_path / "model.onnx").write_bytes(b"not a model")
    digest = hashlib.sha256(b"not a model").hexdigest()
    manifest = json.loads((tmp_path / "model.json").read_text())
    (tmp_path / "model.json").write_text(json.dumps(manifest | {"files": {"model.onnx": digest}}))

    with pytest.raises(ModelLoadError, match=r"onnxruntime cannot load model\.onnx"):
        load_model(tmp_path)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"inputs": [{"name": "features", "datatype": "FP64", "shape": [-1, 4]}]},
            r"'features' is FP64 \[-1, 4\], in the graph it is FP32 \[-1, 4\]",
        ),
        (
            {"inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 4]}]},
            "inputs: the graph has no 'x'",
        ),
        (
            {"outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, 1]}]},
            "outputs: the graph has no 'y'",
        ),
    ],
)
def test_refuses_a_manifest_of_another_model(
    tmp_path: Path, fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(ManifestError, match=message):
        load_model(package(tmp_path, logistic(), **fields))


@pytest.mark.parametrize("shape", [[3, 7, 7], [-1, 2]])
def test_refuses_an_output_shape_that_is_not_the_graphs(tmp_path: Path, shape: list[int]) -> None:
    outputs = [{"name": "scores", "datatype": "FP32", "shape": shape}]

    with pytest.raises(ManifestError, match=r"in the graph it is FP32 \[-1, 1\]"):
        load_model(package(tmp_path, logistic(), outputs=outputs))


def test_refuses_limits_that_no_request_could_keep(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="one row of 'features' has 4"):
        load_model(package(tmp_path, logistic(), limits={"elements": 3}))


def test_refuses_what_onnxruntime_cannot_pass_on(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="cannot answer BF16 to a BYTES input"):
        load_model(package(tmp_path, identities({"BYTES": [None], "BF16": [None]})))


def test_an_optional_input_keeps_the_graphs_value_unless_it_is_given(tmp_path: Path) -> None:
    # GIVEN y = x / b, where the graph says that b is 10
    fields = {
        "inputs": [
            {"name": "x", "datatype": "FP32", "shape": [-1]},
            {"name": "b", "datatype": "FP32", "shape": [1], "optional": True},
        ],
        "golden": [{"inputs": {"x": [1]}, "outputs": {"y": [0.1]}}],
    }

    model = load_model(package(tmp_path, quotient(), **fields))

    x, b = np.array([1.0], np.float32), np.array([2.0], np.float32)
    assert model.predict(model.check({"x": x})).outputs["y"].tolist() == pytest.approx([0.1])
    assert model.predict(model.check({"x": x, "b": b})).outputs["y"].tolist() == [0.5]


def test_no_wanted_outputs_are_all_of_them(tmp_path: Path) -> None:
    model = load_model(package(tmp_path, logistic()))

    assert set(model.predict(model.check({"features": ROWS}), []).outputs) == {"scores"}


def test_an_empty_tensor_may_not_ask_for_a_huge_answer(tmp_path: Path) -> None:
    model = load_model(package(tmp_path, identity("FP32", [None, None])))

    with pytest.raises(LimitError, match="elements"):
        model.predict(model.check({"x": np.zeros((0, 10_000_000), np.float32)}))


SECRET = 987654.25


@pytest.mark.parametrize(
    ("fields", "expected"),
    [({}, [[0, 0, 0, 0]]), ({"example": {"features": [[1, 2, 3, 4]]}}, [[1, 2, 3, 4]])],
)
def test_the_example_for_callers_is_no_golden_sample(
    tmp_path: Path, fields: dict[str, Any], expected: list[list[float]]
) -> None:
    golden = [{"inputs": {"features": [[SECRET] * 4]}, "outputs": {}}]

    model = load_model(package(tmp_path, logistic(), golden=golden, **fields))

    assert {name: array.tolist() for name, array in model.example().items()} == {
        "features": expected
    }


@pytest.mark.parametrize(
    ("field", "place"),
    [
        (lambda inputs: {"example": inputs}, "example"),
        (lambda inputs: {"golden": [{"inputs": inputs, "outputs": {}}]}, r"golden\[0\]\.inputs"),
    ],
)
@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (["Anna", 2, 3, 4], "input 'features': expected an array of FP32"),
        ([[SECRET], 2, 3, 4], "input 'features': expected an array of FP32"),
        ([SECRET, 2, 3], "input 'features': expected shape"),
    ],
)
def test_inputs_of_the_manifest_that_do_not_fit_are_named_and_not_repeated(
    tmp_path: Path, field: Any, place: str, values: list[Any], reason: str
) -> None:
    fields = field({"features": [values]})

    with pytest.raises(ManifestError, match=rf"^model\.json: {place}: {reason}") as refused:
        load_model(package(tmp_path, logistic(), **fields))

    assert "Anna" not in str(refused.value)
    assert "98765" not in str(refused.value)


def test_runs_the_first_golden_sample_before_the_first_request(tmp_path: Path) -> None:
    # GIVEN a golden sample on which the model fails
    golden = [{"inputs": {"x": [99]}, "outputs": {"y": [0]}}]

    # WHEN the model is loaded, THEN it has been tried
    with pytest.raises(InferenceError):
        load_model(package(tmp_path, gather(), golden=golden))


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({}, "input 'features' is missing"),
        ({"x": ROWS}, "unknown input; the model has: features"),
        ({"features": ROWS, "x": ROWS}, "unknown input; the model has: features"),
        ({"features": ROWS.astype(np.float64)}, "input 'features': expected FP32, got FP64"),
        ({"features": ROWS[0]}, r"input 'features': expected shape \[-1, 4\]"),
        ({"features": ROWS[:, :3]}, r"input 'features': expected shape \[-1, 4\]"),
    ],
)
def test_refuses_input_outside_the_contract(
    tmp_path: Path, inputs: dict[str, Any], message: str
) -> None:
    model = load_model(package(tmp_path, logistic()))

    with pytest.raises(RequestError, match=message):
        model.predict(model.check(inputs))


def test_refuses_more_rows_or_elements_than_the_limits_allow(tmp_path: Path) -> None:
    limits = {"rows": 2, "elements": 8}
    model = load_model(package(tmp_path, logistic(), limits=limits))
    square = load_model(package(tmp_path / "x", identity("FP32", [None, None]), limits=limits))

    model.predict(model.check({"features": ROWS}))
    with pytest.raises(LimitError, match="at most 2 rows a request"):
        model.predict(model.check({"features": np.zeros((3, 4), np.float32)}))
    with pytest.raises(LimitError, match="at most 8 elements a request"):
        square.predict(square.check({"x": np.zeros((2, 5), np.float32)}))


def test_returns_only_the_outputs_that_are_asked_for(tmp_path: Path) -> None:
    model = load_model(package(tmp_path, logistic()))

    assert set(model.predict(model.check({"features": ROWS}), ["scores"]).outputs) == {"scores"}
    with pytest.raises(RequestError, match="unknown output; the model has: scores"):
        model.predict(model.check({"features": ROWS}), ["label"])


@pytest.mark.parametrize("value", [-1.0, 0.0])
def test_an_answer_that_is_no_number_is_an_error(tmp_path: Path, value: float) -> None:
    model = load_model(package(tmp_path, logarithm()))

    with pytest.raises(InferenceError, match="output 'y' holds NaN or infinity"):
        model.predict(model.check({"x": np.array([1.0, value], np.float32)}))


def test_nan_that_comes_of_nan_is_the_callers_mistake(tmp_path: Path) -> None:
    model = load_model(package(tmp_path, logarithm()))

    with pytest.raises(RequestError, match="output 'y' holds NaN or infinity, as an input does"):
        model.predict(model.check({"x": np.array([1.0, np.nan], np.float32)}))


def test_nan_as_input_is_for_the_model_to_judge(tmp_path: Path) -> None:
    model = load_model(package(tmp_path, is_nan()))

    answer = model.predict(model.check({"x": np.array([np.nan], np.float32)})).outputs

    assert answer["y"].tolist() == [True]


def test_a_model_may_let_its_answers_be_no_numbers(tmp_path: Path) -> None:
    model = load_model(package(tmp_path, logarithm(), non_finite_outputs="null"))

    answer = model.predict(model.check({"x": np.array([1.0, -1.0], np.float32)})).outputs

    assert np.isnan(answer["y"]).tolist() == [False, True]


def test_a_failure_inside_onnxruntime_is_an_inference_error(tmp_path: Path) -> None:
    model = load_model(package(tmp_path, gather()))

    with pytest.raises(InferenceError, match="the model failed on this input"):
        model.predict(model.check({"x": np.array([99])}))


@pytest.mark.parametrize(("memory_mb", "threads"), [(512, 1), (1769, 1), (3538, 2), (10240, 6)])
def test_uses_as_many_threads_as_the_memory_buys(
    tmp_path: Path, memory_mb: int, threads: int
) -> None:
    model = load_model(package(tmp_path, logistic()), memory_mb)

    options = model._session.get_session_options()  # noqa: SLF001 what onnxruntime was really told
    assert options.intra_op_num_threads == threads
    assert options.inter_op_num_threads == 1
    for kind in ("intra", "inter"):
        assert options.get_session_config_entry(f"session.{kind}_op.allow_spinning") == "0"


def test_onnxruntime_records_nothing_under_home(tmp_path: Path) -> None:
    # GIVEN a home of its own, and no variable by which onnxruntime takes this for a test machine
    package(tmp_path / "model", logistic())
    home = tmp_path / "home"
    home.mkdir()
    code = "import pathlib, sys, serving.model;serving.model.load_model(pathlib.Path(sys.argv[1]))"

    # WHEN a model is loaded in a new process
    subprocess.run(
        [sys.executable, "-c", code, tmp_path / "model"],
        env={"HOME": str(home), "PYTHONPATH": "functions", "PATH": os.defpath},
        check=True,
    )

    # THEN telemetry has written nothing
    assert list(home.iterdir()) == []
