"""Throughput and latency over HTTP, by the number of concurrent clients."""

import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from infra.local.metrics import percentile
from infra.local.platform import serve
from infra.local.stack import BuiltStack

# The stage's throttle is a budget, not a speed, so an account's quotas replace it.
PARAMETERS = {"ThrottleRate": "10000", "ThrottleBurst": "5000"}


class LoadError(Exception):
    """Raised when the clients fail."""


@dataclass(frozen=True)
class Load:
    """The answers that a number of clients got."""

    clients: int
    requests: int
    errors: int  # requests with a status or answer other than the golden one
    per_second: float
    p50_ms: float
    p99_ms: float


async def measure_load(
    stack: BuiltStack,
    model: Path,
    python: Path,
    directory: Path,
    clients: Sequence[int],
    requests: int,
    seconds: float,
) -> list[Load]:
    """Serve the stack as `make run` does, and send it the golden sample of `model`.

    As on Lambda there is an environment for each request that is being answered, so 32 clients
    share this machine's processors with 32 processes. `requests` and `seconds` bound each number
    of `clients`.
    """
    serving = serve(
        stack,
        python=python,
        directory=directory,
        concurrency=max(clients),
        watch=False,
    )
    async with serving as local:
        return await ask_in_turns(local.url, model, clients, requests, seconds)


async def ask_in_turns(
    url: str, model: Path, clients: Sequence[int], requests: int, seconds: float
) -> list[Load]:
    """Send the golden sample of `model` to the server at `url`, from a process of its own."""
    loads = []
    for count in clients:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.benchmarks.clients"),
            *(url, model, str(count), str(requests), str(seconds)),
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            output, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode:
            raise LoadError(f"{count} clients of {url} fail")
        loads.append(summarize_load(count, **json.loads(output)))
    return loads


def summarize_load(
    clients: int, seconds: float, milliseconds: Sequence[float], errors: int
) -> Load:
    """Summarize what the clients measured."""
    return Load(
        clients=clients,
        requests=len(milliseconds),
        errors=errors,
        per_second=len(milliseconds) / seconds,
        p50_ms=percentile(milliseconds, 50),
        p99_ms=percentile(milliseconds, 99),
    )
