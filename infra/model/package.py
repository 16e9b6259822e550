"""Adds a model to the layer that the stack is built from, proven in production's own runtime."""

import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from infra.model.contract import (
    MOST_ELEMENTS,
    Contract,
    choose_golden,
    describe,
    label,
    make_golden,
    name_features,
    plain,
    succeed,
    update_inputs,
)
from infra.model.doctor import (
    Examination,
    check_size,
    examine,
    find_made_up,
    read_onnxruntime_version,
)
from infra.model.errors import AnswerError, ModelError, OptionError
from infra.model.graph.graph import DYNAMIC, GRAPH, Graph, read_graph
from infra.model.layer import digest, install, read_contract, seal, write
from infra.model.quality.quality import Incumbent, Labelled, Quality, WorseError, evaluate
from infra.model.samples.columns import choose_columns
from infra.model.samples.file import read_samples
from infra.model.samples.samples import DTYPES, Array, Samples, find_texts, has_rows
from infra.model.sizing import measure_size, suggest
from infra.model.trial.output_shapes import correct, declare
from infra.model.trial.trial import Bench, Trial, open_bench
from infra.project import Project

type Golden = Mapping[str, Any]  # a request, as model.json has it, and its answers

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")  # as functions/serving/manifest.py has it
# A simplified graph replaces one that takes so many milliseconds to load, if it saves this share.
WORTHWHILE_MS, WORTHWHILE_SHARE = 20, 0.1
MOST_GROWTH = 1.05  # constants that were computed become weights
STARTS = 3


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
    allow_worse: bool = False  # than the version before, on those rows
    golden_synthetic: bool = False  # golden requests hold no rows of the samples


@dataclass(frozen=True)
class Added:
    """A model that is in its layer now; the fields are the keys of the JSON form."""

    name: str
    version: str
    directory: str
    files: Mapping[str, str]  # sha256
    golden: int  # requests
    notes: Sequence[str]
    quality: Quality | None = None


async def add(project: Project, source: Path, directory: Path, options: AddOptions) -> Added:
    """Package a model into the layer's folder `directory`, all or nothing.

    Raises ModelError if it cannot be served, and LocalRunError if nothing was built.
    """
    graph = await read_graph(source)
    problems = [*graph.problems, *check_size(measure_size(graph.size, project.build))]
    if problems:
        raise ModelError(*problems)
    previous = read_contract(directory)
    contract = _describe(graph, previous, options, read_onnxruntime_version(project))
    samples, quality = None, None
    if options.target and not options.samples:
        raise OptionError(f"--target '{options.target}' is a column of the samples: give --samples")
    if options.samples:
        samples = await read_samples(
            options.samples, contract["inputs"], options.features, options.target
        )
        name_features(contract, samples.columns, samples)
        contract["provenance"]["samples"] = _tell(options.samples) | {"rows": len(samples)}
    elif options.features:
        name_features(contract, _choose_features(graph, options.features))
    async with open_bench(project) as bench:
        layer = bench.directory / "layer"
        write(graph, contract, layer / "model")
        trial = await bench.load(layer, contract["name"])
        is_new = bool(samples or options.golden_synthetic)
        former = [] if is_new else await _ask_former(trial, contract, previous)
        texts = (
            find_texts(samples, graph.categories) if samples else _recall_texts(contract, previous)
        )
        examined = await examine(trial, contract, _recall(contract, former) or samples, texts)
        update_inputs(contract, examined.lengths)
        if examined.shapes:
            graph = await declare(graph, examined.shapes)
            contract["outputs"] = [correct(one, examined.shapes) for one in contract["outputs"]]
            contract["provenance"]["changes"] = [*graph.changes]
            write(graph, contract, layer / "model")
            await trial.load()
        made_up = await _make_up(trial, contract, texts)
        contract["example"] = _show(made_up)
        if examined.measured.repeatable:
            is_real = bool(samples) and not options.golden_synthetic
            asked = samples if is_real else made_up
            contract["golden"] = former or await _ask_golden(trial, asked, is_real=is_real)
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
        trial, _ = await _prove(bench, layer, contract)
        notes = [
            *(samples.notes if samples else ()),
            *graph.changes,
            *examined.notes,
            *_compare_with(contract, previous, former),
            *_advise(contract, samples, examined, bench.function.memory_mb),
        ]
        if contract["golden"] and examined.measured.load_ms >= WORTHWHILE_MS:
            layer, note = await simplify(bench, trial, layer, contract)
            notes.append(note)
        install(layer / "model", directory)
    files, golden = read_contract(directory)["files"], len(contract["golden"])
    return Added(
        contract["name"], contract["version"], str(directory), files, golden, notes, quality
    )


