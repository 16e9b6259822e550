"""The example model, a real classifier of a table, kept here for tests of the product.

They need a model whose numbers they know, whatever layers/model holds.
"""

import json
import shutil
from pathlib import Path

from infra.rehearsal.candidate import copy_build
from tests.checkout import ROOT, copy_checkout

FOLDER = Path(__file__).parent / "models" / "example"
MODEL = FOLDER / "model.onnx"
CONTRACT = FOLDER / "model.json"
RETRAINED = FOLDER / "retrained.onnx"
CUSTOMERS = ROOT / "tests/events/customers.csv"

NAME = "purchase-propensity"
FEATURES = ["repeat_purchases", "recency", "age", "mean_spend"]
INFER = f"/v2/models/{NAME}/infer"


def write_model(folder: Path) -> Path:
    """Write the model and its contract, as a layer has them."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in (MODEL, CONTRACT):
        shutil.copy(file, folder)
    return folder


def copy_layer(to: Path) -> Path:
    """Write the source of the model layer as it is in a checkout that holds the example."""
    source = ROOT / "layers/model"
    held = json.loads((source / "model.json").read_text("utf-8"))["files"]
    shutil.copytree(source, to, ignore=shutil.ignore_patterns("model.json", *held))
    return write_model(to)


def write_build(to: Path) -> Path:
    """Write what `sam build` makes of a checkout that holds the example; the rest is linked."""
    copy_build(ROOT / ".aws-sam/build", to, {"ModelLayer"})
    shutil.rmtree(to / "ModelLayer")
    write_model(to / "ModelLayer/model")
    return to


def write_checkout(to: Path) -> Path:
    """Write a checkout like this one that holds the example."""
    copy_checkout(to)
    shutil.rmtree(to / "layers/model")
    copy_layer(to / "layers/model")
    return to
