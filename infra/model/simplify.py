"""Simplifying a graph ahead of time, where that makes it load faster."""

import asyncio
import shutil
from collections.abc import Sequence
from pathlib import Path

from infra.local.functions.processes import end, start
from infra.model.contract import Contract
from infra.model.errors import ModelError
from infra.model.golden import prove, read_inputs
from infra.model.graph.files import GRAPH
from infra.model.isolation import Limits, spare_memory_mb
from infra.model.layer import seal
from infra.model.trial.trial import Bench, Trial

# Only a graph that takes so many milliseconds to load is simplified, and only to save this share.
WORTHWHILE_MS, WORTHWHILE_SHARE = 20, 0.1
MOST_GROWTH = 1.05  # computed constants become weights
STARTS = 3
SIMPLIFY_SECONDS, SIMPLIFIED_MB = 60, 4096  # at most


def is_worthwhile(contract: Contract, load_ms: float) -> bool:
    """Return whether to try it: the model is slow to load, and golden requests can prove it."""
    return bool(contract["golden"]) and load_ms >= WORTHWHILE_MS


async def simplify(bench: Bench, trial: Trial, layer: Path, contract: Contract) -> tuple[Path, str]:
    """Return a layer with a graph that onnxruntime has simplified, or `layer` if that is no better.

    The second value is a note for the user. Only what every start does first, always with the same
    result, is done ahead: the graph keeps to portable operators, which each start then optimises
    for its processor.
    """
    simple = bench.directory / "simplified"
    shutil.copytree(layer, simple)
    graph = simple / "model" / GRAPH
    graph.unlink()
    version = contract["provenance"]["onnxruntime"]
    contract = {**contract, "provenance": {**contract["provenance"], "simplified_by": version}}
    try:
        await _write_simplified(bench, layer / "model" / GRAPH, graph)
        seal(contract, simple / "model")
        growth = graph.stat().st_size / (layer / "model" / GRAPH).stat().st_size
        if growth > MOST_GROWTH:
            return layer, f"graph as exported: simplified it is {growth:.1f} times as large"
        simple_trial, difference = await prove(bench, simple, contract)
    except ModelError as error:
        return layer, f"graph as exported: {error}"
    before, after = await _time_loads((trial, simple_trial), contract)
    times = f"it loads in {after:.0f} ms instead of {before:.0f}"
    if after > (1 - WORTHWHILE_SHARE) * before:
        return layer, f"graph as exported: simplified {times}"
    return simple, f"graph simplified: {times}, and no answer differs by more than {difference:.1g}"


async def _write_simplified(bench: Bench, source: Path, target: Path) -> None:
    """Let onnxruntime write to `target` the graph that it makes of `source` at each start.

    Raises ModelError if it fails or takes too long.
    """
    process = await start(
        *(bench.python, "-B", "-P", "-m", "serving.simplify", source, target),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        env={"PYTHONPATH": f"{bench.function.code}:{bench.runtime / 'python'}"},
    )
    Limits(SIMPLIFY_SECONDS, spare_memory_mb(), SIMPLIFIED_MB).impose(process.pid)
    try:
        async with asyncio.timeout(SIMPLIFY_SECONDS):
            status = await process.wait()
    except TimeoutError:
        raise ModelError(
            f"onnxruntime takes more than {SIMPLIFY_SECONDS} s to simplify it"
        ) from None
    finally:
        await end(process)
    if status:
        raise ModelError(f"onnxruntime cannot simplify the graph (exit status {status})")


async def _time_loads(trials: Sequence[Trial], contract: Contract) -> list[float]:
    """Return the fewest milliseconds that each takes to load, in turns so that both have noise."""
    inputs = read_inputs(contract, contract["golden"][0])
    for _ in range(STARTS):
        for trial in trials:
            await trial.load()
            await trial.ask(inputs)
    return [min(trial.read("ModelLoadTime")) for trial in trials]