def _describe(graph: Graph, previous: Contract, options: AddOptions, onnxruntime: str) -> Contract:
    """Put together what the graph, the model before it and the user tell."""
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
        "source": _tell(graph.source),
        "ir_version": graph.ir_version,
        "onnxruntime": onnxruntime,
    }
    return contract


def _choose_features(graph: Graph, features: Sequence[str]) -> Mapping[str, Sequence[str]]:
    try:
        return choose_columns("--features", features, graph.inputs, features).features
    except ModelError as error:
        raise OptionError(*error.problems) from error


def _tell(path: Path) -> dict[str, Any]:
    return {"file": path.name, "sha256": digest(path)}


def _advise(
    contract: Contract, samples: Samples | None, examined: Examination, memory_mb: int
) -> Iterator[str]:
    """Yield what the user should do besides; `memory_mb` is what the template gives."""
    features = [feature for tensor in contract["inputs"] for feature in tensor.get("features", ())]
    if samples is None and any("baseline" in feature for feature in features):
        yield "the features' histograms are those of the version before: give --samples"
    if not contract["golden"]:
        yield "it has no golden request, which would prove a release"
    if any(golden["source"] == "samples" for golden in contract["golden"]):
        yield (
            "its golden requests hold rows of samples, which go with model.json into git and every "
            "layer version: --golden-synthetic makes rows up instead"
        )
    if not contract["example"]:
        yield "it has no example for callers: no small made-up request in JSON is answered"
    suggested = suggest(examined.measured.peak_memory_mb, examined.measured.row_ms)
    if suggested.memory_mb > memory_mb:
        yield f"set MemorySize: {suggested.memory_mb} in template.yaml ({suggested.reason})"


def _compare_with(
    contract: Contract, previous: Contract, former: Sequence[Golden]
) -> Iterator[str]:
    """Yield what a person should know of the model that was in the folder."""
    name = previous.get("name")
    if name and name != contract["name"]:
        yield (
            f"it takes the place of {name}, whose callers will not find it: --name {name} keeps "
            "the name"
        )
    if former and contract["golden"]:
        version = previous["version"]
        yield f"its golden requests are those of version {version}, answered anew"


