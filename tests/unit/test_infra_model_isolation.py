"""Strangers' files are read in a process of its own: whatever ends it is a problem in words."""

import asyncio
import re
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from infra.model import isolation
from infra.model.errors import ModelError, WishError
from infra.model.graph import read_graph
from infra.model.sample_file import read_samples
from infra.model.samples import Samples
from tests import isolated_readers as readers
from tests.hostile_files import ESCAPE, MODELS, SAMPLES, Make, model, nested_functions, saved
from tests.onnx_models import endless, linear_classifier, scaled, tree_classifier

TABLE = ({"name": "x", "datatype": "FP32", "shape": [-1, 2]},)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A plain file, which the functions below do not look into."""
    path = tmp_path / "file.bin"
    path.write_bytes(b"1")
    return path


def test_arrays_of_every_kind_travel(file: Path) -> None:
    arrays: dict[str, Any] = {
        "f": np.array([[1.5, np.nan]], np.float32),
        "b": np.array([True, False]),
        "t": np.array([["a", "\u00fc\x00"], ["", "c"]], object),
        "none": np.zeros((0, 3), np.int64),
        "one": np.array(7, np.uint64),
    }
    found = readers.copy(file, Samples(TABLE, arrays, {"f": ["a", ESCAPE]}))
    assert found.columns == {"f": ["a", ESCAPE]}
    assert found.inputs == [*TABLE]
    for name, array in arrays.items():
        assert found.arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(found.arrays[name], array)


@pytest.mark.parametrize("hang", [readers.wait, readers.spin])
def test_what_hangs_is_stopped(hang: Any, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolation, "SECONDS", 3)
    with pytest.raises(ModelError, match=r"^file\.bin cannot be read: it takes longer than 3 s$"):
        hang(file)


def test_what_needs_too_much_memory_is_refused(file: Path) -> None:
    most = r"it takes more than 1024 MB of memory$"
    with pytest.raises(ModelError, match=most):
        readers.fill(file)


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (signal.SIGSEGV, "crashed (signal: Segmentation fault)"),
        (signal.SIGABRT, "crashed (signal: Aborted)"),
        (signal.SIGKILL, "crashed (signal: Killed)"),
        (signal.SIGXCPU, "crashed (signal: CPU time limit exceeded)"),
    ],
)
def test_a_crash_is_told(number: int, text: str, file: Path) -> None:
    with pytest.raises(ModelError, match=f"^file.bin cannot be read: its reader {re.escape(text)}"):
        readers.end(file, number)


def test_a_silent_end_and_a_wrong_answer_are_told(file: Path) -> None:
    with pytest.raises(ModelError, match=r"its reader ended with exit status 8$"):
        readers.leave(file)
    with pytest.raises(ModelError, match=r"its reader gave no answer$"):
        readers.lie(file)


def test_errors_travel_with_their_kind_and_all_problems(file: Path) -> None:
    with pytest.raises(WishError) as error:
        readers.fail(file, "")
    assert error.value.problems == ("no", "not file.bin")
    with pytest.raises(
        ModelError, match=r"^file\.bin cannot be read: its reader failed \(KeyError\)$"
    ):
        readers.fail(file, ESCAPE)


def test_the_process_writes_no_file_and_its_output_is_no_answer(file: Path) -> None:
    with pytest.raises(ModelError, match="File too large"):
        readers.write(file)
    assert readers.print_much(file) == "file.bin"


def test_the_process_inherits_nothing_but_pipes(file: Path) -> None:
    # GIVEN a socket that even children of the usual kind would inherit
    one, other = socket.socketpair()
    with one, other:
        one.set_inheritable(True)
        # WHEN the process looks around
        found = readers.list_descriptors(file)
    # THEN it has standard input and output, and nothing else that leads anywhere
    assert {name.partition(":")[0] for name in found} <= {"pipe", "/dev/null"}


def test_a_problem_that_quotes_much_is_cut(file: Path) -> None:
    file.with_name("s.csv").write_bytes(b"a" * 100_000 + b",b,c\n1,2,3\n")
    with pytest.raises(ModelError) as error:
        read_samples(file.with_name("s.csv"), TABLE)
    assert len(str(error.value)) < 600


@pytest.mark.parametrize("name", MODELS)
def test_no_model_hurts_its_reader(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, text = MODELS[name]
    if "longer than" in text:
        monkeypatch.setattr(isolation, "SECONDS", 3)
    problems = _read(make, tmp_path)
    assert re.search(text, "\n".join(problems)) if text else problems == ()


def _read(make: Make, folder: Path) -> tuple[str, ...]:
    try:
        return read_graph(make(folder)).problems
    except ModelError as error:
        return error.problems


@pytest.mark.parametrize("name", SAMPLES)
def test_no_samples_hurt_their_reader(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, text = SAMPLES[name]
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match=text):
        read_samples(make(tmp_path), TABLE)
    assert not (tmp_path / "pickled").exists()


def break_bytes(data: bytes, count: int) -> Iterator[bytes]:
    """Yield `count` versions of a file in which up to three bytes are others."""
    random = np.random.default_rng(11)
    for _ in range(count):
        broken = bytearray(data)
        for at in random.integers(0, len(data), random.integers(1, 4)):
            broken[at] ^= random.choice([1 << random.integers(8), random.integers(256)])
        yield bytes(broken)


def test_a_thousand_broken_models_are_read_or_refused_in_words(tmp_path: Path) -> None:
    seeds = [linear_classifier(), tree_classifier(), scaled(), endless(), nested_functions(3)]
    for i, seed in enumerate(seeds):
        for j, data in enumerate(break_bytes(seed.SerializeToString(), 200)):
            (tmp_path / f"{i}-{j}.onnx").write_bytes(data)
    first = tmp_path / "0-0.onnx"
    read, refused, unforeseen = readers.read_all(first)
    assert read > 100
    assert refused > 100
    assert unforeseen == []


def test_the_plain_model_is_read(tmp_path: Path) -> None:
    graph = read_graph(saved(model())(tmp_path))
    assert graph.problems == ()
    assert graph.inputs == ({"name": "x", "datatype": "FP32", "shape": [-1, 2]},)


async def test_a_cancelled_reader_is_ended_and_the_loop_goes_on_meanwhile(file: Path) -> None:
    # GIVEN a reader that would take its time
    reading = asyncio.create_task(isolation.unblocked(readers.wait, file))
    # WHEN the loop goes on, and then the command is to end
    while not isolation._readers:  # noqa: ASYNC110, SLF001 the set of processes has no event
        await asyncio.sleep(0.01)
    [process] = isolation._readers  # noqa: SLF001 as above
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    # THEN its process has ended by a signal
    assert await asyncio.to_thread(process.wait) == -signal.SIGKILL
