"""Strangers' files are read in a process of its own: whatever ends it is a problem in words."""

import re
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from infra.model import isolation
from infra.model.errors import ModelError, OptionError
from infra.model.graph.graph import read_graph
from infra.model.samples.file import read_samples
from infra.model.samples.samples import Samples
from tests import isolated_readers as readers
from tests.hostile_files import MODELS, SAMPLES, Make, model, nested_functions, saved
from tests.onnx_models import endless, linear_classifier, scaled, tree_classifier
from tests.terminals import ESCAPE

TABLE = ({"name": "x", "datatype": "FP32", "shape": [-1, 2]},)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A plain file, which the functions below do not look into."""
    path = tmp_path / "file.bin"
    path.write_bytes(b"1")
    return path


async def test_arrays_of_every_kind_travel(file: Path) -> None:
    arrays: dict[str, Any] = {
        "f": np.array([[1.5, np.nan]], np.float32),
        "b": np.array([True, False]),
        "t": np.array([["a", "\u00fc\x00"], ["", "c"]], object),
        "none": np.zeros((0, 3), np.int64),
        "one": np.array(7, np.uint64),
    }
    found = await readers.copy(file, Samples(TABLE, arrays, {"f": ["a", ESCAPE]}))
    assert found.columns == {"f": ["a", ESCAPE]}
    assert found.inputs == [*TABLE]
    for name, array in arrays.items():
        assert found.arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(found.arrays[name], array)


@pytest.mark.parametrize("hang", [readers.wait, readers.spin])
async def test_what_hangs_is_stopped(
    hang: Any, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(isolation, "SECONDS", 3)
    with pytest.raises(ModelError, match=r"^file\.bin cannot be read: it takes longer than 3 s$"):
        await hang(file)


async def test_what_needs_too_much_memory_is_refused(file: Path) -> None:
    most = r"it takes more than 1024 MB of memory$"
    with pytest.raises(ModelError, match=most):
        await readers.fill(file)


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (signal.SIGSEGV, "crashed (signal: Segmentation fault)"),
        (signal.SIGABRT, "crashed (signal: Aborted)"),
        (signal.SIGKILL, "crashed (signal: Killed)"),
        (signal.SIGXCPU, "crashed (signal: CPU time limit exceeded)"),
    ],
)
async def test_a_crash_is_reported(number: int, text: str, file: Path) -> None:
    with pytest.raises(ModelError, match=f"^file.bin cannot be read: its reader {re.escape(text)}"):
        await readers.end(file, number)


async def test_a_silent_end_and_a_wrong_answer_are_reported(file: Path) -> None:
    with pytest.raises(ModelError, match=r"its reader ended with exit status 8$"):
        await readers.leave(file)
    with pytest.raises(ModelError, match=r"its reader gave no answer$"):
        await readers.lie(file)


async def test_errors_travel_with_their_kind_and_all_problems(file: Path) -> None:
    with pytest.raises(OptionError) as error:
        await readers.fail(file, "")
    assert error.value.problems == ("no", "not file.bin")
    with pytest.raises(
        ModelError, match=r"^file\.bin cannot be read: its reader failed \(KeyError\)$"
    ):
        await readers.fail(file, ESCAPE)


async def test_the_process_writes_no_file_and_its_output_is_no_answer(file: Path) -> None:
    with pytest.raises(ModelError, match="File too large"):
        await readers.write(file)
    assert await readers.print_much(file) == "file.bin"


async def test_the_process_inherits_nothing_but_pipes(file: Path) -> None:
    # GIVEN a socket that even children of the usual kind would inherit
    one, other = socket.socketpair()
    with one, other:
        one.set_inheritable(True)
        # WHEN the process looks around
        found = await readers.list_descriptors(file)
    # THEN it has standard input and output, and nothing else that leads anywhere
    assert {name.partition(":")[0] for name in found} <= {"pipe", "/dev/null"}


async def test_a_problem_that_quotes_much_is_cut(file: Path) -> None:
    file.with_name("s.csv").write_bytes(b"a" * 100_000 + b",b,c\n1,2,3\n")
    with pytest.raises(ModelError) as error:
        await read_samples(file.with_name("s.csv"), TABLE)
    assert len(str(error.value)) < 600


@pytest.mark.parametrize("name", MODELS)
async def test_no_model_hurts_its_reader(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, text = MODELS[name]
    if "longer than" in text:
        monkeypatch.setattr(isolation, "SECONDS", 3)
    problems = await _read(make, tmp_path)
    assert re.search(text, "\n".join(problems)) if text else problems == ()


async def _read(make: Make, folder: Path) -> tuple[str, ...]:
    try:
        return (await read_graph(make(folder))).problems
    except ModelError as error:
        return error.problems


@pytest.mark.parametrize("name", SAMPLES)
async def test_no_samples_hurt_their_reader(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, text = SAMPLES[name]
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match=text):
        await read_samples(make(tmp_path), TABLE)
    assert not (tmp_path / "pickled").exists()


def break_bytes(data: bytes, count: int) -> Iterator[bytes]:
    """Yield `count` versions of a file in which up to three bytes are others."""
    random = np.random.default_rng(11)
    for _ in range(count):
        broken = bytearray(data)
        for at in random.integers(0, len(data), random.integers(1, 4)):
            broken[at] ^= random.choice([1 << random.integers(8), random.integers(256)])
        yield bytes(broken)


async def test_a_thousand_broken_models_are_read_or_refused_in_words(tmp_path: Path) -> None:
    seeds = [linear_classifier(), tree_classifier(), scaled(), endless(), nested_functions(3)]
    for i, seed in enumerate(seeds):
        for j, data in enumerate(break_bytes(seed.SerializeToString(), 200)):
            (tmp_path / f"{i}-{j}.onnx").write_bytes(data)
    first = tmp_path / "0-0.onnx"
    read, refused, unforeseen = await readers.read_all(first)
    assert read > 100
    assert refused > 100
    assert unforeseen == []


async def test_the_plain_model_is_read(tmp_path: Path) -> None:
    graph = await read_graph(saved(model())(tmp_path))
    assert graph.problems == ()
    assert graph.inputs == ({"name": "x", "datatype": "FP32", "shape": [-1, 2]},)
