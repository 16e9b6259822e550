"""Clients that send the next request as soon as they have an answer; runs as its own process.

Prints one JSON object: the seconds it took, the milliseconds of each answer, and the wrong answers.
"""

import asyncio
import json
import sys
import time
from pathlib import Path

import aiohttp

from tests.benchmarks.sample import AnswerError, Sample, read_sample

WARM_UP = 5  # requests of each client that are not counted


async def ask(url: str, sample: Sample, clients: int, requests: int, seconds: float) -> str:
    """Let clients send requests until `requests` are answered or `seconds` are over."""
    milliseconds: list[float] = []
    errors = 0
    deadline = 0.0

    async def ask_often(session: aiohttp.ClientSession, *, most: int, is_counted: bool) -> None:
        nonlocal errors
        for _ in range(most):
            started = time.perf_counter()
            if is_counted and started > deadline:
                break
            async with session.post(sample.path, data=sample.body) as response:
                body = await response.read()
            took = (time.perf_counter() - started) * 1e3
            if not is_counted:
                continue
            milliseconds.append(took)
            try:
                sample.check(response.status, body)
            except AnswerError:
                errors += 1

    connector = aiohttp.TCPConnector(limit=0)
    headers = {"content-type": "application/json"}
    async with aiohttp.ClientSession(url, connector=connector, headers=headers) as session:
        for most, is_counted in ((WARM_UP, False), (-(-requests // clients), True)):
            started = time.perf_counter()
            deadline = started + seconds
            async with asyncio.TaskGroup() as group:
                for _ in range(clients):
                    group.create_task(ask_often(session, most=most, is_counted=is_counted))
    took = time.perf_counter() - started
    return json.dumps({"seconds": took, "milliseconds": milliseconds, "errors": errors})


if __name__ == "__main__":
    url, model, clients, requests, seconds = sys.argv[1:]
    load = ask(url, read_sample(Path(model)), int(clients), int(requests), float(seconds))
    sys.stdout.write(asyncio.run(load))