async def _ask_former(trial: Trial, contract: Contract, previous: Contract) -> list[Golden]:
    """Return golden requests for what the model before was asked, where the inputs fit.

    Raises ModelError if such a request is not answered with numbers.
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
            raise ModelError(f"golden[{index}] of the version before: {error}") from error
        if _has_json(answers):
            asked.append(make_golden(inputs, answers, golden.get("source", "samples")))
    return asked


def _fit(contract: Contract, previous: Contract, golden: Golden) -> dict[str, Array] | None:
    """Return the inputs of a request to the model before, if the new one takes them, too."""
    kinds = {(tensor["name"], tensor["datatype"]) for tensor in previous.get("inputs", ())}
    known = [one for one in contract["inputs"] if (one["name"], one["datatype"]) in kinds]
    needed = {one["name"] for one in contract["inputs"] if not one.get("optional")}
    if not needed <= golden["inputs"].keys() <= {tensor["name"] for tensor in known}:
        return None
    inputs = _read_inputs(contract, golden)
    shapes = {tensor["name"]: tensor["shape"] for tensor in known}
    fits = all(
        array.ndim == len(shapes[name])
        and array.size
        and all(map(_takes, shapes[name], array.shape))
        for name, array in inputs.items()
    )
    return inputs if fits else None


def _takes(length: int, found: int) -> bool:
    return length in {DYNAMIC, found}


def _recall(contract: Contract, former: Sequence[Golden]) -> Samples | None:
    """Return the inputs of the first golden request as samples, to measure with."""
    if not former:
        return None
    arrays = _read_inputs(contract, former[0])
    tensors = [tensor for tensor in contract["inputs"] if tensor["name"] in arrays]
    rows = {
        tensor["name"]: arrays[tensor["name"]][() if has_rows(tensor) else np.newaxis]
        for tensor in tensors
    }
    return Samples(contract["inputs"], rows)


async def _make_up(
    trial: Trial, contract: Contract, texts: Mapping[str, Sequence[str]]
) -> Samples | None:
    """Return made-up rows that the model takes, if there are any."""
    try:
        made_up, _ = await find_made_up(trial, contract["inputs"], texts)
    except ModelError:  # they may take too long, or crash a model that takes real ones
        return None
    return made_up


def _recall_texts(contract: Contract, previous: Contract) -> dict[str, list[str]]:
    """Return the texts of the example that callers of the model before are shown."""
    example = previous.get("example", {})
    return {
        tensor["name"]: np.array(example[tensor["name"]], object).ravel().tolist()
        for tensor in contract["inputs"]
        if tensor["datatype"] == "BYTES" and tensor["name"] in example
    }


def _show(made_up: Samples | None) -> dict[str, Any]:
    """Return the example for callers, unless it is too large or JSON cannot hold it."""
    inputs = made_up.request([0]) if made_up else {}
    if not _has_json(inputs) or sum(array.size for array in inputs.values()) > MOST_ELEMENTS:
        return {}
    return {name: plain(array) for name, array in inputs.items()}


async def _ask_golden(trial: Trial, samples: Samples | None, *, is_real: bool) -> list[Golden]:
    """Return golden requests, unless JSON cannot hold the answers."""
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
        if _has_json(outputs):
            asked.append(make_golden(inputs, outputs, "samples" if is_real else "synthetic"))
    return asked


def _has_json(arrays: Mapping[str, Array]) -> bool:
    """Tell whether golden requests, which are JSON, can hold all numbers; BF16 has no such form."""
    return not any(
        array.dtype.kind == "V" or (array.dtype.kind == "f" and not np.isfinite(array).all())
        for array in arrays.values()
    )


async def _prove(bench: Bench, layer: Path, contract: Contract) -> tuple[Trial, float]:
    """Ask a finished layer its golden requests; return its trial and the largest difference.

    Raises ModelError unless every answer is the golden one, within its tolerances.
    """
    trial = await bench.load(layer, contract["name"])
    difference = 0.0
    for golden in contract["golden"]:
        answers = await trial.ask(_read_inputs(contract, golden))
        difference = max(difference, _compare(golden, answers))
    return trial, difference


def _read_inputs(contract: Contract, golden: Golden) -> dict[str, Array]:
    dtypes = {tensor["name"]: DTYPES[tensor["datatype"]] for tensor in contract["inputs"]}
    return {name: np.array(value, dtypes[name]) for name, value in golden["inputs"].items()}


def _compare(golden: Golden, answers: Mapping[str, Array]) -> float:
    """Return the largest difference; raise ModelError if one is beyond the tolerances."""
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
            raise ModelError(f"output '{name}' is not what it was when the samples were answered")
    return largest


async def simplify(bench: Bench, trial: Trial, layer: Path, contract: Contract) -> tuple[Path, str]:
    """Return a layer whose graph onnxruntime has simplified, or the same one if that is no better.

    Only what every start would do first, and with the same result, is done ahead: the graph stays
    a portable one of standard operators, which each start goes on to optimise for its processor.
    """
    simple = bench.directory / "simplified"
    shutil.copytree(layer, simple)
    graph = simple / "model" / GRAPH
    graph.unlink()
    version = contract["provenance"]["onnxruntime"]
    contract = {**contract, "provenance": {**contract["provenance"], "simplified_by": version}}
    try:
        await bench.simplify(layer / "model" / GRAPH, graph)
        seal(contract, simple / "model")
        growth = graph.stat().st_size / (layer / "model" / GRAPH).stat().st_size
        if growth > MOST_GROWTH:
            return layer, f"graph as exported: simplified it is {growth:.1f} times as large"
        simple_trial, difference = await _prove(bench, simple, contract)
    except ModelError as error:
        return layer, f"graph as exported: {error}"
    before, after = await _time_loads((trial, simple_trial), contract)
    times = f"it loads in {after:.0f} ms instead of {before:.0f}"
    if after > (1 - WORTHWHILE_SHARE) * before:
        return layer, f"graph as exported: simplified {times}"
    return simple, f"graph simplified: {times}, and no answer differs by more than {difference:.1g}"


async def _time_loads(trials: Sequence[Trial], contract: Contract) -> list[float]:
    """Return the fewest milliseconds that each takes, turn by turn: both share what disturbs."""
    inputs = _read_inputs(contract, contract["golden"][0])
    for _ in range(STARTS):
        for trial in trials:
            await trial.load()
            await trial.ask(inputs)
    return [min(trial.read("ModelLoadTime")) for trial in trials]
