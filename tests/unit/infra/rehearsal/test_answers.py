"""Both versions' answers to the load, compared by the gate's own code."""

import asyncio
import json
import os
import select
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from infra.local.errors import FunctionError
from infra.local.platform import Platform
from infra.rehearsal.answers import compare
from infra.rehearsal.requests import Batch, RehearsalError, Requests
from infra.rehearsal.result import Colour, RehearsalFinding

FUNCTIONS = Path(__file__).parents[4] / "functions"
REQUESTS = Requests("/v2/models/tiny/infer", (), tuple(Batch(50, bytes([i])) for i in range(4)))

type Answer = Callable[[int], dict[str, Any]]


def ask(old: Answer, new: Answer) -> Platform:
    """Make a stack whose versions 1 and 2 answer the requests by their numbers."""
    asked = []

    async def invoke(version: str, payload: bytes, call: object) -> bytes:
        asked.append((version, call))
        event = json.loads(payload)
        assert event["requestContext"]["lane"] == "gate"  # no caller's request
        [number] = event["body"].encode()
        return json.dumps((old if version == "1" else new)(number)).encode()

    return cast("Platform", SimpleNamespace(function=SimpleNamespace(invoke=invoke)))


def labels(flipped: int) -> Answer:
    """Answer 50 labels, so many of them 1."""

    def reply(_: int) -> dict[str, Any]:
        data = [int(i < flipped) for i in range(50)]
        output = {"name": "y", "datatype": "INT64", "shape": [50], "data": data}
        body = {"model_name": "tiny", "model_version": "1", "outputs": [output]}
        return {"statusCode": 200, "body": json.dumps(body)}

    return reply


async def find(old: Answer, new: Answer) -> list[RehearsalFinding]:
    return await compare(ask(old, new), FUNCTIONS, REQUESTS, "1", "2", 10)


@pytest.mark.parametrize(
    ("flipped", "colour"),
    [(0, Colour.GREEN), (2, Colour.GREEN), (5, Colour.AMBER), (9, Colour.RED)],
)
async def test_every_row_of_the_load_is_compared(flipped: int, colour: Colour) -> None:
    [finding] = await find(labels(0), labels(flipped))

    assert (finding.about, finding.colour) == ("answers", colour)
    assert finding.text.startswith(
        f"requests of the load: output 'y': {4 * flipped} of 200 labels ({2 * flipped} %) change"
    )
    assert finding.numbers["rows"] == 200
    assert finding.numbers["flips"] == pytest.approx(flipped / 50)
    assert not {"text", "colour"} & finding.numbers.keys()


async def test_rows_that_only_the_old_version_answers_are_to_be_looked_at() -> None:
    def fail_once(number: int) -> dict[str, Any]:
        return {"statusCode": 500, "body": "{}"} if number == 2 else labels(0)(number)

    compared, missing = await find(labels(0), fail_once)

    assert (compared.colour, compared.numbers["rows"]) == (Colour.GREEN, 150)
    assert missing.colour is Colour.AMBER
    assert missing.text == (
        "no comparison of answers to 50 rows of the load: version 2 answers with status 500"
    )
    assert missing.numbers == {"rows_not_compared": 50}


async def test_a_version_that_crashes_is_not_asked_again() -> None:
    count = []

    def crash(number: int) -> dict[str, Any]:
        count.append(number)
        raise FunctionError("Runtime.ExitError", "signal: killed")

    [finding] = await find(labels(0), crash)

    assert count == [0]
    assert finding.colour is Colour.AMBER
    assert "signal: killed" in finding.text


async def test_it_is_said_why_nothing_is_compared() -> None:
    def refuse(_: int) -> dict[str, Any]:
        return {"statusCode": 400, "body": '{"error": "input \'x\'"}'}

    [finding] = await find(refuse, labels(0))
    assert finding.text == (
        "no comparison of answers to the requests of the load: version 1 answers with status 400"
    )


async def test_gate_code_that_fails_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RehearsalError, match="cannot compare the answers: ModuleNotFoundError: No"):
        await compare(ask(labels(0), labels(0)), tmp_path, REQUESTS, "1", "2", 10)


async def test_the_gates_code_ends_with_its_caller(tmp_path: Path) -> None:
    # GIVEN gate code that takes forever
    (tmp_path / "gate").mkdir()
    started = tmp_path / "pid"
    code = (
        f"import os, pathlib, time\npathlib.Path({str(started)!r}).write_text(str(os.getpid()))\n"
    )
    (tmp_path / "gate" / "answers.py").write_text(f"{code}time.sleep(600)\n")
    asked = ask(labels(0), labels(0))
    task = asyncio.create_task(compare(asked, tmp_path, REQUESTS, "1", "2", 10))
    async with asyncio.timeout(60):
        while not (started.exists() and started.read_text()):  # noqa: ASYNC110 nobody tells
            await asyncio.sleep(0.05)
    process = os.pidfd_open(int(started.read_text()))
    # WHEN the caller is cancelled
    task.cancel()
    await asyncio.wait([task])
    # THEN it has ended
    ended, _, _ = select.select([process], [], [], 0)
    os.close(process)
    assert task.cancelled()
    assert ended == [process]
