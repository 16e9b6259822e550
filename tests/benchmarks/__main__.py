"""Measure what `sam build` made; print tables, and write the numbers to build/bench.json."""

import argparse
import asyncio
import fcntl
import json
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from infra.artifacts import ArtifactError
from infra.build import check_machine
from infra.local.errors import FunctionError, LocalRunError
from infra.local.functions.managed_runtime import prepare
from infra.local.stack import read_stack
from infra.project import LOCAL_STACK, Project
from tests.benchmarks import chart, machine, report
from tests.benchmarks.bodies import measure_bodies
from tests.benchmarks.cold import measure_cold, summarize_starts
from tests.benchmarks.cost import price, read_standing
from tests.benchmarks.load import PARAMETERS, LoadError, measure_load
from tests.benchmarks.peers import measure_peers
from tests.benchmarks.sample import AnswerError, read_sample
from tests.benchmarks.sizes import add_up, measure_sizes
from tests.benchmarks.subjects import LayerError, prepare_subjects
from tests.benchmarks.targets import (
    Target,
    find_failure,
    judge_bodies,
    judge_cold,
    judge_size,
    judge_warm,
)
from tests.benchmarks.warm import WarmError, measure_warm, summarize_cases

WIDTH = 110  # of the widest table
PROJECT = Project(Path(__file__).parents[2])
WHEELS = PROJECT.scratch / "wheels"
REGION = "us-east-1"
SECTIONS = ("cold", "warm", "sizes", "bodies", "load", "peers")
ERRORS = (
    *(AnswerError, ArtifactError, FunctionError),
    *(LayerError, LoadError, LocalRunError, WarmError),
)


@dataclass(frozen=True)
class Counts:
    """How often each thing is measured."""

    starts: int
    rounds: int
    clients: tuple[int, ...]
    requests: int  # over HTTP, by all clients together
    seconds: float  # at most, for each number of clients
    peer_starts: int
    turns: int  # of a hostile body and the valid rows
    bodies: int | None = None  # hostile ones of each form; None for all


FULL = Counts(
    starts=30,
    rounds=60,
    clients=(1, 2, 8, 32),
    requests=4000,
    seconds=8,
    peer_starts=3,
    turns=3,
)
QUICK = Counts(
    starts=1,
    rounds=1,
    clients=(1, 4),
    requests=32,
    seconds=2,
    peer_starts=1,
    turns=1,
    bodies=1,
)


def main() -> None:
    """Run the benchmark; exit with 1 if it fails or a size is too large, never for a time."""
    options = parse(sys.argv[1:])
    console = Console()
    console.width = max(console.width, WIDTH)
    try:
        with console.status("Measuring ..."):
            result = asyncio.run(measure(QUICK if options.quick else FULL, options.only))
    except ERRORS as error:
        sys.exit(f"bench: {error}")
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(result, indent=2, default=asdict) + "\n")
    console.print(
        f"{machine.describe(result['machine'])}, load {result['machine']['load']} at the start"
    )
    for table in tabulate(result):
        console.print(table)
    if options.chart:
        starts = result["cold"]["ours"]["total"].count
        note = chart.note(machine.describe(result["machine"]), starts)
        options.chart.write_text(chart.draw(result["cold"], note))
    if failure := find_failure(result["targets"]):
        sys.exit(f"bench: {failure}")


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="as few repetitions as possible")
    parser.add_argument("--peers", action="store_true", help="measure MLServer and BentoML as well")
    parser.add_argument("--only", nargs="+", choices=SECTIONS, help="measure only these sections")
    parser.add_argument("--chart", type=Path, help="draw the cold starts to this SVG file")
    parser.add_argument("--json", type=Path, default=PROJECT.bench)
    options = parser.parse_args(arguments)
    options.only = options.only or [name for name in SECTIONS if name != "peers" or options.peers]
    if options.chart and "cold" not in options.only:
        parser.error("--chart needs the section cold")
    return options


async def measure(counts: Counts, sections: Sequence[str]) -> dict[str, Any]:
    """Measure the sections one after the other, and compare them with their targets."""
    python = await prepare(PROJECT.managed_runtime)
    targets: list[Target] = []
    result: dict[str, Any] = {"machine": machine.measure(), "targets": targets}
    with tempfile.TemporaryDirectory(dir=PROJECT.scratch, prefix="bench-") as name:
        with PROJECT.build_lock.open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # until there is a copy of what was built
            stack = read_stack(PROJECT.build, LOCAL_STACK, REGION, PARAMETERS)
            function = stack.function
            check_machine(function.runtime, function.architecture)
            wheels = WHEELS / function.architecture
            subjects = prepare_subjects(function, Path(name), wheels)
            if "sizes" in sections:
                sizes = measure_sizes(PROJECT.build)
                result["sizes"] = sizes
                targets.append(judge_size(add_up(sizes["RuntimeLayer"])))
        model = subjects["ours"].place.opt / "model"
        sample = read_sample(model)
        if "cold" in sections:
            starts = await measure_cold(subjects, sample, python, counts.starts)
            result["cold"] = summarize_starts(starts)
            result["cost"], result["always_on"] = price(result["cold"])
            targets += judge_cold(starts)
        if "warm" in sections:
            times = await measure_warm(subjects, python, counts.rounds)
            result["warm"] = summarize_cases(times)
            targets += judge_warm(times)
        if "bodies" in sections:
            result["bodies"] = await measure_bodies(
                subjects["ours"], sample, python, counts.turns, counts.bodies
            )
            targets += judge_bodies(result["bodies"])
        bounds = counts.requests, counts.seconds
        if "load" in sections:
            local = Path(name) / "local"
            result["load"] = await measure_load(
                stack, model, python, local, counts.clients, *bounds
            )
        if "peers" in sections:
            result["peers"] = await measure_peers(model, sample, counts.peer_starts, *bounds)
    return result


def tabulate(result: Mapping[str, Any]) -> Iterator[Table]:
    """Yield a table for everything that was measured."""
    if "cold" in result:
        yield report.tabulate_cold(result["cold"])
    if "warm" in result:
        yield report.tabulate_warm(result["warm"])
    if "sizes" in result:
        yield report.tabulate_sizes(result["sizes"])
    if "bodies" in result:
        yield report.tabulate_bodies(result["bodies"])
    if "load" in result:
        yield report.tabulate_load("Local run over HTTP", result["load"])
    if "peers" in result:
        yield report.tabulate_peers(result["peers"])
    if "cost" in result:
        yield report.tabulate_cost(result["cost"])
        yield report.tabulate_standing(read_standing())
        yield report.tabulate_always_on(result["always_on"])
    if result["targets"]:
        yield report.tabulate_targets(result["targets"])


if __name__ == "__main__":
    main()
