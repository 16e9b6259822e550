"""Puts a model into the layer that the stack is built from, after a trial in Lambda's runtime."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from infra.model.contract import Contract, describe, label, name_features, succeed, update_inputs
from infra.model.errors import ModelError, OptionError
from infra.model.golden import (
    MOST_ELEMENTS,
    Golden,
    ask_former_golden,
    ask_golden,
    has_json_form,
    prove,
    to_samples,
)
from infra.model.graph.graph import Graph, read_graph
from infra.model.layer import digest, install, read_contract, seal, write
from infra.model.quality.quality import Incumbent, Labelled, Quality, WorseError, evaluate
from infra.model.samples.columns import choose_columns
from infra.model.samples.file import read_samples
from infra.model.samples.made_up import find_texts
from infra.model.samples.samples import Samples
from infra.model.serialization import to_lists
from infra.model.simplify import is_worthwhile, simplify
from infra.model.sizing import check_size, measure_size, suggest
from infra.model.trial.examination import Examination, examine, find_made_up
from infra.model.trial.output_shapes import correct, declare
from infra.model.trial.trial import Trial, open_bench, read_onnxruntime_version
from infra.project import Project

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")  # as functions/serving/manifest.py has it


@dataclass(frozen=True)
class AddOptions:
    """What the user says about a model; its graph and the model it replaces say the rest."""

    name: str | None = None
    version: str | None = None
    description: str | None = None
    samples: Path | None = None
    features: Sequence[str] = ()
    labels: Sequence[str] = ()
    target: str = ""  # the column of the samples with the known outcome
    allow_worse: bool = False  # than the previous version, on the rows of the samples
    golden_synthetic: bool = False  # make golden requests of made-up rows, not of samples


@dataclass(frozen=True)
class Added:
    """A model that was added to its layer; the fields are the keys of the JSON form."""

    name: str
    version: str
    directory: str
    files: Mapping[str, str]  # sha256 by path
    golden: int  # number of golden requests
    notes: Sequence[str]
    quality: Quality | None = None


async def add(project: Project, source: Path, directory: Path, options: AddOptions) -> Added:
    """Replace the model in the layer's folder `directory` by the one in `source`, or do nothing.

    Raises ModelError if it cannot be served, and LocalRunError if nothing was built.
    """
    graph = await read_graph(source)
    problems = [*graph.problems, *check_size(measure_size(graph.size, project.build))]
    if problems:
        raise ModelError(*problems)
    previous = read_contract(directory)
    contract = _describe(graph, previous, options, read_onnxruntime_version(project))
    samples = await _read_samples(graph, contract, options)
    quality = None
    async with open_bench(project) as bench:
        layer = bench.directory / "layer"
        write(graph, contract, layer / "model")
        trial = await bench.load(layer, contract["name"])
        is_new = bool(samples or options.golden_synthetic)
        former = [] if is_new else await ask_former_golden(trial, contract, previous)
        texts = (
            find_texts(samples, graph.categories) if samples else _recall_texts(contract, previous)
        )
        examined = await examine(trial, contract, to_samples(contract, former) or samples, texts)
        update_inputs(contract, examined.lengths)
        if examined.shapes:
            graph = await declare(graph, examined.shapes)
            contract["outputs"] = [correct(one, examined.shapes) for one in contract["outputs"]]
            contract["provenance"]["changes"] = [*graph.changes]
            write(graph, contract, layer / "model")
            await trial.load()
        made_up = await _make_up(trial, contract, texts)
        contract["example"] = _make_example(made_up)
        if examined.measured.repeatable:
            is_real = bool(samples) and not options.golden_synthetic
            asked = samples if is_real else made_up
            contract["golden"] = former or await ask_golden(trial, asked, is_real=is_real)
        if samples and options.samples and options.target:
            quality = await evaluate(
                bench,
                trial,
                contract,
                samples,
                labelled=Labelled(options.samples, options.target),
                incumbent=Incumbent(directory, previous),
            )
            if quality.worse and not options.allow_worse:
                raise WorseError(quality)
            contract["quality"] = quality.to_contract()
        seal(contract, layer / "model")
        trial, _ = await prove(bench, layer, contract)
        notes = [
            *(samples.notes if samples else ()),
            *graph.changes,
            *examined.notes,
            *_compare_with(contract, previous, former),
            *_advise(contract, samples, examined, bench.function.memory_mb),
        ]
        if is_worthwhile(contract, examined.measured.load_ms):
            layer, note = await simplify(bench, trial, layer, contract)
            notes.append(note)
        install(layer / "model", directory)
    files, golden = read_contract(directory)["files"], len(contract["golden"])
    return Added(
        contract["name"], contract["version"], str(directory), files, golden, notes, quality
    )


def _describe(graph: Graph, previous: Contract, options: AddOptions, onnxruntime: str) -> Contract:
    """Return the contract that follows from the graph, the previous version and the options."""
    contract = describe(graph)
    contract["name"] = options.name or contract["name"]
    if previous.get("name") == contract["name"]:
        succeed(contract, previous, options.version)
    contract["version"] = options.version or contract["version"]
    contract["description"] = options.description or contract["description"]
    for option in ("name", "version"):
        if not NAME.fullmatch(contract[option]):
            raise OptionError(
                f"--{option} '{contract[option]}': expected up to 100 letters, digits, '.', '_' "
                "and '-', the first a letter or digit"
            )
    if options.labels:
        label(contract, options.labels)
    contract["provenance"] |= {
        "source": _identify(graph.source),
        "ir_version": graph.ir_version,
        "onnxruntime": onnxruntime,
    }
    return contract


async def _read_samples(graph: Graph, contract: Contract, options: AddOptions) -> Samples | None:
    """Read the user's samples, if any, and describe the features in the contract."""
    if options.target and not options.samples:
        raise OptionError(f"--target '{options.target}' is a column of the samples: give --samples")
    if not options.samples:
        if options.features:
            name_features(contract, _choose_features(graph, options.features))
        return None
    samples = await read_samples(
        options.samples, contract["inputs"], options.features, options.target
    )
    name_features(contract, samples.columns, samples)
    contract["provenance"]["samples"] = _identify(options.samples) | {"rows": len(samples)}
    return samples


