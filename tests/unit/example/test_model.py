"""layers/model: the committed model, its contract and its card agree with each other."""

import csv
import hashlib
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from serving.manifest import Manifest, read_manifest
from serving.model import load_model
from tests.example_model import CONTRACT, CUSTOMERS, MODEL

ROOT = Path(__file__).parents[3]
LAYER = ROOT / "layers/model"


@pytest.fixture(scope="module")
def manifest() -> Manifest:
    return read_manifest(LAYER / "model.json")


@pytest.fixture(scope="module")
def provenance(manifest: Manifest) -> dict[str, Any]:
    return manifest.provenance


@pytest.fixture(scope="module")
def session() -> Any:
    import onnxruntime as ort  # after serving.model, which turns its telemetry off

    return ort.InferenceSession(LAYER / "model.onnx", providers=["CPUExecutionProvider"])


@pytest.fixture(scope="module")
def card() -> str:
    return (LAYER / "README.md").read_text()


def read_tables(card: str) -> list[list[list[str]]]:
    tables = re.findall(r"(?:^\|.*\n)+", card, re.MULTILINE)
    return [
        [[cell.strip() for cell in line.strip("|\n").split("|")] for line in table.splitlines()]
        for table in tables
    ]


def find_table(card: str, first_heading: str) -> list[list[str]]:
    [rows] = [table[2:] for table in read_tables(card) if table[0][0] == first_heading]
    return rows


@pytest.mark.parametrize("copy", [MODEL, CONTRACT])
def test_copy_for_other_tests_is_the_same(copy: Path) -> None:
    assert copy.read_bytes() == (LAYER / copy.name).read_bytes()


def test_file_has_the_digest_of_the_contract(manifest: Manifest) -> None:
    assert manifest.files == {
        "model.onnx": hashlib.sha256((LAYER / "model.onnx").read_bytes()).hexdigest()
    }


def test_graph_has_the_tensors_of_the_contract(manifest: Manifest, session: Any) -> None:
    # GIVEN the types that onnxruntime names otherwise than the protocol
    names = {"tensor(float)": "FP32", "tensor(int64)": "INT64"}

    # WHEN the graph is asked for its tensors
    def tensors(arguments: list[Any]) -> list[tuple[str, str, list[int]]]:
        return [
            (a.name, names[a.type], [d if isinstance(d, int) else -1 for d in a.shape])
            for a in arguments
        ]

    # THEN they are those of the contract, in the same order
    assert tensors(session.get_inputs()) == [(t.name, t.datatype, t.shape) for t in manifest.inputs]
    assert tensors(session.get_outputs()) == [
        (t.name, t.datatype, t.shape) for t in manifest.outputs
    ]


def test_golden_requests_get_their_answers_from_onnxruntime(
    manifest: Manifest, session: Any
) -> None:
    # GIVEN enough golden rows
    assert sum(len(golden.inputs["features"]) for golden in manifest.golden) >= 8

    for golden in manifest.golden:
        # WHEN onnxruntime answers them
        features = np.array(golden.inputs["features"], np.float32)
        label, probabilities = session.run(["label", "probabilities"], {"features": features})

        # THEN the answers are those of the contract
        assert label.tolist() == golden.outputs["label"]
        np.testing.assert_allclose(
            probabilities,
            golden.outputs["probabilities"],
            rtol=golden.relative_tolerance,
            atol=golden.absolute_tolerance,
        )


def test_golden_numbers_are_exact_in_float32(manifest: Manifest) -> None:
    numbers = [
        number
        for golden in manifest.golden
        for rows in (golden.inputs["features"], golden.outputs["probabilities"])
        for row in rows
        for number in row
    ]

    assert numbers == [float(str(np.float32(number))) for number in numbers]


def test_example_is_no_customer_of_the_samples(manifest: Manifest) -> None:
    [example] = manifest.example["features"]

    assert {golden.source for golden in manifest.golden} == {"samples"}
    assert example not in [row for golden in manifest.golden for row in golden.inputs["features"]]
    for number, feature in zip(example, manifest.inputs[0].features, strict=True):
        assert feature.minimum is not None
        assert feature.maximum is not None
        assert feature.minimum <= number <= feature.maximum


def test_serving_loads_it(manifest: Manifest) -> None:
    # GIVEN a golden request
    golden = manifest.golden[1]
    features = np.array(golden.inputs["features"], np.float32)

    # WHEN the serving core loads the folder and answers it
    model = load_model(LAYER)
    outputs = model.predict(model.check({"features": features})).outputs

    # THEN it answers as the contract says
    assert outputs["label"].tolist() == golden.outputs["label"]
    np.testing.assert_allclose(
        outputs["probabilities"], golden.outputs["probabilities"], rtol=1e-5, atol=1e-6
    )


def test_histograms_hold_every_training_customer(
    manifest: Manifest, provenance: dict[str, Any]
) -> None:
    training = provenance["split"]["training"]["customers"]
    [features] = manifest.inputs

    for feature in features.features:
        assert feature.baseline
        assert sum(feature.baseline.counts) == training
        assert min(feature.baseline.counts) >= training / 200
        assert feature.baseline.edges[0] == feature.minimum
        assert feature.baseline.edges[-1] == feature.maximum
        assert feature.unit
        assert feature.description


