"""Which tests hold in a checkout: the product's in any, others only while their subject is there.

Tests about the example model are in folders named `example`, those about this project's README and
guides in folders named `docs`. Whoever puts a model or a README of their own in the place of these
keeps all other tests.
"""

import json
from pathlib import Path

TRAINING = "python layers/model/training/train.py"
TITLE = "# Serverless ONNX"


def find_absent(root: Path) -> dict[str, str]:
    """Return the folders of tests that do not hold in the checkout `root`, each with the reason."""
    absent = {}
    contract = json.loads((root / "layers/model/model.json").read_text("utf-8"))
    if contract.get("provenance", {}).get("command") != TRAINING:
        absent["example"] = f"layers/model holds {contract.get('name')}, which is not the example"
    title = (root / "README.md").read_text("utf-8").partition("\n")[0]
    if title != TITLE:
        absent["docs"] = f"README.md does not begin with {TITLE!r}: it is not this project's"
    return absent
