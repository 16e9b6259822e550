"""Requests that a client would send to the model that is served now."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from infra.local.errors import LocalRunError
from infra.model.contract import Contract, plain
from infra.model.samples import Samples, make_up

NO_JSON = "BF16"
MOST_ROWS = 10_000  # of the samples: a rehearsal sends fewer


class RehearsalError(LocalRunError):
    """A release cannot be rehearsed; one line for a person."""


@dataclass(frozen=True)
class Requests:
    """Where requests for a model go, and the bodies that are sent in turn."""

    path: str
    bodies: tuple[bytes, ...]


def make_requests(contract: Contract, samples: Samples | None = None) -> Requests:
    """Make the requests of a model: its golden ones and the rows of `samples`, or its example.

    Of more than MOST_ROWS, rows at equal distances. Raises RehearsalError if an output of the
    model, or an input that is sent, has no JSON form.
    """
    for tensor in contract["outputs"]:
        _check_json("output", tensor)
    requests = [golden["inputs"] for golden in contract["golden"]]
    if samples:
        step = -(-len(samples) // MOST_ROWS)
        requests += [_take_row(samples, row) for row in range(0, len(samples), step)]
    if not requests:
        zeros = make_up(contract["inputs"], 1, zeros=True)
        requests = [contract.get("example") or _take_row(zeros, 0)]
    bodies = tuple(_encode(contract, inputs) for inputs in requests)
    return Requests(f"/v2/models/{contract['name']}/infer", bodies)


def _take_row(samples: Samples, row: int) -> dict[str, Any]:
    return {name: plain(array) for name, array in samples.request([row]).items()}


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
