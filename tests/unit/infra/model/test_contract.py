"""model.json: what samples and names add to what the graph tells."""

import json
import sys
from typing import Any

import numpy as np
import pytest

from infra.model.contract import label, name_features, succeed
from infra.model.errors import ModelError
from infra.model.golden import choose_golden, make_golden
from infra.model.histogram import describe_values
from infra.model.samples.samples import Samples
from infra.model.serialization import to_json
from infra.model.sizing import price, suggest


def make_contract(**fields: Any) -> dict[str, Any]:
    return {
        "name": "churn",
        "version": "1",
        "description": "",
        "inputs": [{"name": "X", "datatype": "FP32", "shape": [-1, 2]}],
        "outputs": [
            {"name": "label", "datatype": "INT64", "shape": [-1]},
            {"name": "p", "datatype": "FP32", "shape": [-1, 2]},
        ],
        "limits": {"rows": 10_000, "elements": 1_000_000},
    } | fields


def make_samples(rows: Any, columns: list[str] | None = None) -> Samples:
    inputs = make_contract()["inputs"]
    return Samples(inputs, {"X": np.array(rows, np.float32)}, {"X": columns} if columns else {})


def test_histogram_has_equally_full_bins_and_no_value_on_an_edge() -> None:
    values = np.arange(1000, dtype=np.float32) / 10
    baseline = describe_values(values)["baseline"]
    assert baseline["counts"] == [100] * 10
    assert baseline["edges"][1] == 9.95
    assert not set(baseline["edges"][1:-1]) & {round(float(value), 1) for value in values}


def test_a_frequent_value_has_a_bin_of_its_own() -> None:
    values = np.array([0] * 60 + list(range(1, 41)), np.int64)
    baseline = describe_values(values)["baseline"]
    assert baseline["edges"][:2] == [0, 0.5]
    assert baseline["counts"][0] == 60
    assert sum(baseline["counts"]) == 100


def test_extremes_of_float32_are_counted_and_written_in_the_fewest_digits() -> None:
    # GIVEN numbers that float32 holds a little above and below what is written
    described = describe_values(np.array([0.1, 0.2, 0.3], np.float32))
    assert (described["minimum"], described["maximum"]) == (0.1, 0.3)
    assert described["baseline"] == {"edges": [0.1, 0.3], "counts": [3]}


def test_a_constant_has_a_range_and_no_histogram() -> None:
    assert describe_values(np.array([2, 2, 2], np.float32)) == {"minimum": 2, "maximum": 2}
    assert describe_values(np.full(10, 42.5)) == {"minimum": 42.5, "maximum": 42.5}
    assert describe_values(np.array(["a", "b"], object)) == {}


SECRETS = (-87654.321, 987654.321)


@pytest.mark.parametrize("rows", [1, 2, 3, 19, 50, 199, 200, 1_000, 10_000])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_no_single_row_shows_in_a_range_or_a_histogram(rows: int, dtype: Any) -> None:
    # GIVEN a column in which the first and the last are the values of two persons
    usual = np.random.default_rng(rows).normal(40, 12, max(rows, 2)).round(3)
    values = np.array([*usual[2:], *SECRETS][-rows:], dtype)
    # WHEN it is described
    described = describe_values(values)
    # THEN neither these values nor any other is in it
    edges = described["baseline"]["edges"]
    assert (described["minimum"], described["maximum"]) == (edges[0], edges[-1])
    assert not {float(str(value)) for value in values} & set(edges)
    assert "7654" not in json.dumps(described)
    # AND all rows are counted, none by itself
    counts = described["baseline"]["counts"]
    assert sum(counts) == rows
    assert len(counts) == 1 or min(counts) >= 10
    # AND with enough rows the range is that of nearly all of them
    if rows >= 200:
        assert -50 < edges[0] < edges[-1] < 150
        assert len(counts) == 10
        assert np.mean((values >= edges[0]) & (values <= edges[-1])) >= 0.89


def test_rare_values_are_counted_with_others() -> None:
    # GIVEN a value that three rows have, and one that thirty have
    for rare, expected in ((3, None), (30, [970, 30])):
        values = np.array([0] * (1000 - rare) + [1] * rare)
        assert describe_values(values).get("baseline", {}).get("counts") == expected


@pytest.mark.parametrize(
    ("values", "low", "high"),
    [
        ([18.3, 86.7], 10, 90),
        ([42], 40, 50),
        ([-0.0037], -0.004, -0.003),
        ([0, 1], 0, 1),
        ([0], 0, 0),
        ([1e-310, 3e-310], 0, 1e-308),
        ([-1.7e308, 1.7e308], -sys.float_info.max, sys.float_info.max),
        (np.arange(1000), 0, 990),
        ([7] * 990 + [8] * 10, 7, 8),
        ([7] * 991 + [8] * 9, 7, 7),
    ],
)
def test_ranges_are_rounded_outwards(values: Any, low: float, high: float) -> None:
    described = describe_values(np.array(values, np.float64))
    assert (described["minimum"], described["maximum"]) == (low, high)


def test_a_range_is_within_its_datatype() -> None:
    described = describe_values(np.array([3, 251], np.uint8))
    assert (described["minimum"], described["maximum"]) == (0, 255)
    assert describe_values(np.array([-65000, 65000], np.float16))["maximum"] == 65504


