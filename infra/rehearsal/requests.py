"""Requests that a client would send to the model that is served now."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from infra.local.errors import LocalRunError
from infra.model.contract import Contract, plain
from infra.model.graph import DYNAMIC
from infra.model.samples import Samples, make_up

NO_JSON = "BF16"
MOST_ROWS = 10_000  # of the samples: a rehearsal sends fewer
BATCH = 32  # rows of one request where only the answers matter


class RehearsalError(LocalRunError):
    """A release cannot be rehearsed; one line for a person."""


@dataclass(frozen=True)
class Batch:
    """A request of several rows, or of one where the model takes no more."""

    rows: int
    body: bytes


@dataclass(frozen=True)
class Requests:
    """Where requests for a model go, and the bodies that are sent in turn.

    `batches` ask for the same in fewer requests. `classes` names the outputs that have a number
    for each class.
    """

    path: str
    bodies: tuple[bytes, ...]
    batches: tuple[Batch, ...] = ()
    classes: tuple[str, ...] = ()


def make_requests(contract: Contract, samples: Samples | None = None) -> Requests:
    """Make the requests of a model: its golden ones and the rows of `samples`, or its example.

    Of more than MOST_ROWS, rows at equal distances. Raises RehearsalError if an output of the
    model, or an input that is sent, has no JSON form.
    """
    for tensor in contract["outputs"]:
        _check_json("output", tensor)
    golden = [one["inputs"] for one in contract["golden"]]
    batches = [(_count_rows(contract, inputs), inputs) for inputs in golden]
    rows: list[dict[str, Any]] = []
    if samples:
        chosen = range(0, len(samples), -(-len(samples) // MOST_ROWS))
        rows = [_take(samples, [row]) for row in chosen]
        size = BATCH if samples.batched else 1
        parts = [chosen[begin : begin + size] for begin in range(0, len(chosen), size)]
        batches += [(len(part), _take(samples, part)) for part in parts]
    if not batches:
        zeros = make_up(contract["inputs"], 1, zeros=True)
        rows = [contract.get("example") or _take(zeros, [0])]
        batches = [(_count_rows(contract, rows[0]), rows[0])]
    return Requests(
        path=f"/v2/models/{contract['name']}/infer",
        bodies=tuple(_encode(contract, inputs) for inputs in [*golden, *rows]),
        batches=tuple(Batch(count, _encode(contract, inputs)) for count, inputs in batches),
        classes=tuple(one["name"] for one in contract["outputs"] if one.get("labels")),
    )


def _take(samples: Samples, rows: Sequence[int]) -> dict[str, Any]:
    return {name: plain(array) for name, array in samples.request(rows).items()}


def _count_rows(contract: Contract, inputs: Mapping[str, Any]) -> int:
    """Return the rows of a request; it is one row where not every input takes any number."""
    shapes = {tensor["name"]: tensor["shape"] for tensor in contract["inputs"]}
    is_batched = inputs and all(shapes[name][:1] == [DYNAMIC] for name in inputs)
    return len(next(iter(inputs.values()))) if is_batched else 1


def _encode(contract: Contract, inputs: Mapping[str, Any]) -> bytes:
    """Write an Open Inference request."""
    tensors = []
    for tensor in contract["inputs"]:
        name, datatype = tensor["name"], tensor["datatype"]
        if name in inputs:
            _check_json("input", tensor)
            data = inputs[name]
            shape = list(np.shape(data))
            tensors.append({"name": name, "datatype": datatype, "shape": shape, "data": data})
    return json.dumps({"inputs": tensors}).encode()


def _check_json(kind: str, tensor: Mapping[str, Any]) -> None:
    if tensor["datatype"] == NO_JSON:
        raise RehearsalError(
            f"{kind} '{tensor['name']}' is {NO_JSON}, which the load's JSON cannot hold"
        )
