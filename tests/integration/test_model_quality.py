"""`infra model add --target`: a candidate that is worse than the model it replaces is refused."""

import csv
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import ModelProto, helper, numpy_helper

from infra.model.errors import ModelError, WishError
from infra.model.package import Added, Wishes, add
from infra.model.quality import Verdict
from tests.example_model import needs_example

pytestmark = needs_example

ROOT = Path(__file__).parents[2]
INFRA = ROOT / ".venv/bin/infra"
LAYER = ROOT / "layers/model"
FEATURES = ["repeat_purchases", "recency", "age", "mean_spend"]
ROWS = 2_000


@pytest.fixture(scope="module")
def customers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make up customers who buy with the probability that the example model gives them."""
    random = np.random.default_rng(0)
    model = onnxruntime.InferenceSession(LAYER / "model.onnx")
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


def change(edit: Callable[[ModelProto], None], path: Path) -> Path:
    model = onnx.load(LAYER / "model.onnx")
    edit(model)
    onnx.save(model, path)
    return path


def put_before_output(model: ModelProto, name: str, *nodes: Any) -> None:
    """Let `nodes` turn `raw` into the output `name`."""
    for node in model.graph.node:
        node.output[:] = ["raw" if one == name else one for one in node.output]
    model.graph.node.extend(nodes)


def swap_labels(model: ModelProto) -> None:
    model.graph.initializer.append(numpy_helper.from_array(np.array(1, np.int64), "one"))
    put_before_output(model, "label", helper.make_node("Sub", ["one", "raw"], ["label"]))


def scale_probabilities(model: ModelProto) -> None:
    factor = numpy_helper.from_array(np.array(1.01, np.float32), "factor")
    model.graph.initializer.append(factor)
    scale = helper.make_node("Mul", ["raw", "factor"], ["probabilities"])
    put_before_output(model, "probabilities", scale)


def swap_columns(model: ModelProto) -> None:
    order = numpy_helper.from_array(np.array([3, 1, 2, 0], np.int64), "order")
    model.graph.initializer.append(order)
    for node in model.graph.node:
        node.input[:] = ["swapped" if one == "features" else one for one in node.input]
    gather = helper.make_node("Gather", ["features", "order"], ["swapped"], axis=1)
    model.graph.node.insert(0, gather)


def jitter(model: ModelProto) -> None:
    """Change every leaf a little, as a retrain with another seed does."""
    random = np.random.default_rng(1)
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.name in {"target_weights", "class_weights"}:
                noise = random.normal(1, 0.05, len(attribute.floats))
                attribute.floats[:] = (np.array(attribute.floats) * noise).tolist()


def rename(customers: Path, column: str, new: str, to: Path) -> Path:
    to.write_text(customers.read_text().replace(column, new, 1))
    return to


async def package(source: Path, customers: Path, folder: Path, **wishes: Any) -> Added:
    layer = folder / "layer"
    if not layer.exists():
        shutil.copytree(LAYER, layer)
    named = {"name": "purchase-propensity", "target": "bought", "features": FEATURES}
    return await add(source, layer, Wishes(samples=customers, **(named | wishes)))


@pytest.mark.parametrize(
    ("edit", "figures"),
    [(swap_labels, {"accuracy"}), (swap_columns, {"auc", "brier"})],
)
async def test_a_worse_model_is_refused_unless_it_is_allowed(
    edit: Callable[[ModelProto], None], figures: set[str], customers: Path, tmp_path: Path
) -> None:
    # GIVEN a candidate that is healthy but wrong
    source = change(edit, tmp_path / "candidate.onnx")
    # WHEN it is added with labelled rows THEN it is refused with its figures
    with pytest.raises(
        ModelError, match=r"^worse than version 1 on the same 2,000 rows: "
    ) as error:
        await package(source, customers, tmp_path)
    assert all(f"{figure} 0." in str(error.value) for figure in figures)
    assert "To take it all the same, add --allow-worse" in str(error.value)
    contract = (LAYER / "model.json").read_bytes()
    assert (tmp_path / "layer/model.json").read_bytes() == contract
    # AND it is taken if that is said
    added = await package(source, customers, tmp_path, allow_worse=True)
    assert added.version == "2"
    assert added.quality
    assert {one.figure for one in added.quality.worse} == figures


@pytest.mark.parametrize("edit", [jitter, scale_probabilities])
async def test_an_honest_retrain_is_taken_with_its_figures(
    edit: Callable[[ModelProto], None], customers: Path, tmp_path: Path
) -> None:
    source = change(edit, tmp_path / "candidate.onnx")
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
    added = await package(LAYER / "model.onnx", customers, tmp_path, features=())
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
    added = await package(LAYER / "model.onnx", renamed, tmp_path, features=features)
    # THEN it is measured, and the reason said why not compared
    assert added.quality
    assert not added.quality.changes
    assert "'mean_spend'" in added.quality.reason


async def test_a_target_needs_samples_that_have_it(customers: Path, tmp_path: Path) -> None:
    source = LAYER / "model.onnx"
    with pytest.raises(WishError, match="--target 'bought' is a column of the samples: give"):
        await add(source, tmp_path / "layer", Wishes(target="bought"))
    with pytest.raises(ModelError, match="line 2 has no 'sold' for --target; it has: bought,"):
        await package(source, customers, tmp_path, target="sold")


def test_the_command_shows_the_figures(customers: Path, tmp_path: Path) -> None:
    shutil.copytree(LAYER, tmp_path / "layer")
    options: list[str | Path] = ["--name", "purchase-propensity", "--to", tmp_path / "layer"]
    options += ["--samples", customers, "--target", "bought", "--features", ",".join(FEATURES)]
    done = subprocess.run(
        [INFRA, "model", "add", LAYER / "model.onnx", *options],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    assert "Quality    compared with version 1 on 2,000 rows, by 'bought'\n" in done.stdout
    assert f", {Verdict.SAME} (99 % interval of the difference +0.0000 to +0.0000)" in done.stdout