def _choose_features(graph: Graph, features: Sequence[str]) -> Mapping[str, Sequence[str]]:
    try:
        return choose_columns("--features", features, graph.inputs, features).features
    except ModelError as error:
        raise OptionError(*error.problems) from error


def _identify(path: Path) -> dict[str, Any]:
    return {"file": path.name, "sha256": digest(path)}


def _advise(
    contract: Contract, samples: Samples | None, examined: Examination, memory_mb: int
) -> Iterator[str]:
    """Yield what else the user should do; `memory_mb` is the memory that the template sets."""
    features = [feature for tensor in contract["inputs"] for feature in tensor.get("features", ())]
    if samples is None and any("baseline" in feature for feature in features):
        yield "the features' histograms are those of the previous version: give --samples"
    if not contract["golden"]:
        yield "it has no golden request, which would prove a release"
    if any(golden["source"] == "samples" for golden in contract["golden"]):
        yield (
            "its golden requests hold rows of samples, which go with model.json into git and every "
            "layer version: --golden-synthetic makes up rows instead"
        )
    if not contract["example"]:
        yield "it has no example for callers: it answers no small made-up request in JSON"
    suggested = suggest(examined.measured.peak_memory_mb, examined.measured.row_ms)
    if suggested.memory_mb > memory_mb:
        yield f"set MemorySize: {suggested.memory_mb} in template.yaml ({suggested.reason})"


def _compare_with(
    contract: Contract, previous: Contract, former: Sequence[Golden]
) -> Iterator[str]:
    """Yield notes about the model that was in the folder before."""
    name = previous.get("name")
    if name and name != contract["name"]:
        yield (f"it replaces {name}, whose callers will not find it: --name {name} keeps the name")
    if former and contract["golden"]:
        version = previous["version"]
        yield f"its golden requests are those of version {version}, answered anew"


async def _make_up(
    trial: Trial, contract: Contract, texts: Mapping[str, Sequence[str]]
) -> Samples | None:
    """Return made-up rows that the model answers, if there are any."""
    try:
        made_up, _ = await find_made_up(trial, contract["inputs"], texts)
    except ModelError:  # made-up rows can take too long, or crash a model that answers real ones
        return None
    return made_up


def _recall_texts(contract: Contract, previous: Contract) -> dict[str, list[str]]:
    """Return the texts of the previous version's example, by input."""
    example = previous.get("example", {})
    return {
        tensor["name"]: np.array(example[tensor["name"]], object).ravel().tolist()
        for tensor in contract["inputs"]
        if tensor["datatype"] == "BYTES" and tensor["name"] in example
    }


def _make_example(made_up: Samples | None) -> dict[str, Any]:
    """Return the example for callers; {} if there is none, or it is too large, or not JSON."""
    inputs = made_up.request([0]) if made_up else {}
    if not has_json_form(inputs) or sum(array.size for array in inputs.values()) > MOST_ELEMENTS:
        return {}
    return {name: to_lists(array) for name, array in inputs.items()}
