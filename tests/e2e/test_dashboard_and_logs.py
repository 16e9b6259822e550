"""`infra dashboard` and `infra logs`, on the files that deploy and requests of three kinds."""

import asyncio
import json
import re
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import pytest

from infra.local.functions import managed_runtime
from infra.local.platform import Platform, serve
from infra.local.stack import read_stack
from tests.dashboard_page import read_legends, read_tiles
from tests.local_run import INFRA
from tests.onnx_models import gather, package
from tests.sam_template import PROJECT

ROOT = Path(__file__).parents[2]
REGION = "eu-west-1"
INFER = "/v2/models/tiny/infer"


@dataclass(frozen=True)
class Result:
    """How a command ended."""

    code: int
    output: str
    errors: str


@pytest.fixture(scope="module")
async def local(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Platform]:
    """Local run after 4 predictions of 2 rows, 3 wrong requests, and 2 that fail in the model."""
    folder = tmp_path_factory.mktemp("failing")
    stack = read_stack(ROOT / ".aws-sam/build", "serverless-onnx", REGION)
    package(folder / "ModelLayer/model", gather())
    runtime, _ = stack.function.layers
    function = replace(stack.function, layers=(runtime, folder / "ModelLayer"))
    async with (
        serve(
            stack.with_function(function),
            python=await managed_runtime.prepare(PROJECT.managed_runtime),
            directory=folder / "run",
            metric_delay=0,
        ) as local,
        httpx.AsyncClient(base_url=local.url) as client,
    ):
        for status, indices in ((200, [0, 2]), (200, [1, 1])) * 2 + ((500, [9]),) * 2:
            tensor = {"name": "x", "datatype": "INT64", "shape": [len(indices)], "data": indices}
            answer = await client.post(INFER, json={"inputs": [tensor]})
            assert answer.status_code == status, answer.text
        for _ in range(3):
            assert (await client.post(INFER, json={"inputs": "no"})).status_code == 400
        await local.flush()
        yield local


async def start(local: Platform, *arguments: str | Path) -> asyncio.subprocess.Process:
    """Start the command as a person does who has pasted what the local run printed."""
    return await asyncio.create_subprocess_exec(
        INFRA,
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=dict(local.cloud.variables()),
    )


async def infra(local: Platform, *arguments: str | Path) -> Result:
    """Run the command to its end."""
    process = await start(local, *arguments)
    output, errors = await asyncio.wait_for(process.communicate(), timeout=120)
    return Result(await process.wait(), output.decode(), errors.decode())


async def test_dashboard_shows_the_numbers_of_the_run(local: Platform, tmp_path: Path) -> None:
    # GIVEN the dashboard of template.yaml WHEN it is drawn
    page = tmp_path / "new" / "dashboard.html"
    result = await infra(local, "dashboard", "--output", page)
    assert (result.code, result.output, result.errors) == (0, f"Wrote {page}\n", "")
    # THEN all that was answered and all that failed is on it
    legends = read_legends(page.read_text())
    totals = {
        f"{title}: {label}": values[2]
        for title, lines in legends.items()
        for label, values in lines.items()
        if len(values) > 2
    }
    assert totals["Requests by version: version 1"] == "9"
    assert totals["Our failures by version: 5xx of 1"] == "2"
    assert totals["Our failures by version: crashes and timeouts of 1"] == "0"
    assert totals["What callers see: Count"] == "9"
    assert totals["What callers see: 4xx"] == "3"
    assert totals["What callers see: 5xx"] == "2"
    assert totals["Cold starts: ColdStart"] == "1"
    assert totals["Rows predicted: over HTTPS"] == "8"  # not those of requests that failed
    assert totals["Capacity: requests turned away"] == "0"
    # AND latencies and costs are numbers above 0
    p50, p90, p99 = (float(legends["Latency (ms)"][name][1]) for name in ("p50", "p90", "p99"))
    assert 0 < p50 <= p90 <= p99
    assert float(legends["USD for a million predictions"]["USD"][0]) > 0
    # AND every alarm that the template shows has a state
    states = [state for state, _ in read_tiles(page.read_text())]
    assert len(states) == 6
    assert "Not there" not in states


async def test_logs_show_each_request(local: Platform) -> None:
    result = await infra(local, "logs")
    statuses = re.findall(
        r"INFO     v1   [0-9a-f]{8}  status=(\d+) .*(?:RequestLatency|Errors)=", result.output
    )
    assert sorted(statuses) == ["200"] * 4 + ["400"] * 3 + ["500"] * 2


async def test_logs_show_the_planted_error(local: Platform) -> None:
    # WHEN only errors are asked for THEN there is one line for each that was planted
    result = await infra(local, "logs", "--errors", "--version", "1")
    assert result.code == 0
    lines = result.output.splitlines()
    assert len(lines) == 2
    for line in lines:
        assert re.match(r"\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}  ERROR    v1   [0-9a-f]{8}  \S", line)
        assert "predict" in line  # a function in which it happened
    # AND no other version has any
    assert (await infra(local, "logs", "--errors", "--version", "2")).output == ""


async def test_logs_pass_the_functions_json_through_for_other_tools(local: Platform) -> None:
    result = await infra(local, "logs", "--json", "--metrics", "--since", "1h")
    lines = result.output.splitlines()
    records = [json.loads(line) for line in lines if line.startswith("{")]
    assert sum("_aws" in record for record in records) == 9
    assert sum(line.startswith("REPORT RequestId") for line in lines) == 9
    assert sum(record.get("level") == "ERROR" for record in records) == 2


async def test_logs_follow_until_they_are_stopped(local: Platform) -> None:
    # GIVEN a follower of errors
    process = await start(local, "logs", "--follow", "--errors")
    assert process.stdout
    first, second = [await process.stdout.readline() for _ in range(2)]
    # WHEN one more request fails THEN it comes by itself
    async with httpx.AsyncClient(base_url=local.url) as client:
        tensor = {"name": "x", "datatype": "INT64", "shape": [1], "data": [9]}
        await client.post(INFER, json={"inputs": [tensor]})
    third = await asyncio.wait_for(process.stdout.readline(), timeout=120)
    assert b"ERROR" in third
    assert third not in {first, second}
    # WHEN it is interrupted THEN it ends well
    process.send_signal(signal.SIGINT)
    assert await asyncio.wait_for(process.wait(), timeout=120) == 0


async def test_mistakes_are_reported_in_one_line(local: Platform) -> None:
    missing = await infra(local, "dashboard", "--stack-name", "absent")
    assert (missing.code, missing.output) == (1, "")
    assert missing.errors.startswith("Error: there is no stack absent in eu-west-1 of account ")
    assert len(missing.errors.splitlines()) == 1
    wrong = await infra(local, "logs", "--since", "yesterday")
    assert wrong.code == 2
    text = " ".join(wrong.errors.replace("│", " ").split())  # it is folded in a box
    assert "'yesterday' is not an age such as 30s, 10m, 2h or 1d" in text