def test_features_get_the_range_of_their_column_and_keep_what_a_person_wrote() -> None:
    # GIVEN a contract that already says what one of the features is
    contract = make_contract()
    contract["inputs"][0]["features"] = [
        {"name": "age", "unit": "years", "description": "of the customer", "minimum": -7}
    ]
    # WHEN the columns of samples are named
    samples = make_samples([[20, 1], [30, 2]], ["age", "visits"])
    name_features(contract, samples.columns, samples)
    # THEN the range is that of the samples and the words are still there
    age, visits = contract["inputs"][0]["features"]
    assert age["unit"] == "years"
    assert age["description"] == "of the customer"
    assert (age["minimum"], age["maximum"]) == (20, 30)
    assert visits["name"] == "visits"
    assert visits["baseline"] == {"edges": [1, 2], "counts": [2]}


def test_features_without_samples_are_only_named() -> None:
    contract = make_contract()
    name_features(contract, {"X": ["age", "visits"]})
    assert contract["inputs"][0]["features"] == [{"name": "age"}, {"name": "visits"}]


def test_labels_name_the_columns_of_the_output_that_has_as_many() -> None:
    contract = make_contract()
    label(contract, ["stays", "leaves"])
    assert contract["outputs"][1]["labels"] == ["stays", "leaves"]
    with pytest.raises(ModelError, match="--labels names 3 columns, and no output has as many"):
        label(contract, ["a", "b", "c"])


def test_the_next_version_keeps_what_no_graph_says() -> None:
    # GIVEN a model whose contract was written by a person
    previous = make_contract(
        version="9",
        description="who leaves",
        non_finite_outputs="null",
        limits={"rows": 5, "elements": 50, "bytes": 500},
    )
    previous["inputs"][0]["features"] = [{"name": "age", "unit": "years"}, {"name": "visits"}]
    previous["outputs"][1]["labels"] = ["stays", "leaves"]
    # WHEN another graph of the same model is packaged
    contract = make_contract()
    succeed(contract, previous, None)
    # THEN only the version is new
    assert contract == previous | {"version": "10"}


def test_the_next_version_drops_names_of_columns_that_it_does_not_have() -> None:
    previous = make_contract()
    previous["outputs"][1] = {"name": "p", "shape": [-1, 3], "labels": ["a", "b", "c"]}
    contract = make_contract()
    succeed(contract, previous, "2026-11")
    assert "labels" not in contract["outputs"][1]
    assert contract["version"] == "2026-11"


def test_a_version_that_is_no_number_has_no_next_one() -> None:
    with pytest.raises(ModelError, match="the previous version '2026-11' is not a number"):
        succeed(make_contract(), make_contract(version="2026-11"), None)


def test_golden_rows_are_the_first_ones_and_the_extremes() -> None:
    rows = np.full((100, 2), 5.0)
    rows[40, 0], rows[50, 1], rows[60, 0], rows[70, 1] = 0, 0, 9, 9
    assert choose_golden(make_samples(rows), row_elements=4) == [
        [0],
        [1, 2, 3, 4, 5, 6, 7, 40, 50, 60, 70],
    ]
    assert choose_golden(make_samples([[1, 2]]), row_elements=4) == [[0], [0]]


def test_golden_rows_of_large_inputs_are_few() -> None:
    rows = np.random.default_rng(0).random((100, 2))
    assert choose_golden(make_samples(rows), row_elements=100_000) == [[0]]
    assert len(choose_golden(make_samples(rows), row_elements=5_000)[1]) == 4


def test_golden_rows_of_a_model_without_batches_are_requests_of_their_own() -> None:
    tensor = {"name": "x", "datatype": "FP32", "shape": [1, 2]}
    samples = Samples([tensor], {"x": np.array([[1, 2], [3, 4], [0, 0]], np.float32)})
    assert choose_golden(samples, row_elements=4) == [[0], [1], [2]]


def test_golden_numbers_are_written_in_the_fewest_digits_that_give_them_back() -> None:
    inputs = {"x": np.array([0.1, 1 / 3], np.float32), "name": np.array(["a"], object)}
    golden = make_golden(inputs, {"y": np.array([[True]]), "z": np.array(7, np.int64)}, "samples")
    assert golden["inputs"] == {"x": [0.1, 0.33333334], "name": ["a"]}
    assert golden["outputs"] == {"y": [[True]], "z": 7}
    assert np.array(golden["inputs"]["x"], np.float32).tolist() == inputs["x"].tolist()


def test_json_has_lists_of_numbers_on_one_line_and_is_what_it_was() -> None:
    value = {
        "counts": list(range(100)),
        "text": {"a": ["[x", "]"] * 40, "b": ["[1] " * 40]},
        "none": [],
        "empty": {},
    }
    text = to_json(value)
    assert json.loads(text) == value
    assert text.splitlines()[1] == f'  "counts": {list(range(100))},'


@pytest.mark.parametrize(
    ("peak_mb", "row_ms", "memory_mb"),
    [(60, 1, 1769), (1100, 1, 1769), (1200, 1, 3538), (60, 101, 3538), (9000, 1, 10240)],
)
def test_memory_is_whole_vcpus(peak_mb: int, row_ms: float, memory_mb: int) -> None:
    assert suggest(peak_mb, row_ms).memory_mb == memory_mb


def test_price_is_that_of_invocations_duration_api_logs_and_traces() -> None:
    # A million requests of 25 ms at 1769 MB: 0.20 + 1.00 + 43,188 GB-seconds + 1.38 GB of logs
    # + 50,000 traces.
    assert price(1769, 24.2) == {"x86_64": 2.86, "arm64": 2.72}
