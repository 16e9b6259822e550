"""The example model, for tests about it: who puts another in its place skips them."""

import json
from pathlib import Path

import pytest

MODEL_JSON = Path(__file__).parents[1] / "layers" / "model" / "model.json"
NAME = "purchase-propensity"

needs_example = pytest.mark.skipif(
    json.loads(MODEL_JSON.read_text()).get("name") != NAME,
    reason="layers/model holds another model than the example",
)
