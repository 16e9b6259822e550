"""Golden requests: inputs with the answers that a release must repeat."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from infra.model.contract import Contract
from infra.model.errors import AnswerError, ModelError
from infra.model.samples.samples import Samples
from infra.model.serialization import to_lists
from infra.model.tensor import DTYPES, DYNAMIC, Array, has_rows
from infra.model.trial.trial import Bench, Trial

type Golden = Mapping[str, Any]  # an entry of `golden` in model.json

# Golden requests travel with every cold start, and are asked before every release.
FIRST_ROWS, MOST_ROWS, MOST_ELEMENTS = 8, 32, 20_000
RELATIVE, ABSOLUTE = 1e-5, 1e-6
HALF = 1e-2  # both tolerances for half precision, which has three digits


def choose_golden(samples: Samples, row_elements: int) -> list[list[int]]:
    """Return the rows of each golden request.

    The first row is a request of its own. The second request has the next few rows and those with
    the smallest and largest values of each column; a model without batches gets them one by one.
    """
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


def make_golden(inputs: Mapping[str, Array], outputs: Mapping[str, Array], source: str) -> Golden:
    """Return a golden request: inputs, and the outputs of Lambda's own runtime for them.

    `source` says whose data the inputs are: "samples" or "synthetic".
    """
    loose = any(array.dtype == np.float16 for array in outputs.values())
    return {
        "inputs": {name: to_lists(array) for name, array in inputs.items()},
        "outputs": {name: to_lists(array) for name, array in outputs.items()},
        "source": source,
        "relative_tolerance": HALF if loose else RELATIVE,
        "absolute_tolerance": HALF if loose else ABSOLUTE,
    }


async def ask_former_golden(trial: Trial, contract: Contract, previous: Contract) -> list[Golden]:
    """Return the golden requests of the previous version that still fit, answered by this model.

    Raises ModelError if the model fails on one of them.
    """
    if previous.get("name") != contract["name"]:
        return []
    asked: list[Golden] = []
    for index, golden in enumerate(previous.get("golden", ())):
        inputs = _fit(contract, previous, golden)
        if inputs is None:
            continue
        try:
            answers = await trial.ask(inputs)
        except ModelError as error:
            raise ModelError(f"golden[{index}] of the previous version: {error}") from error
        if has_json_form(answers):
            asked.append(make_golden(inputs, answers, golden.get("source", "samples")))
    return asked


def _fit(contract: Contract, previous: Contract, golden: Golden) -> dict[str, Array] | None:
    """Return the inputs of a golden request of the previous version, if this model takes them."""
    kinds = {(tensor["name"], tensor["datatype"]) for tensor in previous.get("inputs", ())}
    known = [one for one in contract["inputs"] if (one["name"], one["datatype"]) in kinds]
    needed = {one["name"] for one in contract["inputs"] if not one.get("optional")}
    if not needed <= golden["inputs"].keys() <= {tensor["name"] for tensor in known}:
        return None
    inputs = read_inputs(contract, golden)
    shapes = {tensor["name"]: tensor["shape"] for tensor in known}
    fits = all(
        array.ndim == len(shapes[name])
        and array.size
        and all(
            one in {DYNAMIC, length} for one, length in zip(shapes[name], array.shape, strict=True)
        )
        for name, array in inputs.items()
    )
    return inputs if fits else None


def to_samples(contract: Contract, former: Sequence[Golden]) -> Samples | None:
    """Return the inputs of the first golden request as samples to measure with."""
    if not former:
        return None
    arrays = read_inputs(contract, former[0])
    tensors = [tensor for tensor in contract["inputs"] if tensor["name"] in arrays]
    rows = {
        tensor["name"]: arrays[tensor["name"]][() if has_rows(tensor) else np.newaxis]
        for tensor in tensors
    }
    return Samples(contract["inputs"], rows)


async def ask_golden(trial: Trial, samples: Samples | None, *, is_real: bool) -> list[Golden]:
    """Return golden requests made of samples, as far as JSON can hold them and their answers.

    `is_real` says that the samples are the user's and not made up. Raises ModelError if the model
    fails on one of the chosen rows.
    """
    if samples is None:
        return []
    answer = await trial.ask(samples.request([0]))
    if any(array.dtype.kind == "V" for array in [*samples.arrays.values(), *answer.values()]):
        return []  # BF16 has no JSON form
    row_elements = samples.row_elements + sum(array.size for array in answer.values())
    asked: list[Golden] = []
    for rows in choose_golden(samples, row_elements):
        inputs = samples.request(rows)
        try:
            outputs = await trial.ask(inputs)
        except AnswerError as error:
            which = "of the samples" if is_real else "that were made up"
            raise ModelError(f"rows {rows} (from 0) {which} fail: {error}") from error
        if has_json_form(outputs):
            asked.append(make_golden(inputs, outputs, "samples" if is_real else "synthetic"))
    return asked


def has_json_form(arrays: Mapping[str, Array]) -> bool:
    """Return whether JSON can hold the arrays: it has neither NaN nor infinity nor BF16."""
    return not any(
        array.dtype.kind == "V" or (array.dtype.kind == "f" and not np.isfinite(array).all())
        for array in arrays.values()
    )


async def prove(bench: Bench, layer: Path, contract: Contract) -> tuple[Trial, float]:
    """Ask a finished layer its golden requests; return the trial and the largest difference.

    Raises ModelError if an answer differs from the golden one by more than its tolerances.
    """
    trial = await bench.load(layer, contract["name"])
    difference = 0.0
    for golden in contract["golden"]:
        answers = await trial.ask(read_inputs(contract, golden))
        difference = max(difference, _compare(golden, answers))
    return trial, difference


def read_inputs(contract: Contract, golden: Golden) -> dict[str, Array]:
    """Return the inputs of a golden request as arrays, by name."""
    dtypes = {tensor["name"]: DTYPES[tensor["datatype"]] for tensor in contract["inputs"]}
    return {name: np.array(value, dtypes[name]) for name, value in golden["inputs"].items()}


def _compare(golden: Golden, answers: Mapping[str, Array]) -> float:
    """Return the largest difference; raise ModelError if one exceeds the tolerances."""
    largest = 0.0
    for name, values in golden["outputs"].items():
        found, expected = answers[name], np.array(values, answers[name].dtype)
        if found.dtype.kind != "f":
            is_close = np.array_equal(found, expected)
        else:
            tolerances = golden["relative_tolerance"], golden["absolute_tolerance"]
            is_close = np.allclose(found, expected, *tolerances)
            difference = np.abs(found.astype(np.float64) - expected)
            largest = max(largest, difference.max(initial=0.0).item())
        if not is_close:
            raise ModelError(f"output '{name}' differs from that of the golden request")
    return largest
