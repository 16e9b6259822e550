"""Reads untrusted files in a process of its own, with limits of time and memory.

A model or a sample file may hang its reader, fill the memory or crash native code. Here that ends a
process that only reads the file, and the caller gets a ModelError.

Its answer is decoded as the type that the function returns, and never unpickled: code that takes
over the process has the user's rights, but cannot reach into the caller.
"""

import asyncio
import functools
import importlib
import inspect
import math
import os
import resource
import signal
import stat
import sys
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Concatenate, get_type_hints

import msgspec
import numpy as np

from infra.local.functions.processes import end, start
from infra.model.errors import AnswerError, ModelError, OptionError, SlowError

MB = 2**20
# Measured for each MB: CSV with one digit a cell 1.1 s and 70 MB, nodes of an ONNX file 0.4 s and
# 60 MB, weights 0.01 s and 5 MB. Python and onnx themselves take 0.3 s and 110 MB.
SECONDS, SECONDS_PER_MB, MOST_SECONDS = 20, 6, 600
MEMORY_MB, MEMORY_PER_MB = 1024, 100
MEMORY_SHARE = 0.75  # of the memory that the machine has left
MEMINFO = Path("/proc/meminfo")
FAILED = 3  # exit status: the answer is a Failure
KINDS = {kind.__name__: kind for kind in (ModelError, OptionError, AnswerError, SlowError)}


class Failure(msgspec.Struct):
    """A ModelError on its way to the caller; `kind` is the name of its class."""

    kind: str
    problems: list[str]


@dataclass(frozen=True)
class Limits:
    """What a process may use before it is ended."""

    seconds: float
    memory_mb: int
    file_mb: int = 0  # of files that it writes

    def impose(self, pid: int) -> None:
        """Limit a process that has just started.

        The caller watches the clock. The limit of processor time is for a process that outlives it.
        """
        for kind, most in (
            (resource.RLIMIT_AS, self.memory_mb * MB),
            (resource.RLIMIT_CPU, math.ceil(self.seconds) + 1),
            (resource.RLIMIT_FSIZE, self.file_mb * MB),
            (resource.RLIMIT_CORE, 0),
        ):
            hard = resource.prlimit(pid, kind)[1]  # which nobody may raise
            least = most if hard == resource.RLIM_INFINITY else min(most, hard)
            resource.prlimit(pid, kind, (least, least))


def isolated[**P, R](
    function: Callable[Concatenate[Path, P], R],
) -> Callable[Concatenate[Path, P], Coroutine[Any, Any, R]]:
    """Run a function, which reads the file that its first argument names, in its own process.

    The function must be at the top of a module; its arguments and result must be plain data,
    dataclasses, paths or arrays. Calls raise ModelError if the function raises, or if anything else
    ends the process. The process ends when the call is cancelled or the caller ends.
    """
    signature = inspect.signature(function)

    @functools.wraps(function)
    async def isolate(path: Path, /, *args: P.args, **kwargs: P.kwargs) -> R:
        arguments = signature.bind(path, *args, **kwargs).arguments
        status, answer = await _ask(function, arguments, path.name, choose_limits(path))
        try:
            if status == FAILED:
                failure: Failure = _decode(answer, Failure)
                raise KINDS.get(failure.kind, ModelError)(*failure.problems)
            result: R = _decode(answer, get_type_hints(function)["return"])
        except msgspec.MsgspecError as error:
            raise ModelError(f"{path.name} cannot be read: its reader gave no answer") from error
        return result

    return isolate


def choose_limits(path: Path) -> Limits:
    """Return the limits for reading a file; raise ModelError if it is not a plain file."""
    try:
        found = path.stat()
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}") from error
    if not stat.S_ISREG(found.st_mode):  # a pipe or a device may never end
        raise ModelError(f"{path} cannot be read: it is not a plain file")
    size = found.st_size / MB
    memory_mb = min(MEMORY_MB + MEMORY_PER_MB * size, spare_memory_mb())
    seconds = min(SECONDS + SECONDS_PER_MB * size, MOST_SECONDS)
    return Limits(seconds, int(memory_mb))


