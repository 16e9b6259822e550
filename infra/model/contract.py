"""model.json, the contract of a model: what its graph says, and what the user adds to it."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from infra.model.errors import OptionError
from infra.model.graph.graph import Graph
from infra.model.histogram import describe_values
from infra.model.samples.samples import Samples

type Contract = dict[str, Any]

ROWS, ELEMENTS = 10_000, 1_000_000
KEPT = ("unit", "description")  # fields of a feature that a person wrote


def describe(graph: Graph) -> Contract:
    """Return the contract that follows from the graph alone, with no `files` yet."""
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
    """Make `contract` the next version of `previous`, from which it takes what no graph says.

    Raises OptionError if no `version` is given and the previous one is not a number.
    """
    before = str(previous["version"])
    if not version and not re.fullmatch("[0-9]+", before):
        raise OptionError(f"the previous version '{before}' is not a number: give --version")
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
    """Add fields to the inputs; `fields` has them by name of the input."""
    for tensor in contract["inputs"]:
        tensor.update(fields.get(tensor["name"], {}))


def label(contract: Contract, labels: Sequence[str]) -> None:
    """Name the columns of the last output that has as many; raise OptionError if none has."""
    for tensor in reversed(contract["outputs"]):
        if len(tensor["shape"]) > 1 and tensor["shape"][-1] == len(labels):
            tensor["labels"] = list(labels)
            return
    raise OptionError(f"--labels names {len(labels)} columns, and no output has as many")


def name_features(
    contract: Contract, columns: Mapping[str, Sequence[str]], samples: Samples | None = None
) -> None:
    """Name the columns of tables, and describe their values if there are samples.

    `columns` has the names by input. A feature of the same name keeps its unit and description.
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
