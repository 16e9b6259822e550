"""model.json: the contract that a graph tells, and what the user's samples and names add to it."""

import json
import math
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from infra.model.errors import OptionError
from infra.model.graph.graph import Graph
from infra.model.samples.samples import LEAST_ROWS, Array, Samples

type Contract = dict[str, Any]

ROWS, ELEMENTS = 10_000, 1_000_000
BINS = 10  # of a feature's histogram
LEAST_SHARE = 0.005  # of the rows, in each bin and at or beyond each end of a range
FEW = 20 * LEAST_ROWS  # rows: of fewer, the outermost are too many to leave out
KEPT = ("unit", "description")  # what a person wrote of a feature
LINE = 96  # characters of JSON

# Golden requests travel with every cold start, and are asked before every release.
FIRST_ROWS, MOST_ROWS, MOST_ELEMENTS = 8, 32, 20_000

RELATIVE, ABSOLUTE = 1e-5, 1e-6
HALF = 1e-2  # tolerances for half precision, which has three digits


def describe(graph: Graph) -> Contract:
    """Return what the graph alone tells: everything of model.json but `files`."""
    sizes = [math.prod(map(abs, tensor["shape"])) for tensor in graph.inputs]
    return {
        "schema": 1,
        "name": re.sub(r"[^a-z0-9]+", "-", graph.source.stem.lower()).strip("-")[:100] or "model",
        "version": "1",
        "description": graph.description,
        "files": {},
        "inputs": [dict(tensor) for tensor in graph.inputs],
        "outputs": [dict(tensor) for tensor in graph.outputs],
        "limits": {"rows": ROWS, "elements": max(ELEMENTS, *sizes)},
        "golden": [],
        "example": {},
        "provenance": {"producer": graph.producer, "opsets": graph.opsets}
        | ({"changes": [*graph.changes]} if graph.changes else {}),
    }


def succeed(contract: Contract, previous: Contract, version: str | None) -> None:
    """Make `contract` the next version of `previous`: what no graph tells stays as it was.

    Raises OptionError if there is no `version` and the one before is no number.
    """
    before = str(previous["version"])
    if not version and not re.fullmatch("[0-9]+", before):
        raise OptionError(f"the version before is '{before}', no number: tell the new --version")
    contract["version"] = version or str(int(before) + 1)
    contract["limits"].update(previous.get("limits", {}))
    for key in {"description", "non_finite_outputs"} & previous.keys():
        contract[key] = previous[key]
    for field, detail in (("inputs", "features"), ("outputs", "labels")):
        details = {tensor["name"]: tensor.get(detail, []) for tensor in previous.get(field, [])}
        for tensor in contract[field]:
            known = details.get(tensor["name"], [])
            if known and tensor["shape"][-1:] == [len(known)]:
                tensor.setdefault(detail, known)


def update_inputs(contract: Contract, fields: Mapping[str, Mapping[str, Any]]) -> None:
    """Add fields to inputs, by their names."""
    for tensor in contract["inputs"]:
        tensor.update(fields.get(tensor["name"], {}))


def label(contract: Contract, labels: Sequence[str]) -> None:
    """Name the columns of the last output that has so many; raise OptionError if none has."""
    for tensor in reversed(contract["outputs"]):
        if len(tensor["shape"]) > 1 and tensor["shape"][-1] == len(labels):
            tensor["labels"] = list(labels)
            return
    raise OptionError(f"--labels names {len(labels)} columns, and no output has so many")


def name_features(
    contract: Contract, columns: Mapping[str, Sequence[str]], samples: Samples | None = None
) -> None:
    """Name the columns of tables, and tell their ranges and histograms if there are samples.

    Unit and description of a feature of the same name stay.
    """
    for tensor in contract["inputs"]:
        names = columns.get(tensor["name"], [])
        if names and tensor["shape"][1:] == [len(names)]:
            known = {feature["name"]: feature for feature in tensor.get("features", [])}
            tensor["features"] = [
                {"name": name}
                | {key: known[name][key] for key in KEPT if key in known.get(name, {})}
                | (describe_values(samples.arrays[tensor["name"]][:, i]) if samples else {})
                for i, name in enumerate(names)
            ]


def describe_values(values: Array) -> dict[str, Any]:
    """Return the range, and a histogram of about equally full bins: equal values share one.

    No single row shows: each bin holds LEAST_ROWS or more, the outer ones those beyond the range,
    too, and the range is rounded.
    """
    if values.dtype.kind not in "fiu":
        return {}
    numbers = np.sort(np.array(plain(values), np.float64))
    least = max(LEAST_ROWS, math.ceil(LEAST_SHARE * len(numbers)))
    low, high = _find_ends(numbers, least)
    bounds = np.iinfo(values.dtype) if values.dtype.kind in "iu" else np.finfo(values.dtype)
    low, high = max(low, float(bounds.min)), min(high, float(bounds.max))
    described: dict[str, Any] = {"minimum": low, "maximum": high}
    if low == high:  # a constant has no distribution
        return described
    cuts = _cut(numbers, least)
    counts = np.bincount(np.searchsorted(cuts, numbers), minlength=len(cuts) + 1)
    return described | {"baseline": {"edges": [low, *cuts, high], "counts": counts.tolist()}}