def spare_memory_mb() -> int:
    """Return how much memory a process may use without harm to the machine."""
    [available] = [
        int(line.split()[1])  # kB
        for line in MEMINFO.read_text().splitlines()
        if line.startswith("MemAvailable:")
    ]
    return int(available / 1024 * MEMORY_SHARE)


async def _ask(
    function: Callable[..., Any], arguments: Mapping[str, Any], name: str, limits: Limits
) -> tuple[int, bytes]:
    """Run the function; return 0 and its encoded result, or FAILED and an encoded Failure."""
    # -B: write no .pyc files; -P: do not import from the folder that the user is in.
    # It inherits no file descriptors but the pipes.
    process = await start(
        *(sys.executable, "-B", "-P", "-m", __name__, function.__module__, function.__name__),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},  # each thread reserves memory
    )
    try:
        limits.impose(process.pid)
        async with asyncio.timeout(limits.seconds):
            answer, _ = await process.communicate(_encode(arguments))
            status = await process.wait()
    except TimeoutError as error:
        raise ModelError(
            f"{name} cannot be read: it takes longer than {limits.seconds:.0f} s"
        ) from error
    finally:
        await end(process)
    if status not in {0, FAILED}:
        raise ModelError(f"{name} cannot be read: {_describe_end(status)}")
    return status, answer


def _describe_end(status: int) -> str:
    if status > 0:
        return f"its reader ended with exit status {status}"
    return f"its reader crashed (signal: {signal.strsignal(-status)})"


def _encode(value: Any) -> bytes:
    return msgspec.msgpack.encode(value, enc_hook=_flatten)


def _decode(data: bytes, kind: Any) -> Any:
    return msgspec.msgpack.decode(data, type=kind, dec_hook=_restore)


def _flatten(value: Any) -> Any:
    match value:
        case Path():
            return os.fsencode(value)
        case np.ndarray():
            data = list(value.flat) if value.dtype.hasobject else value.tobytes()
            return value.dtype.name, value.shape, data
        case str():  # a subclass
            return str(value)
    raise TypeError(f"{type(value)} cannot be sent between processes")


def _restore(kind: Any, value: Any) -> Any:
    if kind is Path:
        return Path(os.fsdecode(value))
    name, shape, data = value
    dtype = np.dtype(name)
    flat = np.array(data, dtype) if dtype.hasobject else np.frombuffer(data, dtype)
    return flat.reshape(shape)


def _answer(module: str, name: str, data: bytes) -> tuple[int, bytes]:
    """Run a function in this process; return the exit status, and its encoded result or Failure."""
    function = inspect.unwrap(getattr(importlib.import_module(module), name))
    hints = get_type_hints(function)
    arguments = msgspec.msgpack.decode(data, type=dict[str, msgspec.Raw])
    values = {key: _decode(value, hints[key]) for key, value in arguments.items()}
    file = next(iter(values.values())).name
    try:
        return 0, _encode(function(**values))
    except ModelError as error:
        failure = Failure(type(error).__name__, list(error.problems))
    except MemoryError:
        most = resource.getrlimit(resource.RLIMIT_AS)[0] // MB
        failure = _fail(f"{file} cannot be read: it takes more than {most} MB of memory")
    except Exception as error:  # any error that a file can provoke in the libraries that read it
        # Not its message, which may quote a cell of the samples.
        reason = (isinstance(error, OSError) and error.strerror) or type(error).__name__
        failure = _fail(f"{file} cannot be read: its reader failed ({reason})")
    return FAILED, _encode(failure)


def _fail(problem: str) -> Failure:
    return Failure(ModelError.__name__, list(ModelError(problem).problems))


def _main() -> None:
    """Answer on standard output, which native code can then no longer print to."""
    with os.fdopen(os.dup(1), "wb") as output, Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        module, name = sys.argv[1:]
        status, data = _answer(module, name, sys.stdin.buffer.read())
        output.write(data)
    sys.exit(status)


if __name__ == "__main__":
    _main()
