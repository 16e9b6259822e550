"""model.json, the contract of the model, which clients, the gate and drift checks rely on."""

import hashlib
import json
import math
from typing import Any

import numpy as np
import onnxruntime as ort
from cdnow import FEATURES, WEEKS_AHEAD, Array, Customers

NAME = "purchase-propensity"
VERSION = "1"
LABELS = ["no purchase", "purchase"]
BINS = 10  # of a feature's histogram
LEAST_ROWS, LEAST_SHARE = 10, 0.005  # in a bin, and at or beyond each end of a range
LINE = 96  # characters of JSON


def describe_model(content: bytes, train: Customers) -> dict[str, Any]:
    """Return the part of the contract that clients rely on."""
    columns = zip(FEATURES, train.features.T, strict=True)
    features = [describe_feature(name, values) for name, values in columns]
    return {
        "schema": 1,
        "name": NAME,
        "version": VERSION,
        "description": f"Will a shop's customer buy again in the next {WEEKS_AHEAD} weeks?",
        "files": {"model.onnx": hashlib.sha256(content).hexdigest()},
        "inputs": [
            {
                "name": "features",
                "datatype": "FP32",
                "shape": [-1, len(FEATURES)],
                "features": features,
            }
        ],
        "outputs": [
            {"name": "label", "datatype": "INT64", "shape": [-1]},
            {
                "name": "probabilities",
                "datatype": "FP32",
                "shape": [-1, len(LABELS)],
                "labels": LABELS,
            },
        ],
        "limits": {"rows": 10_000, "elements": 1_000_000},
    }


def describe_feature(name: str, values: Array) -> dict[str, Any]:
    """Return a feature's unit, meaning, range and histogram, for people and for drift checks.

    It reveals no single customer: the range leaves out the outermost customers, whom the outer bins
    count, and is rounded outwards to two digits of its width.
    """
    unit, description = FEATURES[name]
    decimals = np.sort([shorten(value) for value in values])
    least = max(LEAST_ROWS, math.ceil(LEAST_SHARE * len(values)))
    low, high = decimals[[least - 1, -least]].tolist()
    digits = 1 - math.floor(math.log10(high - low))
    step = 10.0**-digits
    minimum = round(math.floor(low / step) * step, digits)
    maximum = round(math.ceil(high / step) * step, digits)
    cuts = choose_cuts(decimals, least)
    counts = np.bincount(np.searchsorted(cuts, decimals), minlength=len(cuts) + 1)
    return {
        "name": name,
        "unit": unit,
        "description": description,
        "minimum": minimum,
        "maximum": maximum,
        "baseline": {"edges": [minimum, *cuts, maximum], "counts": counts.tolist()},
    }


def choose_cuts(values: Array, least: int) -> list[float]:
    """Cut the values into about equally full bins of `least` or more.

    A frequent value gets a bin of its own.
    """
    distinct, counts = np.unique(values, return_counts=True)
    cuts, inside, left, bins = [], 0, len(values), BINS
    for value, following, count in zip(distinct, distinct[1:], counts, strict=False):
        inside += count
        if bins > 1 and inside >= max(least, left / bins) and left - inside >= least:
            cuts.append(separate(float(value), float(following)))
            inside, left, bins = 0, left - inside, bins - 1
    return cuts


def separate(low: float, high: float) -> float:
    """Return a short number between two values, equal to neither: no value may lie on an edge."""
    middle = (low + high) / 2
    rounded = (round(middle, digits) for digits in range(17))
    return next((number for number in rounded if low < number < high), middle)


def make_example(contract: dict[str, Any]) -> dict[str, Any]:
    """Return a made-up customer in the middle of all, whom everybody may see."""
    [table] = contract["inputs"]
    return {table["name"]: [[find_middle(feature["baseline"]) for feature in table["features"]]]}


def find_middle(histogram: dict[str, list[float]]) -> float:
    """Return a number with few digits from the bin that holds the median."""
    counts = np.cumsum(histogram["counts"])
    low, high = histogram["edges"][np.searchsorted(counts, counts[-1] / 2) :][:2]
    rounded = (round((low + high) / 2, digits) for digits in range(17))
    return next(number for number in rounded if low <= number <= high)


def answer(session: ort.InferenceSession, features: Array) -> dict[str, Any]:
    """Return a golden request: features with onnxruntime's answer."""
    label, probabilities = session.run(["label", "probabilities"], {"features": features})
    return {
        "inputs": {"features": shorten_rows(features)},
        "outputs": {"label": label.tolist(), "probabilities": shorten_rows(probabilities)},
        "source": "samples",
        "relative_tolerance": 1e-5,
        "absolute_tolerance": 1e-6,
    }


def shorten_rows(rows: Array) -> list[list[float]]:
    """Return float32 rows as lists for JSON."""
    return [[shorten(number) for number in row] for row in rows]


def shorten(number: np.float32) -> float:
    """Return a float32 in the fewest digits that give it back exactly."""
    return float(str(number))


def to_json(value: Any, indent: str = "") -> str:
    """Return JSON with one line for whatever fits on it, so that changes are readable."""
    flat = json.dumps(value)
    if not isinstance(value, dict | list) or len(indent + flat) <= LINE:
        return flat
    inner = indent + "  "
    if isinstance(value, dict):
        items = [f"{json.dumps(key)}: {to_json(item, inner)}" for key, item in value.items()]
    else:
        items = [to_json(item, inner) for item in value]
    start, end = "{}" if isinstance(value, dict) else "[]"
    return f"{start}\n{inner}" + f",\n{inner}".join(items) + f"\n{indent}{end}"
