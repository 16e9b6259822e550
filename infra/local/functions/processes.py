"""Processes that, with all they start themselves, do not outlive the command that starts them."""

import asyncio
import atexit
import contextlib
import os
import signal
import sys
from pathlib import Path
from typing import Any


class Guardian:
    """A process that kills the groups it knows when this process ends, however that happens.

    It is started for the first group, and again if somebody has killed it.
    """

    PROGRAM = Path(__file__).with_name("guardian.py")

    def __init__(self) -> None:
        self._groups = set[int]()
        self._pid = 0
        self._writing = -1  # the pipe that is its standard input

    def add(self, group: int) -> None:
        """Kill a process group in the end."""
        self._groups.add(group)
        self._tell(f"+{group}\n")

    def remove(self, group: int) -> None:
        """Forget a process group, which has ended."""
        self._groups.discard(group)
        self._tell(f"-{group}\n")

    def dismiss(self) -> None:
        """Let it kill what is left, and wait for its end."""
        if self._pid:
            os.close(self._writing)
            os.waitpid(self._pid, 0)
            self._pid = 0

    def _tell(self, line: str) -> None:
        if self._pid:
            try:
                os.write(self._writing, line.encode())
            except BrokenPipeError:
                self.dismiss()
            else:
                return
        self._start()
        os.write(self._writing, "".join(f"+{group}\n" for group in self._groups).encode())

    def _start(self) -> None:
        reading, self._writing = os.pipe()
        self._pid = os.posix_spawn(
            sys.executable,
            [sys.executable, "-I", "-S", str(self.PROGRAM)],
            os.environ,
            file_actions=[
                (os.POSIX_SPAWN_DUP2, reading, 0),
                (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
                (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
            ],
            setsid=True,
        )
        os.close(reading)


_guardian = Guardian()
atexit.register(_guardian.dismiss)


async def start(*command: str | Path, **options: Any) -> asyncio.subprocess.Process:
    """Start a process in a group of its own, which gets no Ctrl-C of the terminal.

    `options` are those of asyncio.create_subprocess_exec. Raises OSError.
    """
    process = await asyncio.create_subprocess_exec(*command, start_new_session=True, **options)
    _guardian.add(process.pid)
    return process


async def end(process: asyncio.subprocess.Process) -> None:
    """Kill a process and its group, unless they have ended, and wait for it."""
    kill(process)
    await process.wait()
    _guardian.remove(process.pid)


def kill(process: asyncio.subprocess.Process) -> None:
    """Kill a process and its group, unless they have ended."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
