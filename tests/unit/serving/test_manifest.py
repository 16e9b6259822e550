"""manifest.py: a wrong or missing field of model.json is named, with what was expected."""

import json
from pathlib import Path
from typing import Any

import pytest

from serving.errors import ManifestError, RequestError
from serving.manifest import Tensor, read_manifest

VALID: dict[str, Any] = {
    "schema": 1,
    "name": "churn",
    "version": "7",
    "files": {"model.onnx": "0" * 64},
    "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 2]}],
    "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1]}],
}
FEATURE = {"name": "age", "baseline": {"edges": [0, 1, 2], "counts": [3, 4]}}


def write(folder: Path, manifest: Any) -> Path:
    path = folder / "model.json"
    path.write_text(json.dumps(manifest))
    return path


def test_reads_the_least_that_a_model_needs(tmp_path: Path) -> None:
    manifest = read_manifest(write(tmp_path, VALID))

    assert (manifest.name, manifest.version, manifest.sha256) == ("churn", "7", "0" * 64)
    assert manifest.inputs == [Tensor("x", "FP32", [-1, 2])]
    assert manifest.limits.rows > 0


def test_golden_requests_that_do_not_say_otherwise_hold_samples(tmp_path: Path) -> None:
    # GIVEN model.json as it was written before it said whose data it holds
    golden = [{"inputs": {"x": [[1, 2]]}, "outputs": {}}]

    [read] = read_manifest(write(tmp_path, VALID | {"golden": golden})).golden

    assert read.source == "samples"


@pytest.mark.parametrize("field", ["schema", "name", "version", "files", "inputs", "outputs"])
def test_names_the_missing_field(tmp_path: Path, field: str) -> None:
    manifest = {name: value for name, value in VALID.items() if name != field}

    with pytest.raises(ManifestError, match=f"missing required field `{field}`"):
        read_manifest(write(tmp_path, manifest))