def test_split_holds_every_customer_once(provenance: dict[str, Any]) -> None:
    parts = [provenance["split"][part]["customers"] for part in ("training", "held_out")]

    assert sum(parts) == provenance["data"]["customers"] == 23_570


def test_converted_model_agreed_with_scikit_learn(provenance: dict[str, Any]) -> None:
    conversion = provenance["conversion"]

    assert conversion["held_out_rows"] == provenance["split"]["held_out"]["customers"]
    assert conversion["label_mismatches"] == 0
    assert conversion["maximum_absolute_difference"] < 1e-6


@pytest.mark.parametrize(
    ("heading", "field"),
    [
        ("held-out customers", "held_out"),
        ("cross-validation, training customers", "cross_validation"),
    ],
)
def test_card_shows_the_scores_of_the_contract(
    card: str, provenance: dict[str, Any], heading: str, field: str
) -> None:
    scores = provenance[field]

    assert find_table(card, heading) == [
        [name, f"{row['roc_auc']:.4f}", f"{row['brier']:.4f}"] for name, row in scores.items()
    ]


def test_card_shows_the_calibration_of_the_contract(card: str, provenance: dict[str, Any]) -> None:
    assert find_table(card, "customers") == [
        [str(row["customers"]), f"{row['predicted']:.3f}", f"{row['bought']:.3f}"]
        for row in provenance["reliability"]
    ]


def test_quality_is_that_of_the_held_out_customers(
    manifest: Manifest, provenance: dict[str, Any]
) -> None:
    assert manifest.quality
    assert manifest.quality.rows == provenance["split"]["held_out"]["customers"]
    scores = provenance["held_out"][provenance["model"]]
    for figure, name in (("auc", "roc_auc"), ("brier", "brier")):
        assert round(manifest.quality.figures[figure], 4) == scores[name]


def test_card_explains_the_features_of_the_contract(card: str, manifest: Manifest) -> None:
    [features] = manifest.inputs

    assert [row[:2] for row in find_table(card, "feature")] == [
        [f"`{feature.name}`", feature.unit] for feature in features.features
    ]


def test_card_quotes_the_figures_of_the_contract(card: str, provenance: dict[str, Any]) -> None:
    # GIVEN the figures outside the tables
    gain, parts = provenance["gain_over_bg_nbd_fitted"], provenance["held_out_parts"]
    everyone = provenance["bg_nbd_published_on_all_customers"]
    customers = provenance["split"]

    # WHEN the card is read as one line
    text = " ".join(card.split())

    # THEN it has them all
    for quote in (
        f"gain in ROC AUC over it is {gain['roc_auc']}, ",
        f"standard error of {gain['standard_error']}.",
        f"hardly ranks: ROC AUC {parts['no repeat purchase']['roc_auc']}, ",
        f"against {parts['repeat purchases']['roc_auc']} among the others",
        f"ROC AUC of {everyone['roc_auc']} on all customers",
        f"({customers['held_out']['customers']:,}, chosen by",
        f"the other {customers['training']['customers']:,} customers",
    ):
        assert quote in text


def test_more_later_and_dearer_purchases_never_lower_the_probability(session: Any) -> None:
    # GIVEN the sample of real customers
    with CUSTOMERS.open() as file:
        rows = [list(map(float, row))[:4] for row in list(csv.reader(file))[1:]]
    customers = np.array(rows, np.float32)

    # WHEN one feature changes: a purchase more, a week later, a week younger, ten dollars more
    def probability(features: Any) -> Any:
        return session.run(["probabilities"], {"features": features})[0][:, 1]

    changes = np.diag(np.array([1, 1, -1, 10], np.float32))

    # THEN the probability rises or stays, and does rise for someone
    for change in changes:
        gain = probability(customers + change) - probability(customers)
        assert (gain >= 0).all()
        assert (gain > 0).any()


def test_sample_customers_are_in_the_range_of_training(manifest: Manifest) -> None:
    # GIVEN the sample that end-to-end tests send
    with CUSTOMERS.open() as file:
        rows = list(csv.DictReader(file))
    [features] = manifest.inputs

    # THEN its columns are the features and what happened, and its values are plausible
    assert len(rows) == 50
    assert list(rows[0]) == [feature.name for feature in features.features] + ["bought"]
    assert {row["bought"] for row in rows} == {"0", "1"}
    for feature in features.features:
        assert feature.minimum is not None
        assert feature.maximum is not None
        assert all(feature.minimum <= float(row[feature.name]) <= feature.maximum for row in rows)


def test_training_has_the_libraries_of_the_runtime_layer() -> None:
    trained, served = (
        set(re.findall(r"^(?:numpy|onnxruntime)==\S+", lock.read_text("utf-8"), re.MULTILINE))
        for lock in (LAYER / "training/requirements.txt", ROOT / "layers/runtime/requirements.txt")
    )
    assert trained == served
    assert len(trained) == 2
