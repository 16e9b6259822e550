"""Processes that, with all they start themselves, do not outlive the command that starts them."""

import asyncio
import contextlib
import os
import signal
import sys
from pathlib import Path
from typing import Any

GUARDIAN = Path(__file__).with_name("guardian.py")

_groups = set[int]()
_guardian = -1  # where to write to it


async def start(*command: str | Path, **options: Any) -> asyncio.subprocess.Process:
    """Start a process in a group of its own, which gets no Ctrl-C of the terminal.

    `options` are those of asyncio.create_subprocess_exec. Raises OSError.
    """
    process = await asyncio.create_subprocess_exec(*command, start_new_session=True, **options)
    _groups.add(process.pid)
    _tell(f"+{process.pid}\n")
    return process


async def end(process: asyncio.subprocess.Process) -> None:
    """Kill a process and its group, unless they have ended, and wait for it."""
    kill(process)
    await process.wait()
    _groups.discard(process.pid)
    _tell(f"-{process.pid}\n")


def kill(process: asyncio.subprocess.Process) -> None:
    """Kill a process and its group, unless they have ended."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _tell(line: str) -> None:
    """Let the guardian know of a change; start one if there is none, or if it was killed."""
    global _guardian
    if _guardian >= 0:
        try:
            os.write(_guardian, line.encode())
        except BrokenPipeError:
            os.close(_guardian)
        else:
            return
    reading, _guardian = os.pipe()
    os.posix_spawn(
        sys.executable,
        [sys.executable, "-I", "-S", str(GUARDIAN)],
        os.environ,
        file_actions=[
            (os.POSIX_SPAWN_DUP2, reading, 0),
            (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
            (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
        ],
        setsid=True,
    )
    os.close(reading)
    os.write(_guardian, "".join(f"+{group}\n" for group in _groups).encode())
