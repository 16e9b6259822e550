"""The doctor and the other commands that take a model survive what strangers hand to them."""

import errno
import json
import os
import pty
import re
import shutil
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from infra.model.contract import describe
from infra.model.doctor import check
from infra.model.errors import ModelError
from infra.model.graph.graph import read_graph
from infra.model.layer import write
from infra.model.simplify import simplify
from infra.model.trial import trial
from infra.model.trial.trial import open_bench
from tests.hostile_files import MODELS, SAMPLES, folded, model, saved
from tests.onnx_models import deep
from tests.sam_template import PROJECT
from tests.terminals import ESCAPE, RICH

ROOT = Path(__file__).parents[4]
INFRA = ROOT / ".venv/bin/infra"
READABLE = [name for name, (_, text) in MODELS.items() if not text and "100,000" not in name]


def run(*arguments: str | Path, timeout: float = 120) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [INFRA, *arguments], capture_output=True, text=True, check=False, cwd=ROOT, timeout=timeout
    )


@pytest.mark.parametrize("name", READABLE)
async def test_what_can_be_read_is_run_without_harm(name: str, tmp_path: Path) -> None:
    make, _ = MODELS[name]
    diagnosis = await check(PROJECT, make(tmp_path), None, [])
    assert diagnosis.servable is not bool(diagnosis.problems)
    assert all("Traceback" not in problem for problem in diagnosis.problems)


async def test_a_row_that_is_too_large_to_be_made_up_is_no_problem(tmp_path: Path) -> None:
    # GIVEN a model of five sides of one length: with 64 a row has a billion numbers
    names = ["row", *["side"] * 5]
    made = model()
    for value in (*made.graph.input, *made.graph.output):
        del value.type.tensor_type.shape.dim[:]
        for name in names:
            value.type.tensor_type.shape.dim.add(dim_param=name)
    # WHEN it is checked THEN a small one is made up
    diagnosis = await check(PROJECT, saved(made)(tmp_path), None, [])
    assert diagnosis.servable
    assert diagnosis.measured
    assert diagnosis.measured.row_ms


@pytest.mark.parametrize(
    "name", ["an offset that is no number", "a pipe", "a name that is not UTF-8"]
)
@pytest.mark.parametrize(
    "command", [("model", "check"), ("model", "add"), ("run", "--port", "0", "--model")]
)
def test_every_command_refuses_a_model_in_words(
    name: str, command: Sequence[str], tmp_path: Path
) -> None:
    make, text = MODELS[name]
    source = make(tmp_path)
    place = ["--to", str(tmp_path / "layer")] if "add" in command else []
    refused = run(*command, source, *place)
    assert refused.returncode == 1
    assert re.search(text, refused.stdout + refused.stderr, re.MULTILINE)
    assert "Traceback" not in refused.stderr
    assert not (tmp_path / "layer").exists()


@pytest.mark.parametrize("command", [("model", "check"), ("model", "add")])
def test_json_stays_json_whatever_the_samples_do(command: Sequence[str], tmp_path: Path) -> None:
    make, text = SAMPLES["an array of 2 ** 60"]
    source = saved(model())(tmp_path)
    place = ["--to", str(tmp_path / "layer")] if "add" in command else []
    refused = run(*command, source, *place, "--samples", make(tmp_path), "--json")
    assert refused.returncode == 1
    assert refused.stderr == ""
    [problem] = json.loads(refused.stdout)["problems"]
    assert re.search(text, problem)


async def test_a_model_may_not_use_memory_that_the_machine_cannot_spare(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # GIVEN a machine with little memory, and a model that takes gigabytes as it is loaded
    monkeypatch.setattr(trial, "spare_memory_mb", lambda: 300)
    source = saved(folded("ConstantOfShape", [2**30]))(tmp_path)
    # WHEN it is checked THEN it is stopped
    diagnosis = await check(PROJECT, source, None, [])
    [problem] = diagnosis.problems
    assert re.fullmatch(r"(loading|answering) takes more than 300 MB of memory", problem)


async def test_simplifying_a_graph_may_not_take_forever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = await read_graph(saved(deep())(tmp_path))
    contract = describe(graph)
    contract["provenance"]["onnxruntime"] = "1"
    async with open_bench(PROJECT) as bench:
        layer = bench.directory / "layer"
        write(graph, contract, layer / "model")
        tried = await bench.load(layer, contract["name"])
        monkeypatch.setattr("infra.model.simplify.SIMPLIFY_SECONDS", 0.01)
        chosen, note = await simplify(bench, tried, layer, contract)
    assert chosen == layer
    assert note == "graph as exported: onnxruntime takes more than 0.01 s to simplify it"


async def test_a_full_disk_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    graph = await read_graph(saved(model())(tmp_path))
    monkeypatch.setattr(shutil, "copyfile", fail)
    with pytest.raises(ModelError, match=r"^m\.onnx cannot be copied: No space left on device$"):
        write(graph, describe(graph), tmp_path / "layer")


@pytest.mark.parametrize("broken", [True, False])
def test_names_reach_no_terminal_unescaped(broken: bool, tmp_path: Path) -> None:
    # GIVEN a file whose name, producer, dimensions, operators and columns steer terminals
    made = model()
    made.producer_name = made.doc_string = ESCAPE
    made.graph.input[0].type.tensor_type.shape.dim[0].dim_param = ESCAPE
    made.graph.output[0].name = made.graph.node[0].output[0] = "y\x9b31m\u202e"
    if broken:
        made.graph.node.add(op_type=ESCAPE, input=["x"], output=["z"])
    (tmp_path / "s.csv").write_text(f"{ESCAPE},b\n1,2\n")
    source = tmp_path / f"m{ESCAPE}\n.onnx"
    source.write_bytes(made.SerializeToString())
    # WHEN it is checked on a terminal
    shown = watch("model", "check", str(source), "--samples", str(tmp_path / "s.csv"))
    # THEN the terminal gets colours and text
    text = RICH.sub("", shown.replace("\r\n", "\n"))
    assert {char for char in text if not char.isprintable()} <= {"\n"}
    assert r"y\u009b31m\u202e" in text
    assert ("Problem" in text) is broken


def watch(*arguments: str) -> str:
    """Return what a command prints on a terminal of its own."""
    terminal, end = pty.openpty()
    command = subprocess.Popen(
        [INFRA, *arguments], stdout=end, stderr=end, cwd=ROOT, env=os.environ | {"COLUMNS": "400"}
    )
    os.close(end)
    data = b""
    with command, os.fdopen(terminal, "rb", buffering=0) as file, suppress(OSError):
        while chunk := file.read(1 << 16):  # OSError: the command has ended
            data += chunk
    return data.decode()
