"""How the answers of two versions to the requests of the load differ.

What counts as a difference is defined once, in the gate's code, which runs on Lambda. Here that
code is run as it was built.
"""

import asyncio
import json
import os
import sys
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any

from infra.local.errors import LocalRunError
from infra.local.functions.processes import end, start
from infra.local.functions.versions import Call
from infra.local.platform import Platform
from infra.local.triggers.event import Response, to_response
from infra.model.trial.open_inference import make_event
from infra.rehearsal.load import JSON
from infra.rehearsal.requests import RehearsalError, Requests
from infra.rehearsal.result import Colour, RehearsalFinding

ABOUT = "answers"
COMPARE = """
import sys, msgspec
from gate.answers import Comparison, find_changes
comparison = msgspec.json.decode(sys.stdin.buffer.read(), type=Comparison)
changes = [change.to_dict() for change in find_changes(comparison)]
sys.stdout.buffer.write(msgspec.json.encode(changes))
"""


async def compare(  # noqa: PLR0913, PLR0917 two versions, what to ask them, and how to compare
    local: Platform, gate: Path, requests: Requests, old: str, new: str, limit: float
) -> list[RehearsalFinding]:
    """Send each request of the load to both versions once; return how the answers differ.

    `gate` is the folder with the gate's built code; `limit` is the percentage of answers that may
    change. Raises RehearsalError if the gate's code fails.
    """
    pairs, missing, why = [], 0, ""
    for batch in requests.batches:
        try:
            before = await _ask(local, requests.path, batch.body, old)
            now = await _ask(local, requests.path, batch.body, new)
        except LocalRunError as error:
            why = str(error)
            break  # do not ask a version again that crashes
        if before.status == now.status == HTTPStatus.OK:
            answers = {"before": json.loads(before.body), "now": json.loads(now.body)}
            pairs.append({"rows": batch.rows, **answers})
        elif before.status == HTTPStatus.OK:
            missing += batch.rows
            why = f"version {new} answers with status {now.status}"
        else:
            why = f"version {old} answers with status {before.status}"
    comparison = {
        "requests": "requests of the load",
        "limit": limit,
        "classes": requests.classes,
        "pairs": pairs,
    }
    found = read_changes(await _run(gate, json.dumps(comparison).encode()) if pairs else [])
    if missing or not found:
        asked = f"{missing:,} rows of the load" if missing else "the requests of the load"
        text = f"no comparison of answers to {asked}: {why or 'no output is in both'}"
        found.append(RehearsalFinding(ABOUT, Colour.AMBER, text, {"rows_not_compared": missing}))
    return found


def read_changes(changes: Sequence[Mapping[str, Any]]) -> list[RehearsalFinding]:
    """Return the gate's findings; their numbers are all fields but colour and text."""
    return [
        RehearsalFinding(
            ABOUT,
            Colour(change["colour"]),
            change["text"],
            {key: value for key, value in change.items() if key not in {"colour", "text"}},
        )
        for change in changes
    ]


async def _ask(local: Platform, path: str, body: bytes, version: str) -> Response:
    event = make_event(path, JSON, body, lane="gate")  # in no metric of the service
    payload = await local.function.invoke(version, event, Call(""))
    return to_response(payload)


async def _run(gate: Path, comparison: bytes) -> list[dict[str, Any]]:
    process = await start(
        *(sys.executable, "-B", "-P", "-c", COMPARE),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(gate)},
    )
    try:
        output, errors = await process.communicate(comparison)
    finally:
        await end(process)
    if process.returncode:
        lines = errors.decode(errors="replace").splitlines() or ["without a message"]
        raise RehearsalError(f"the gate's code cannot compare the answers: {lines[-1]}")
    changes: list[dict[str, Any]] = json.loads(output)
    return changes