def _find_ends(numbers: Array, least: int) -> tuple[float, float]:
    """Return the range of sorted numbers, rounded outwards to two digits of its width.

    At each end `least` rows are at or beyond it; of few rows a tenth, and the range is rounded to
    one digit. Ten rows or fewer are all in it: to leave one out would leave too little.
    """
    is_few = len(numbers) < FEW
    beyond = min(least - 1, (len(numbers) - 1) // 10)
    low, high = numbers[beyond].item(), numbers[-1 - beyond].item()
    if low == high and len(numbers) >= LEAST_ROWS:  # a value that many share is nobody's own
        return low, high
    width = min(high - low, sys.float_info.max) or abs(low)
    digits = (not is_few) - math.floor(math.log10(width)) if width else 0
    return min(low, _round(math.floor, low, digits)), max(high, _round(math.ceil, high, digits))


def _round(to: Callable[[float], int], number: float, digits: int) -> float:
    """Round by `math.floor` or `math.ceil` to so many decimals, or tens if `digits` is below 0."""
    if digits <= 0:
        return to(number / 10.0**-digits) * 10.0**-digits
    step = 10.0 ** min(digits, sys.float_info.max_10_exp)
    return to(number * step) / step


def _cut(numbers: Array, least: int) -> list[float]:
    """Cut sorted numbers into at most BINS bins of `least` rows or more."""
    distinct, counts = np.unique(numbers, return_counts=True)
    until = counts.cumsum()
    cuts, before = [], 0
    for share in range(1, BINS):
        end = np.searchsorted(until, share * len(numbers) / BINS)
        if until[end] - before >= least <= len(numbers) - until[end]:
            cuts.append(_separate(*distinct[end : end + 2].tolist()))
            before = until[end]
    return cuts


def _separate(low: float, high: float) -> float:
    """Return the shortest number between two: no value may lie on an edge."""
    middle = (low + high) / 2
    rounded = (round(middle, digits) for digits in range(17))
    return next((number for number in rounded if low < number < high), middle)


def choose_golden(samples: Samples, row_elements: int) -> list[list[int]]:
    """Choose rows for golden requests: the first alone; the next few and each column's extremes."""
    extremes = [
        int(row)
        for array in samples.arrays.values()
        if array.ndim > 1 and array.dtype.kind in "fiu"
        for ends in (array.argmin(axis=0), array.argmax(axis=0))
        for row in ends.flat
    ]
    rows = list(dict.fromkeys([*range(1, min(FIRST_ROWS, len(samples))), *extremes]))
    rows = rows[: min(MOST_ROWS, MOST_ELEMENTS // max(1, row_elements))]
    if samples.batched:
        return [[0], rows] if rows else [[0]]
    return [[0], *([row] for row in rows)]


def make_golden(
    inputs: Mapping[str, Array], outputs: Mapping[str, Array], source: str
) -> dict[str, Any]:
    """Return a golden request: inputs, and what production's own runtime answered to them.

    `source` says whose data the inputs are: "samples" or "synthetic".
    """
    loose = any(array.dtype == np.float16 for array in outputs.values())
    return {
        "inputs": {name: plain(array) for name, array in inputs.items()},
        "outputs": {name: plain(array) for name, array in outputs.items()},
        "source": source,
        "relative_tolerance": HALF if loose else RELATIVE,
        "absolute_tolerance": HALF if loose else ABSOLUTE,
    }


def plain(array: Array) -> Any:
    """Return nested lists as JSON has them, each number in the fewest digits that give it back."""
    if array.dtype in (np.float16, np.float32):
        return array.astype(str).astype(np.float64).tolist()
    return array.tolist()


def to_json(value: Any, indent: str = "") -> str:
    """Write JSON with a line for whatever fits on one, or is a list of numbers."""
    flat = json.dumps(value)
    is_list = isinstance(value, list) and any(isinstance(part, dict | list) for part in value)
    if not (is_list or isinstance(value, dict)) or len(indent) + len(flat) <= LINE:
        return flat
    inner = f"{indent}  "
    if isinstance(value, dict):
        parts = [f"{json.dumps(key)}: {to_json(part, inner)}" for key, part in value.items()]
    else:
        parts = [to_json(part, inner) for part in value]
    body = f",\n{inner}".join(parts)
    return f"{flat[0]}\n{inner}{body}\n{indent}{flat[-1]}"
