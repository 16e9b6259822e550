"""How a command is asked to end: by a signal, or by the end of the make that started it."""

import asyncio
import os
import signal
from contextlib import suppress
from pathlib import Path

NUMBERS = signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM
LOOK_SECONDS = 0.5


def cancel_on_signals() -> None:
    """Turn the first signal to end into a cancellation, so that everything is tidied up.

    The same happens when the make that started this command is gone, or has got such a signal:
    make hands on only SIGTERM, and then waits for the command.
    """
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    # nohup has it ignored, so that the command survives the terminal.
    ignores_hangup = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    numbers = [one for one in NUMBERS if one != signal.SIGHUP or not ignores_hangup]

    def cancel() -> None:
        for number in numbers:
            loop.remove_signal_handler(number)
        if task:
            task.cancel()

    def look() -> None:
        if os.getppid() != parent or caught != _read_caught(parent):
            cancel()
        else:
            loop.call_later(LOOK_SECONDS, look)

    for number in numbers:
        loop.add_signal_handler(number, cancel)
    parent = os.getppid()
    if _read(parent, "comm") in {"make", "gmake"}:
        caught = _read_caught(parent)
        look()


def _read_caught(pid: int) -> set[signal.Signals]:
    """Return which signals to end a process catches: make stops that with the first that it gets.

    Source: make's fatal_error_signal, and the field SigCgt in proc(5).
    """
    found = [line for line in _read(pid, "status").splitlines() if line.startswith("SigCgt:")]
    bits = int(found[0].split()[1], 16) if found else 0
    return {number for number in NUMBERS if bits >> (number - 1) & 1}


def _read(pid: int, name: str) -> str:
    """Read what the kernel says about a process, nothing if that is gone."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/{name}").read_text().strip()
    return ""
