"""Rows of samples are for the gate alone: nothing that people or callers are shown repeats one."""

import csv
import json
import os
import socket
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from api.app import create_app
from api.routes import ROUTES
from infra.model.example import make_example_request
from infra.model.package import Added, AddOptions, add
from serving.model import load_model
from tests.onnx_models import CITIES, customers
from tests.sam_template import PROJECT

ROOT = Path(__file__).parents[4]
INFRA = ROOT / ".venv/bin/infra"
NOTE, AMOUNT, VISITS = "Erika Mustermann 7654", 987654.3, 8765432


def write_rows(path: Path, rows: int) -> set[str]:
    """Write customers, the first with values that nobody could miss; return what is personal."""
    amounts = np.random.default_rng(0).uniform(1000, 9000, rows).round(3)
    amounts[0] = AMOUNT
    notes = [NOTE, *(f"Erika Nr. {i}" for i in range(1, rows))]
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["customer id", "Amount", "visits", "city", "note"])
        for i, amount in enumerate(amounts):
            visits = i % 7 if i else VISITS
            writer.writerow([f"c-{i}", amount, visits, CITIES[i % 2], notes[i]])
    return {*map(str, amounts), *map(str, amounts.astype(np.float32)), str(VISITS), "Erika"}


@pytest.fixture(params=[12, 400])
def rows(request: pytest.FixtureRequest) -> int:
    """Few rows, and enough of them."""
    count: int = request.param
    return count


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "customers.onnx"
    path.write_bytes(customers().SerializeToString())
    return path


@pytest.fixture
def options(tmp_path: Path) -> AddOptions:
    return AddOptions(samples=tmp_path / "rows.csv")


async def put(source: Path, folder: Path, options: AddOptions) -> tuple[Added, dict[str, Any]]:
    added = await add(PROJECT, source, folder, options)
    return added, json.loads((folder / "model.json").read_text())


def check_secret(personal: set[str], text: str) -> None:
    assert not {one for one in personal if one in text}


async def test_nothing_that_is_shown_repeats_a_row(
    rows: int, source: Path, tmp_path: Path, options: AddOptions
) -> None:
    # GIVEN a model that was added with rows of customers
    personal = write_rows(tmp_path / "rows.csv", rows)
    added, contract = await put(source, tmp_path / "layer", options)
    # THEN the golden requests hold some, and say so
    assert NOTE in json.dumps(contract["golden"])
    assert {golden["source"] for golden in contract["golden"]} == {"samples"}
    assert any("--golden-synthetic makes up rows" in note for note in added.notes)
    # AND the rest of the contract, and what was printed, hold none
    check_secret(personal, json.dumps({**contract, "golden": []}))
    check_secret(personal, str(added))
    check_secret(personal, json.dumps(make_example_request(contract)))
    # WHEN it is served
    app = create_app(load_model(tmp_path / "layer"))
    paths = [route.path.format(name="customers", version="1") for route in ROUTES]
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://local") as client:
        answers = [await client.get(path) for path in ("/openapi.json", "/docs", *paths)]
        answers += [await client.post(path, json={}) for path in paths]
        # THEN no route repeats any
        for answer in answers:
            check_secret(personal, answer.text)
        # AND the examples are answered as they are
        described = answers[0].json()["paths"]
        for path in ("/v2/models/{name}/infer", "/invocations"):
            body = described[path]["post"]["requestBody"]["content"]["application/json"]
            answer = await client.post(path.format(name="customers"), json=body["example"])
            assert answer.status_code == 200, answer.text
        infer = "/v2/models/customers/infer"
        assert (await client.post(infer, json=make_example_request(contract))).status_code == 200


async def test_the_example_is_in_the_middle_of_the_samples(
    source: Path, tmp_path: Path, options: AddOptions
) -> None:
    write_rows(tmp_path / "rows.csv", 400)
    _, contract = await put(source, tmp_path / "layer", options)
    example = contract["example"]
    assert 4000 < example["amount"][0][0] < 6000
    assert example["visits"] == [[3]]
    assert example["city"][0][0] in CITIES
    assert example["note"] == [["a"]]


async def test_golden_requests_can_be_made_up(
    rows: int, source: Path, tmp_path: Path, options: AddOptions
) -> None:
    # GIVEN a layer whose golden requests hold rows of customers
    personal = write_rows(tmp_path / "rows.csv", rows)
    await add(PROJECT, source, tmp_path / "layer", options)
    # WHEN the model is added anew, with made-up ones, with and without samples
    for again in (options, AddOptions()):
        added, contract = await put(
            source, tmp_path / "layer", replace(again, golden_synthetic=True)
        )
        # THEN no file of the layer holds a row any more
        for path in (tmp_path / "layer").rglob("*"):
            check_secret(personal, path.read_bytes().decode(errors="replace"))
        # AND several rows of several kinds prove a release
        assert {golden["source"] for golden in contract["golden"]} == {"synthetic"}
        assert added.golden == 2
        assert len({row[0] for row in contract["golden"][1]["inputs"]["amount"]}) >= min(
            rows // 10, 4
        )
        assert not any("--golden-synthetic" in note for note in added.notes)


async def test_golden_requests_that_are_answered_anew_keep_their_source(
    source: Path, tmp_path: Path, options: AddOptions
) -> None:
    write_rows(tmp_path / "rows.csv", 12)
    await add(PROJECT, source, tmp_path / "layer", options)
    added, contract = await put(source, tmp_path / "layer", AddOptions())
    assert {golden["source"] for golden in contract["golden"]} == {"samples"}
    assert any("--golden-synthetic makes up rows" in note for note in added.notes)


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_commands_print_names_of_columns_and_no_values(
    options: list[str], source: Path, tmp_path: Path
) -> None:
    personal = write_rows(tmp_path / "rows.csv", 12)
    samples: list[str | Path] = ["--samples", tmp_path / "rows.csv", *options]
    commands: list[list[str | Path]] = [["check", source], ["add", source, "--to", tmp_path / "l"]]
    for command in commands:
        done = subprocess.run(
            [INFRA, "model", *command, *samples],
            capture_output=True,
            text=True,
            check=True,
            cwd=ROOT,
        )
        check_secret(personal, done.stdout + done.stderr)
        assert "rows.csv: column 'Amount' is read as 'amount'" in done.stdout
        assert "rows.csv: columns not read: customer id" in done.stdout


async def test_the_contract_says_nothing_about_the_machine_that_wrote_it(
    source: Path, tmp_path: Path, options: AddOptions
) -> None:
    write_rows(tmp_path / "rows.csv", 12)
    _, contract = await put(source, tmp_path / "layer", options)
    text = json.dumps(contract)
    assert not {
        part for part in (str(tmp_path), str(Path.home()), socket.gethostname()) if part in text
    }
    assert contract["provenance"]["samples"].keys() == {"file", "sha256", "rows"}
    assert contract["provenance"]["samples"]["file"] == "rows.csv"
    assert os.sep not in contract["provenance"]["source"]["file"]
