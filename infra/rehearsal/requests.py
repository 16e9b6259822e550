"""Requests to the current model, as its clients send them: the load of a rehearsal."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from infra.local.errors import LocalRunError
from infra.model.contract import Contract
from infra.model.example import make_example_request, make_request
from infra.model.samples.samples import Samples
from infra.model.serialization import to_lists
from infra.model.tensor import DYNAMIC

type InferenceRequest = dict[str, Any]  # of the Open Inference Protocol, in its JSON form

NO_JSON = "BF16"  # the datatype
MOST_ROWS = 10_000  # of the samples; no rehearsal sends as many
BATCH = 32  # rows of a request whose latency does not matter


class RehearsalError(LocalRunError):
    """A release cannot be rehearsed; the message is one line."""


@dataclass(frozen=True)
class Batch:
    """A request of several rows, or of one row if the model takes no batches."""

    rows: int
    body: bytes


@dataclass(frozen=True)
class Requests:
    """The path of a model, and the bodies that are sent to it in turn.

    `batches` have the same rows in fewer requests. `classes` names the outputs that have a number
    for each class.
    """

    path: str
    bodies: tuple[bytes, ...]
    batches: tuple[Batch, ...] = ()
    classes: tuple[str, ...] = ()


def make_requests(contract: Contract, samples: Samples | None = None) -> Requests:
    """Make requests for a model: its golden requests and the rows of `samples`, or its example.

    Of more than MOST_ROWS rows, evenly spaced ones are taken. Raises RehearsalError if an output of
    the model, or an input that is sent, has no JSON form.
    """
    for tensor in contract["outputs"]:
        _check_json("output", tensor)
    golden = [make_request(contract, one["inputs"]) for one in contract["golden"]]
    batches = list(golden)
    rows: list[InferenceRequest] = []
    if samples:
        chosen = range(0, len(samples), -(-len(samples) // MOST_ROWS))
        rows = [_take(contract, samples, [row]) for row in chosen]
        size = BATCH if samples.batched else 1
        parts = (chosen[begin : begin + size] for begin in range(0, len(chosen), size))
        batches += [_take(contract, samples, part) for part in parts]
    if not batches:
        batches = rows = [make_example_request(contract)]
    for request in (*golden, *rows):
        for tensor in request["inputs"]:
            _check_json("input", tensor)
    return Requests(
        path=f"/v2/models/{contract['name']}/infer",
        bodies=tuple(json.dumps(request).encode() for request in (*golden, *rows)),
        batches=tuple(
            Batch(_count_rows(contract, request), json.dumps(request).encode())
            for request in batches
        ),
        classes=tuple(one["name"] for one in contract["outputs"] if one.get("labels")),
    )


def _take(contract: Contract, samples: Samples, rows: Sequence[int]) -> InferenceRequest:
    inputs = {name: to_lists(array) for name, array in samples.request(rows).items()}
    return make_request(contract, inputs)


def _count_rows(contract: Contract, request: InferenceRequest) -> int:
    """Return how many rows a request brings: one unless each input takes any number."""
    shapes = {tensor["name"]: tensor["shape"] for tensor in contract["inputs"]}
    inputs = request["inputs"]
    is_batched = inputs and all(shapes[one["name"]][:1] == [DYNAMIC] for one in inputs)
    return int(inputs[0]["shape"][0]) if is_batched else 1


def _check_json(kind: str, tensor: Mapping[str, Any]) -> None:
    if tensor["datatype"] == NO_JSON:
        raise RehearsalError(
            f"{kind} '{tensor['name']}' is {NO_JSON}, which the load's JSON cannot hold"
        )
