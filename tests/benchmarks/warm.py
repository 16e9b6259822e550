"""Warm requests: microseconds in the handler."""

import asyncio
import json
import os
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from tests.benchmarks.spread import Spread, summarize
from tests.benchmarks.subjects import HANDLERS, Subject

STOPWATCH = HANDLERS / "stopwatch.py"

type Times = dict[str, dict[str, list[float]]]


class WarmError(Exception):
    """Raised when a handler does not answer as the model does."""


async def measure_warm(subjects: Mapping[str, Subject], python: Path, rounds: int) -> Times:
    """Return the microseconds of each handler in each round, by case.

    Our handler and the bare session take turns in one process. The typical handler has a process of
    its own, so that neither has the other's objects and threads. Raises WarmError.
    """
    times: Times = defaultdict(lambda: defaultdict(list))
    async with AsyncExitStack() as exits:
        processes = [
            await exits.enter_async_context(_start(name, subjects, python))
            for name in ("ours", "typical")
        ]
        for _ in range(rounds):
            for process in processes:
                for case, values in (await _ask(process)).items():
                    for name, value in values.items():
                        times[case][name].append(value)
    return times


def summarize_cases(
    warm: Mapping[str, Mapping[str, Sequence[float]]],
) -> dict[str, dict[str, Spread]]:
    """Return the spread of each handler's microseconds, by case."""
    return {
        case: {name: summarize(values) for name, values in times.items()}
        for case, times in warm.items()
    }


@asynccontextmanager
async def _start(
    name: str, subjects: Mapping[str, Subject], python: Path
) -> AsyncIterator[asyncio.subprocess.Process]:
    subject = subjects[name]
    function, place = subject.function, subject.place
    process = await asyncio.create_subprocess_exec(
        *(python, "-B", "-P", STOPWATCH, name),
        env={
            **subject.variables,
            **function.environment,
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory_mb),
            "AWS_DEFAULT_REGION": function.region,
            "AWS_REGION": function.region,
            "PATH": os.defpath,
            "PYTHONPATH": f"{place.task}:{subjects['floor'].place.task}:{place.opt}/python",
        },
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def _ask(process: asyncio.subprocess.Process) -> dict[str, dict[str, float]]:
    """Return the microseconds of one round."""
    assert process.stdin  # both are pipes
    assert process.stdout
    process.stdin.write(b"\n")
    answer = await process.stdout.readline()
    if not answer:
        raise WarmError(f"a warm request fails (exit status {await process.wait()})")
    result: dict[str, dict[str, float]] = json.loads(answer)
    return result