def with_input(**fields: Any) -> dict[str, Any]:
    return {"inputs": [VALID["inputs"][0] | fields]}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"schema": 2}, r"model.json: Invalid enum value 2 - at `\$.schema`"),
        ({"name": "a/b"}, r"matching regex .* at `\$.name`"),
        ({"files": {"model.onnx": "abc"}}, r"matching regex .* at `\$.files"),
        ({"files": {"weights.bin": "0" * 64}}, "`files` must have an entry `model.onnx`"),
        (
            {"files": VALID["files"] | {"../w": "0" * 64}},
            "must be a path inside the model's",
        ),
        ({"files": VALID["files"] | {"/w": "0" * 64}}, "must be a path inside the model's"),
        ({"inputs": []}, r"length >= 1 - at `\$.inputs`"),
        ({"inputs": VALID["inputs"] * 2}, "`inputs` names a tensor twice"),
        ({"colour": "red"}, "unknown field `colour`"),
        (with_input(datatype="FLOAT"), r"`datatype` must be one of BOOL, .* at `\$.inputs\[0\]`"),
        (with_input(shape=[-2, 2]), r"`int` >= -1 - at `\$.inputs\[0\].shape\[0\]`"),
        (with_input(shape="[2]"), r"Expected `array`, got `str` - at `\$.inputs\[0\].shape`"),
        (with_input(features=[FEATURE]), "`features` has 1 entries, so the last dimension"),
        (with_input(labels=["no"]), "`labels` has 1 entries, so the last dimension"),
        (with_input(dimensions=["batch"]), "`dimensions` must be as long as `shape`, got 1"),
        (with_input(dimensions=['"', None]), r"matching regex .* at `\$.inputs\[0\].dimensions"),
        (with_input(least_lengths=[1]), "`least_lengths` must be as long as `shape`, got 1"),
        (with_input(least_lengths=[1, -1]), r"`int` >= 0 - at `\$.inputs\[0\].least_lengths"),
        (with_input(answered_lengths=[None]), "`answered_lengths` must be as long as `shape`"),
        (with_input(answered_lengths=[None, [2]]), r"`array` of length 2"),
        (with_input(datatype="BYTES", sizes=True), "BYTES holds no sizes"),
        (with_input(index_range=[1, 5]), r"an index range must hold 0, got \[1, 5\]"),
        (with_input(index_range=[0]), r"Expected `array` of length 2"),
        (with_input(column_index_ranges=[[0, 5]]), "`column_index_ranges` has 1 entries"),
        (with_input(column_index_ranges=[None, [0, -1]]), r"must hold 0, got \[0, -1\]"),
        (with_input(datatype="BYTES", index_range=[0, 5]), "BYTES holds no index"),
        (with_input(column_categories=[["a"]]), "`column_categories` has 1 entries"),
        (with_input(categories=["a", "b"]), "the categories of FP32 must be of type int"),
        (with_input(datatype="BYTES", categories=[1]), "categories of BYTES must be of type str"),
        (with_input(categories=[]), r"length >= 1 - at `\$.inputs\[0\].categories`"),
        ({"limits": {"rows": 0}}, r"`int` >= 1 - at `\$.limits.rows`"),
        ({"golden": [{"inputs": {"z": [1]}, "outputs": {}}]}, r"golden\[0\].inputs` names no"),
        (
            {"golden": [{"inputs": {}, "outputs": {}, "source": "customers"}]},
            r"Invalid enum value 'customers' - at `\$.golden\[0\].source`",
        ),
        ({"example": {"z": [1]}}, r"`example` names no tensor: \['z'\]"),
    ],
)
def test_names_the_wrong_field_and_what_was_expected(
    tmp_path: Path, fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(ManifestError, match=message):
        read_manifest(write(tmp_path, VALID | fields))


@pytest.mark.parametrize(
    ("baseline", "message"),
    [
        ({"edges": [0, 1], "counts": [1, 2]}, "`edges` must be one longer than `counts`"),
        ({"edges": [0, 2, 1], "counts": [1, 2]}, "`edges` must increase"),
        ({"edges": [0, 1, 2], "counts": [1, -1]}, "`int` >= 0"),
    ],
)
def test_refuses_a_histogram_that_is_none(
    tmp_path: Path, baseline: dict[str, Any], message: str
) -> None:
    features = [FEATURE, FEATURE | {"name": "spend", "baseline": baseline}]

    with pytest.raises(ManifestError, match=message):
        read_manifest(write(tmp_path, VALID | with_input(features=features)))


@pytest.mark.parametrize("text", ["", "{", "[]", '"\ud800"'])
def test_refuses_what_is_no_json_object(tmp_path: Path, text: str) -> None:
    path = tmp_path / "model.json"
    path.write_text(text, errors="surrogatepass")

    with pytest.raises(ManifestError, match=r"^model\.json: "):
        read_manifest(path)


def test_refuses_a_missing_file_without_telling_the_path(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"^model.json is missing from the model layer$"):
        read_manifest(tmp_path / "model.json")


@pytest.mark.parametrize(
    ("inputs", "limits", "expected"),
    [
        ([{"datatype": "FP32", "shape": [-1, 2]}], {}, 2**19 + 48 * 20_000 + 10_000),
        ([{"datatype": "FP32", "shape": [-1, 2]}], {"rows": 10}, 2**19 + 48 * 20 + 10),
        ([{"datatype": "FP32", "shape": [3, 0]}], {}, 2**19 + 48 * 3 + 10_000),
        ([{"datatype": "FP32", "shape": []}], {"elements": 5}, 2**19 + 48 + 10_000),
        ([{"datatype": "FP32", "shape": [-1, -1]}], {"elements": 5}, 2**19 + 48 * 5 + 10_000),
        ([{"datatype": "FP32", "shape": [-1, -1]}], {}, 25_000_000),
        ([{"datatype": "BYTES", "shape": [1]}], {}, 25_000_000),
        ([{"datatype": "BYTES", "shape": [1]}], {"expanded_bytes": 7}, 7),
        ([{"datatype": "FP32", "shape": [1]}], {"expanded_bytes": 10**9}, 10**9),
    ],
)
def test_a_compressed_body_may_expand_to_what_the_limits_need(
    tmp_path: Path, inputs: list[dict[str, Any]], limits: dict[str, int], expected: int
) -> None:
    fields = {"inputs": [{"name": "x"} | tensor for tensor in inputs], "limits": limits}

    assert read_manifest(write(tmp_path, VALID | fields)).expanded_bytes == expected


@pytest.mark.parametrize("shape", [[3, 2], [0, 2]])
def test_a_dynamic_dimension_takes_any_length(shape: list[int]) -> None:
    Tensor("x", "FP32", [-1, 2]).check("FP32", shape)


@pytest.mark.parametrize(
    ("datatype", "shape", "message"),
    [
        ("FP64", [3, 2], "input 'x': expected FP32, got FP64"),
        ("<script>", [3, 2], "input 'x': expected FP32, got another"),
        ("FP32", [3, 4], "input 'x': expected shape [-1, 2] (-1: any length), got [3, 4]"),
        ("FP32", [3], "input 'x': expected shape [-1, 2] (-1: any length), got [3]"),
        ("FP32", [-1, 2], "input 'x': expected shape [-1, 2] (-1: any length), got [-1, 2]"),
        ("FP32", [1] * 99, "input 'x': expected shape [-1, 2] (-1: any length), got 99 dimensions"),
    ],
)
def test_a_tensor_outside_the_contract_is_refused(
    datatype: str, shape: list[int], message: str
) -> None:
    with pytest.raises(RequestError) as refused:
        Tensor("x", "FP32", [-1, 2]).check(datatype, shape)

    assert str(refused.value) == message
