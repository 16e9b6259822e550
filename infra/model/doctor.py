"""Whether and how well a model would run on Lambda, before anything is deployed."""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from infra.model.contract import describe, update_inputs
from infra.model.errors import ModelError, OptionError
from infra.model.graph.graph import Graph, read_graph
from infra.model.layer import digest, read_contract, seal, write
from infra.model.quality.quality import Quality, measure_quality
from infra.model.samples.file import read_samples
from infra.model.samples.samples import Samples
from infra.model.sizing import Size, Suggestion, check_size, measure_size, suggest
from infra.model.tensor import Tensor
from infra.model.trial.examination import (
    SHORT_SEARCH_SECONDS,
    Examination,
    Measurement,
    examine,
    find_made_up,
)
from infra.model.trial.lengths import measure_lengths
from infra.model.trial.output_shapes import declare
from infra.model.trial.trial import open_bench, read_onnxruntime_version
from infra.project import Project


@dataclass(frozen=True)
class Diagnosis:
    """All that is known about a model; the fields are the keys of the JSON form."""

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
    quality: Quality | None = None  # if a target was named

    @property
    def servable(self) -> bool:
        """Whether the model can be served."""
        return not self.problems


async def check(
    project: Project,
    source: Path,
    samples: Path | None = None,
    features: Sequence[str] = (),
    target: str = "",
) -> Diagnosis:
    """Examine the file of a model, with samples and their column `target` if they are given.

    Raises ModelError if the samples cannot be read, and LocalRunError if nothing was built.
    """
    if target and not samples:
        raise OptionError(f"--target '{target}' is a column of the samples: give --samples")
    try:
        graph = await read_graph(source)
    except ModelError as error:
        return Diagnosis(source.name, error.problems)
    size = measure_size(graph.size, project.build)
    problems = [*graph.problems, *check_size(size)]
    notes: list[str] = []
    inputs, measured, quality = graph.inputs, None, None
    if not graph.problems:
        rows = await read_samples(samples, graph.inputs, features, target) if samples else None
        notes += rows.notes if rows else ()
        try:
            examination, quality = await _try(project, graph, rows, target)
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
        quality=quality,
    )


async def add_lengths(project: Project, layer: Path) -> None:
    """Add to a derived model.json how long the dimensions of its inputs can be.

    Leaves it as it is if the model cannot be loaded, or answers no made-up numbers.
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


async def _try(
    project: Project, graph: Graph, samples: Samples | None, target: str
) -> tuple[Examination, Quality | None]:
    contract = describe(graph)
    async with open_bench(project) as bench:
        layer = bench.directory / "layer"
        write(graph, contract, layer / "model")
        trial = await bench.load(layer, contract["name"])
        quality = None
        if samples and target:
            quality = await measure_quality(trial, contract, samples, target)
        return await examine(trial, contract, samples), quality
