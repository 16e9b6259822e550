"""What a loaded model does: how fast it answers, how much memory it takes, what it accepts."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from infra.model.contract import Contract
from infra.model.errors import AnswerError, ModelError, SlowError
from infra.model.samples.made_up import MOST_ELEMENTS, count_elements, make_up
from infra.model.samples.samples import Samples
from infra.model.tensor import Array, Shapes, Tensor
from infra.model.trial.lengths import measure_lengths
from infra.model.trial.output_shapes import find_shapes
from infra.model.trial.trial import Trial

REPEATS = 5
BATCH = 100  # rows
FEW = (1, 2, 3)  # rows of the requests that show which lengths depend on them
# Lengths for dimensions of any length, and whether all numbers are 0, in the order they are tried.
MADE_UP = ((64, False), (1, False), (64, True), (1, True))
SEARCH_SECONDS, SHORT_SEARCH_SECONDS = 60, 5  # for the lengths that a model answers


@dataclass(frozen=True)
class Measurement:
    """What was measured in an execution environment on this machine."""

    cold_start_ms: float  # from the start of the process until it can take a request
    load_ms: float  # the part of it that the model takes
    peak_memory_mb: int
    row_ms: float | None = None  # to answer a request of one row, from bytes to bytes
    batch_ms: float | None = None  # to answer a request of 100 rows
    repeatable: bool | None = None  # whether the same request gets the same answer, bit for bit


@dataclass(frozen=True)
class Examination:
    """What is known about a model that runs.

    `samples` are those that it was measured with, made up unless the user gave some; None if it
    answers no made-up ones.
    """

    samples: Samples | None
    measured: Measurement
    notes: Sequence[str]
    shapes: Shapes  # of outputs for which the graph declares others
    lengths: Mapping[str, Mapping[str, Any]]  # fields of model.json, by input


async def examine(
    trial: Trial,
    contract: Contract,
    samples: Samples | None,
    texts: Mapping[str, Sequence[str]] | None = None,
) -> Examination:
    """Measure a loaded model with the user's samples, or with made-up ones if there are none.

    `texts` are the texts of made-up rows, by input. Raises ModelError if the model crashes, or
    fails on the first row of the user's samples.
    """
    cold_start_ms, notes = trial.environment.init_milliseconds or 0.0, []
    row_ms = batch_ms = repeatable = None
    if samples is None:
        samples, note = await find_made_up(trial, contract["inputs"], texts)
        notes.append(note)
    if samples is not None:
        try:
            answers, row_ms = await _ask_often(trial, samples.request([0]))
        except AnswerError as error:
            raise ModelError(f"the first row of the samples is not answered: {error}") from error
        repeatable = all(_is_same(answers[0], answer) for answer in answers)
        if not repeatable:
            notes.append("the answer to the same request varies")
    peak_memory_mb = trial.environment.peak_memory_mb()
    if samples and samples.batched and BATCH * samples.row_elements <= MOST_ELEMENTS:
        batch = samples.request([i % len(samples) for i in range(BATCH)])
        try:
            _, batch_ms = await _ask_often(trial, batch)
            peak_memory_mb = trial.environment.peak_memory_mb()
        except (AnswerError, SlowError) as error:
            notes.append(f"{BATCH} rows in one request fail: {error}")
    shapes = find_shapes(
        contract["inputs"], contract["outputs"], await _ask_few(trial, samples) if samples else []
    )
    measured = Measurement(
        cold_start_ms=cold_start_ms,
        load_ms=max(trial.read("ModelLoadTime"), default=0.0),
        peak_memory_mb=peak_memory_mb,
        row_ms=row_ms,
        batch_ms=batch_ms,
        repeatable=repeatable,
    )
    lengths = {}
    if samples is not None:  # last: a crash ends the environment
        request = samples.request([0])
        lengths = await measure_lengths(trial, contract["inputs"], request, SEARCH_SECONDS)
    return Examination(samples, measured, notes, shapes, lengths)


async def _ask_often(
    trial: Trial, request: Mapping[str, Array]
) -> tuple[list[dict[str, Array]], float]:
    """Return the answers to the same request, and the median time in milliseconds."""
    answers = [await trial.ask(request) for _ in range(REPEATS)]
    return answers, statistics.median(trial.read("RequestLatency")[-REPEATS:])


async def _ask_few(trial: Trial, samples: Samples) -> list[dict[str, list[int]]]:
    """Return the shapes of the outputs for requests of few rows, as far as they are answered."""
    shapes = []
    for rows in FEW if samples.batched else FEW[:1]:
        try:
            answer = await trial.ask(samples.request([i % len(samples) for i in range(rows)]))
        except (AnswerError, SlowError):
            break
        shapes.append({name: list(array.shape) for name, array in answer.items()})
    return shapes


async def find_made_up(
    trial: Trial, inputs: Sequence[Tensor], texts: Mapping[str, Sequence[str]] | None = None
) -> tuple[Samples | None, str]:
    """Return made-up samples that the model answers, or None; and a note about them."""
    reason = ""
    for length, zeros in MADE_UP:
        if count_elements(inputs, length) > MOST_ELEMENTS:
            reason = reason or "a row is too large"
            continue
        samples = make_up(inputs, length, zeros=zeros, texts=texts)
        try:
            await trial.ask(samples.request([0]))
        except AnswerError as error:
            reason = reason or str(error)
        else:
            return samples, "only made-up numbers were tried, which prove little: give --samples"
    return None, f"made-up numbers were tried and not answered ({reason}): give --samples"


def _is_same(one: Mapping[str, Array], other: Mapping[str, Array]) -> bool:
    def bits(array: Array) -> Any:
        return array.tolist() if array.dtype.hasobject else (array.shape, array.tobytes())

    return all(bits(array) == bits(other[name]) for name, array in one.items())
