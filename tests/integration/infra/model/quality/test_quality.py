"""`infra model add --target`: a candidate that is worse than the model it replaces is refused."""

import csv
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import ModelProto

from infra.model.doctor import check
from infra.model.errors import ModelError, OptionError
from infra.model.package import Added, AddOptions, add
from infra.model.quality.comparison import Verdict
from tests.example_model import CONTRACT, FEATURES, MODEL, NAME, RETRAINED, copy_layer
from tests.model_variants import with_columns, with_other_labels, with_shares_times
from tests.sam_template import PROJECT

ROOT = Path(__file__).parents[5]
INFRA = ROOT / ".venv/bin/infra"
ROWS = 2_000


@pytest.fixture(scope="module")
def customers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make up customers who buy with the probability that the example model gives them."""
    random = np.random.default_rng(0)
    model = onnxruntime.InferenceSession(MODEL)
    features = np.stack(
        [
            random.geometric(0.4, ROWS) - 1,
            random.uniform(0, 38, ROWS),
            random.uniform(27, 39, ROWS),
            random.lognormal(3.3, 0.6, ROWS),
        ],
        axis=1,
    ).astype(np.float32)
    features[features[:, 0] == 0, 1] = 0
    [probabilities] = model.run(["probabilities"], {"features": features})
    bought = random.random(ROWS) < probabilities[:, 1]
    path = tmp_path_factory.mktemp("customers") / "customers.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["bought", *FEATURES])
        writer.writerows([int(b), *row] for b, row in zip(bought, features.tolist(), strict=True))
    return path


def rename(customers: Path, column: str, new: str, to: Path) -> Path:
    to.write_text(customers.read_text().replace(column, new, 1))
    return to


async def package(source: Path, customers: Path, folder: Path, **options: Any) -> Added:
    layer = folder / "layer"
    if not layer.exists():
        copy_layer(layer)
    named = {"name": NAME, "target": "bought", "features": FEATURES}
    return await add(PROJECT, source, layer, AddOptions(samples=customers, **(named | options)))


def save(model: ModelProto, folder: Path) -> Path:
    onnx.save(model, folder / "candidate.onnx")
    return folder / "candidate.onnx"


def swap_columns(model: ModelProto) -> ModelProto:
    return with_columns(model, [3, 1, 2, 0])


def scale_probabilities(model: ModelProto) -> ModelProto:
    return with_shares_times(model, 1.01)


@pytest.mark.parametrize(
    ("change", "figures"),
    [(with_other_labels, {"auc", "brier", "accuracy"}), (swap_columns, {"auc", "brier"})],
)
async def test_a_worse_model_is_refused_unless_it_is_allowed(
    change: Callable[[ModelProto], ModelProto],
    figures: set[str],
    customers: Path,
    tmp_path: Path,
) -> None:
    # GIVEN a candidate that is healthy but wrong
    source = save(change(onnx.load(MODEL)), tmp_path)
    # WHEN it is added with labelled rows THEN it is refused with its figures
    with pytest.raises(
        ModelError, match=r"^worse than version 1 on the same 2,000 rows: "
    ) as error:
        await package(source, customers, tmp_path)
    assert all(f"{figure} 0." in str(error.value) for figure in figures)
    assert "To add it nevertheless, give --allow-worse" in str(error.value)
    contract = CONTRACT.read_bytes()
    assert (tmp_path / "layer/model.json").read_bytes() == contract
    # AND it is taken if that is said
    added = await package(source, customers, tmp_path, allow_worse=True)
    assert added.version == "2"
    assert added.quality
    assert {one.figure for one in added.quality.worse} == figures


@pytest.mark.parametrize(
    ("name", "change"),
    [("model", scale_probabilities), ("retrained", lambda model: model)],
)
async def test_an_honest_model_is_taken_with_its_figures(
    name: str, change: Callable[[ModelProto], ModelProto], customers: Path, tmp_path: Path
) -> None:
    original = {"model": MODEL, "retrained": RETRAINED}[name]
    source = save(change(onnx.load(original)), tmp_path)
    added = await package(source, customers, tmp_path)
    assert added.quality
    assert not added.quality.worse
    assert [one.figure for one in added.quality.changes] == ["auc", "brier", "accuracy"]
    kept = json.loads((tmp_path / "layer/model.json").read_text())["quality"]
    assert kept == {
        "target": "bought",
        "rows": ROWS,
        "figures": pytest.approx(added.quality.figures, abs=1e-6),
    }


async def test_the_first_model_is_measured_and_compared_with_none(
    customers: Path, tmp_path: Path
) -> None:
    # GIVEN a layer without a model
    (tmp_path / "layer").mkdir()
    # WHEN one is added without the names of its features
    added = await package(MODEL, customers, tmp_path, features=())
    # THEN the target is none of them
    contract = json.loads((tmp_path / "layer/model.json").read_text())
    names = [feature["name"] for feature in contract["inputs"][0]["features"]]
    assert names == FEATURES
    assert added.quality
    assert added.quality.figures["auc"] > 0.7
    assert not added.quality.changes


async def test_a_model_of_other_columns_is_not_compared(customers: Path, tmp_path: Path) -> None:
    # GIVEN rows that have renamed a column that the model of before takes
    renamed = rename(customers, "mean_spend", "spend", tmp_path / "renamed.csv")
    features = [*FEATURES[:3], "spend"]
    # WHEN a model is added that takes the new one
    added = await package(MODEL, renamed, tmp_path, features=features)
    # THEN it is measured, and the reason said why not compared
    assert added.quality
    assert not added.quality.changes
    assert "'mean_spend'" in added.quality.reason


async def test_a_model_of_another_name_is_not_compared_and_that_is_said(
    customers: Path, tmp_path: Path
) -> None:
    added = await package(MODEL, customers, tmp_path, name="next")
    assert added.quality
    assert not added.quality.changes
    assert added.quality.reason == (
        "the layer holds purchase-propensity: to compare with it, add --name purchase-propensity"
    )


async def test_a_target_needs_samples_that_have_it(customers: Path, tmp_path: Path) -> None:
    source = MODEL
    with pytest.raises(OptionError, match="--target 'bought' is a column of the samples: give"):
        await add(PROJECT, source, tmp_path / "layer", AddOptions(target="bought"))
    with pytest.raises(ModelError, match="has no column 'sold' for --target; it has: "):
        await package(source, customers, tmp_path, target="sold")


async def test_a_check_measures_the_model_alone(customers: Path) -> None:
    diagnosis = await check(PROJECT, MODEL, customers, FEATURES, "bought")
    assert diagnosis.servable
    assert diagnosis.quality
    assert diagnosis.quality.rows == ROWS
    assert diagnosis.quality.figures.keys() == {"auc", "brier", "accuracy"}
    assert not diagnosis.quality.changes
    # AND its target needs samples, too
    with pytest.raises(OptionError, match="--target 'bought' is a column of the samples: give"):
        await check(PROJECT, MODEL, target="bought")


def test_the_command_shows_the_figures(customers: Path, tmp_path: Path) -> None:
    copy_layer(tmp_path / "layer")
    options: list[str | Path] = ["--name", NAME, "--to", tmp_path / "layer"]
    options += ["--samples", customers, "--target", "bought", "--features", ",".join(FEATURES)]
    done = subprocess.run(
        [INFRA, "model", "add", MODEL, *options],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    assert "Quality    compared with version 1 on 2,000 rows, by 'bought'\n" in done.stdout
    assert f", {Verdict.SAME} (99 % interval of the difference +0.0000 to +0.0000)" in done.stdout
