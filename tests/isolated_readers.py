"""Functions that read a file in a process of its own, and do there what strangers' files may do."""

import inspect
import os
import time
from pathlib import Path

from infra.model.errors import ModelError, OptionError
from infra.model.graph.graph import read_graph
from infra.model.isolation import isolated
from infra.model.samples.samples import Samples


@isolated
def copy(path: Path, samples: Samples) -> Samples:
    """Return what came in: everything that can travel does."""
    assert path.name == "file.bin"
    return samples


@isolated
def wait(path: Path) -> int:
    while True:
        time.sleep(path.stat().st_size)


@isolated
def spin(path: Path) -> int:
    while path.name:
        pass
    return 0


@isolated
def fill(path: Path) -> int:
    return len(bytes(2**33)) if path else 0


@isolated
def end(path: Path, number: int) -> int:
    os.kill(os.getpid(), number)
    return len(path.name)


@isolated
def leave(path: Path) -> int:
    os._exit(len(path.name))


@isolated
def fail(path: Path, text: str) -> int:
    if text:
        raise KeyError(text)
    raise OptionError("no", f"not {path.name}")


@isolated
def lie(path: Path) -> int:
    return str(path)  # type: ignore[return-value]


@isolated
def write(path: Path) -> int:
    return path.with_name("other").write_bytes(b"1")


@isolated
def print_much(path: Path) -> str:
    os.write(1, b"\xff" * 1000)
    return path.name


@isolated
def list_descriptors(path: Path) -> list[str]:
    assert path.name
    return [str(one.readlink()) for one in Path("/proc/self/fd").iterdir() if one.exists()]


@isolated
def read_all(path: Path) -> tuple[int, int, list[str]]:
    """Read the models in a folder: how many can be, how many are refused, and what else happens."""
    read, refused, unforeseen = 0, 0, []
    for one in path.parent.iterdir():
        try:
            inspect.unwrap(read_graph)(one)
            read += 1
        except ModelError:
            refused += 1
        except Exception as error:
            unforeseen.append(f"{one.name}: {type(error).__name__}: {error}")
    return read, refused, unforeseen
