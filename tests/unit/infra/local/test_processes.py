"""The guardian: what it kills when its command ends, and what if somebody kills it first."""

import os
import select
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.local.functions.processes import Guardian


@pytest.fixture
def sleeper() -> Iterator["subprocess.Popen[bytes]"]:
    """A process in a group of its own."""
    with subprocess.Popen(["sleep", "600"], start_new_session=True) as process:  # noqa: S607 coreutils'
        yield process
        process.kill()


def has_ended(pid: int, seconds: float) -> bool:
    descriptor = os.pidfd_open(pid)
    ready, _, _ = select.select([descriptor], [], [], seconds)
    os.close(descriptor)
    return bool(ready)


def read_ignored(pid: int) -> int:
    """Return the signals that a process ignores, as bits."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("SigIgn:")[2].split()[0], 16)


def test_kills_what_is_left_when_it_is_dismissed(sleeper: "subprocess.Popen[bytes]") -> None:
    guardian = Guardian()
    guardian.add(sleeper.pid)
    guardian.dismiss()
    assert has_ended(sleeper.pid, 10)


def test_leaves_what_has_ended_alone(sleeper: "subprocess.Popen[bytes]") -> None:
    guardian = Guardian()
    guardian.add(sleeper.pid)
    guardian.remove(sleeper.pid)
    guardian.dismiss()
    assert not has_ended(sleeper.pid, 0.1)


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM])
def test_ends_after_its_command(sleeper: "subprocess.Popen[bytes]", number: signal.Signals) -> None:
    guardian = Guardian()
    guardian.add(sleeper.pid)
    while not read_ignored(guardian._pid) >> (number - 1) & 1:  # noqa: SLF001 nobody tells
        time.sleep(0.01)
    os.kill(guardian._pid, number)  # noqa: SLF001 nobody tells
    assert not has_ended(sleeper.pid, 0.1)
    guardian.dismiss()
    assert has_ended(sleeper.pid, 10)


def test_is_started_again_if_it_was_killed(sleeper: "subprocess.Popen[bytes]") -> None:
    guardian = Guardian()
    guardian.add(sleeper.pid)
    os.kill(guardian._pid, signal.SIGKILL)  # noqa: SLF001 nobody tells
    assert has_ended(guardian._pid, 10)  # noqa: SLF001 nobody tells
    with subprocess.Popen(["sleep", "600"], start_new_session=True) as other:  # noqa: S607 coreutils'
        guardian.add(other.pid)
        guardian.dismiss()
        assert has_ended(other.pid, 10)
    assert has_ended(sleeper.pid, 10)
