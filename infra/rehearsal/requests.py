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


class RehearsalError(LocalRunError):
    """A release cannot be rehearsed; one line for a person."""


@dataclass(frozen=True)
class Requests:
    """Where requests for a model go, and the bodies that are sent in turn."""

    path: str
    bodies: tuple[bytes, ...]


def make_requests(contract: Contract, samples: Samples | None = None) -> Requests:
    """Make the requests of a model: its golden ones and each row of `samples`, or zeros.

    Raises RehearsalError if the model's inputs have no JSON form.
    """
    requests = [golden["inputs"] for golden in contract["golden"]]
    if samples:
        requests += [_take_row(samples, row) for row in range(len(samples))]
    if not requests:
        requests = [_take_row(make_up(contract["inputs"], 1, zeros=True), 0)]
    bodies = tuple(_encode(contract, inputs) for inputs in requests)
    return Requests(f"/v2/models/{contract['name']}/infer", bodies)


def list_features(contract: Contract) -> list[str]:
    """Return the names of the features that a model knows."""
    return [feature["name"] for one in contract["inputs"] for feature in one.get("features", [])]


def _take_row(samples: Samples, row: int) -> dict[str, Any]:
    return {name: plain(array) for name, array in samples.request([row]).items()}


def _encode(contract: Contract, inputs: Mapping[str, Any]) -> bytes:
    """Write an Open Inference request."""
    datatypes = {tensor["name"]: tensor["datatype"] for tensor in contract["inputs"]}
    for name in inputs:
        if datatypes[name] == NO_JSON:
            raise RehearsalError(f"input '{name}' is {NO_JSON}, which the load's JSON cannot hold")
    tensors = [
        {"name": name, "datatype": datatypes[name], "shape": list(np.shape(data)), "data": data}
        for name, data in inputs.items()
    ]
    return json.dumps({"inputs": tensors}).encode()
