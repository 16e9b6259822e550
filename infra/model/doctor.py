"""Tells whether and how well a model would run on Lambda, before anything is deployed."""

import contextlib
import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from infra.artifacts import BUDGET, LIMIT, MB
from infra.model.contract import Contract, describe, update_inputs
from infra.model.errors import AnswerError, ModelError, SlowError
from infra.model.graph.graph import Graph, Shapes, Tensor, read_graph
from infra.model.layer import digest, read_contract, seal, write
from infra.model.samples.file import read_samples
from infra.model.samples.samples import MOST_ELEMENTS, Array, Samples, count_elements, make_up
from infra.model.sizing import Size, Suggestion, measure_size, suggest
from infra.model.trial.lengths import measure_lengths
from infra.model.trial.output_shapes import declare, find_shapes
from infra.model.trial.trial import Trial, open_bench
from infra.project import Project

REPEATS = 5
BATCH = 100  # rows
FEW = (1, 2, 3)  # rows of the requests that show which lengths follow them
# Lengths for dimensions that have none, and whether all is zero: the first that the model takes.
MADE_UP = ((64, False), (1, False), (64, True), (1, True))
SEARCH_SECONDS, SHORT_SEARCH_SECONDS = 60, 5  # for the lengths that a model answers


@dataclass(frozen=True)
class Measurement:
    """What a model did in an execution environment on this machine."""

    cold_start_ms: float  # from the start of the process to the first request it can take
    load_ms: float  # the model's part of that
    peak_memory_mb: int
    row_ms: float | None = None  # a request of one row, from bytes to bytes
    batch_ms: float | None = None  # a request of 100 rows
    repeatable: bool | None = None  # the same request has the same answer, bit for bit


@dataclass(frozen=True)
class Diagnosis:
    """All that is known of a model; the fields are the keys of the JSON form."""

    file: str
    problems: Sequence[str]  # why it cannot be served
    notes: Sequence[str] = ()  # what else a person should know
    sha256: str | None = None
    producer: str | None = None
    ir_version: int | None = None
    opsets: Mapping[str, int] = field(default_factory=dict)  # by domain
    operators: Mapping[str, int] = field(default_factory=dict)  # how many of each
    inputs: Sequence[Tensor] = ()  # as in model.json
    outputs: Sequence[Tensor] = ()
    external_data: Mapping[str, int] = field(default_factory=dict)  # bytes, by file
    size: Size | None = None
    onnxruntime: str | None = None  # the pinned version
    measured: Measurement | None = None
    suggested: Suggestion | None = None

    @property
    def servable(self) -> bool:
        """Whether the model can be served."""
        return not self.problems


@dataclass(frozen=True)
class Examination:
    """A model that runs: measured with these samples, the user's own or made up ones if it can."""

    samples: Samples | None
    measured: Measurement
    notes: Sequence[str]
    shapes: Shapes  # of the outputs that the graph declares otherwise
    lengths: Mapping[str, Mapping[str, Any]]  # fields, by input


async def check(
    project: Project, source: Path, samples: Path | None, features: Sequence[str]
) -> Diagnosis:
    """Examine the file of a model.

    Raises ModelError if the samples cannot be read, and LocalRunError if nothing was built.
    """
    try:
        graph = await read_graph(source)
    except ModelError as error:
        return Diagnosis(source.name, error.problems)
    size = measure_size(graph.size, project.build)
    problems, measured = [*graph.problems, *check_size(size)], None
    notes: list[str] = []
    inputs = graph.inputs
    if not graph.problems:
        rows = await read_samples(samples, graph.inputs, features) if samples else None
        notes += rows.notes if rows else ()
        try:
            examination = await _run(project, graph, rows)
        except ModelError as error:
            problems += error.problems
        else:
            notes += examination.notes
            measured = examination.measured
            graph = await declare(graph, examination.shapes)
            inputs = tuple({**one, **examination.lengths.get(one["name"], {})} for one in inputs)
    return Diagnosis(
        file=source.name,
        problems=problems,
        notes=[*graph.changes, *notes],
        sha256=digest(graph.source),
        producer=graph.producer,
        ir_version=graph.ir_version,
        opsets=graph.opsets,
        operators=graph.operators,
        inputs=inputs,
        outputs=graph.outputs,
        external_data={name: path.stat().st_size for name, path in graph.external.items()},
        size=size,
        onnxruntime=read_onnxruntime_version(project),
        measured=measured,
        suggested=suggest(measured.peak_memory_mb, measured.row_ms) if measured else None,
    )


async def examine(
    trial: Trial,
    contract: Contract,
    samples: Samples | None,
    texts: Mapping[str, Sequence[str]] | None = None,
) -> Examination:
    """Measure a model that was loaded; without samples of the user's own with made up ones.

    `texts` are those that made-up rows have, by input.

    Raises ModelError if it fails on the first row of the user's samples, or crashes.
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
    if samples is not None:  # last: crashes end what was measured
        request = samples.request([0])
        lengths = await measure_lengths(trial, contract["inputs"], request, SEARCH_SECONDS)
    return Examination(samples, measured, notes, shapes, lengths)


async def add_lengths(project: Project, layer: Path) -> None:
    """Add to a derived model.json how long the dimensions of its inputs can be.

    It stays as it is if the model takes no made-up numbers, or cannot be loaded at all.
    """
    contract = read_contract(layer / "model")
    inputs = contract["inputs"]
    with contextlib.suppress(ModelError):
        async with open_bench(project) as bench:
            trial = await bench.load(layer, contract["name"])
            samples, _ = await find_made_up(trial, inputs)
            if samples is not None:
                request = samples.request([0])
                lengths = await measure_lengths(trial, inputs, request, SHORT_SEARCH_SECONDS)
                update_inputs(contract, lengths)
                seal(contract, layer / "model")


def check_size(size: Size) -> list[str]:
    """Return a problem if Lambda would refuse function and layers for their size."""
    text = (
        f"the model is {size.model / MB:.1f} MB, with the function and its runtime "
        f"{size.total / MB:.1f} MB, over the budget of {BUDGET // MB} MB (Lambda's limit is "
        f"{LIMIT // MB} MB): take a smaller model, or quantize its weights"
    )
    return [text] if size.total > BUDGET else []


def read_onnxruntime_version(project: Project) -> str:
    """Return the version that the runtime layer is locked to."""
    locked = project.runtime_requirements.read_text()
    found = re.search(r"^onnxruntime==(\S+)", locked, re.MULTILINE)
    return found[1] if found else ""


async def _run(project: Project, graph: Graph, samples: Samples | None) -> Examination:
    contract = describe(graph)
    async with open_bench(project) as bench:
        layer = bench.directory / "layer"
        write(graph, contract, layer / "model")
        return await examine(await bench.load(layer, contract["name"]), contract, samples)


async def _ask_often(
    trial: Trial, request: Mapping[str, Array]
) -> tuple[list[dict[str, Array]], float]:
    """Return the answers to the same request, and the median time in milliseconds."""
    answers = [await trial.ask(request) for _ in range(REPEATS)]
    return answers, statistics.median(trial.read("RequestLatency")[-REPEATS:])


async def _ask_few(trial: Trial, samples: Samples) -> list[dict[str, list[int]]]:
    """Return the shapes of the answers to requests of few rows, those that are answered."""
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
    """Return made-up samples that the model takes, if it takes any, and what to say of them."""
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
