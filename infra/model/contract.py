"""model.json: the contract that a graph tells, and what the user's samples and names add to it."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from infra.model.errors import WishError
from infra.model.graph import Graph
from infra.model.samples import Array, Samples

type Contract = dict[str, Any]

ROWS, ELEMENTS = 10_000, 1_000_000
BINS = 10  # of a feature's histogram
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
        "description": graph.model.doc_string.strip(),
        "files": {},
        "inputs": [dict(tensor) for tensor in graph.inputs],
        "outputs": [dict(tensor) for tensor in graph.outputs],
        "limits": {"rows": ROWS, "elements": max(ELEMENTS, *sizes)},
        "golden": [],
        "provenance": {"producer": graph.producer, "opsets": graph.opsets},
    }


def succeed(contract: Contract, previous: Contract, version: str | None) -> None:
    """Make `contract` the next version of `previous`: what no graph tells stays as it was.

    Raises WishError if there is no `version` and the one before is no number.
    """
    before = str(previous["version"])
    if not version and not re.fullmatch("[0-9]+", before):
        raise WishError(f"the version before is '{before}', no number: tell the new --version")
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


def label(contract: Contract, labels: Sequence[str]) -> None:
    """Name the columns of the last output that has so many; raise WishError if none has."""
    for tensor in reversed(contract["outputs"]):
        if len(tensor["shape"]) > 1 and tensor["shape"][-1] == len(labels):
            tensor["labels"] = list(labels)
            return
    raise WishError(f"--labels names {len(labels)} columns, and no output has so many")


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


def list_features(contract: Contract) -> list[str]:
    """Return the names of the features that a model knows."""
    return [feature["name"] for one in contract["inputs"] for feature in one.get("features", [])]


def describe_values(values: Array) -> dict[str, Any]:
    """Return the range, and a histogram of about equally full bins: equal values share one."""
    if values.dtype.kind not in "fiu":
        return {}
    numbers = np.array(plain(values), np.float64)
    distinct, counts = np.unique(numbers, return_counts=True)
    ends = np.searchsorted(counts.cumsum(), np.arange(1, BINS) * len(numbers) / BINS)
    ends = ends[ends < len(distinct) - 1]
    cuts = map(_separate, distinct[ends], distinct[ends + 1])
    edges = np.unique([distinct[0], *cuts, distinct[-1]])
    described = {"minimum": distinct[0].item(), "maximum": distinct[-1].item()}
    if len(edges) == 1:  # a constant has no distribution
        return described
    counts, _ = np.histogram(numbers, edges)
    return described | {"baseline": {"edges": edges.tolist(), "counts": counts.tolist()}}


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


def make_golden(inputs: Mapping[str, Array], outputs: Mapping[str, Array]) -> dict[str, Any]:
    """Return a golden request: inputs, and what production's own runtime answered to them."""
    loose = any(array.dtype == np.float16 for array in outputs.values())
    return {
        "inputs": {name: plain(array) for name, array in inputs.items()},
        "outputs": {name: plain(array) for name, array in outputs.items()},
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
    is_nested = isinstance(value, dict) or "[" in flat[1:]
    if not is_nested or len(indent) + len(flat) <= LINE:
        return flat
    inner = f"{indent}  "
    if isinstance(value, dict):
        parts = [f"{json.dumps(key)}: {to_json(part, inner)}" for key, part in value.items()]
    else:
        parts = [to_json(part, inner) for part in value]
    body = f",\n{inner}".join(parts)
    return f"{flat[0]}\n{inner}{body}\n{indent}{flat[-1]}"
