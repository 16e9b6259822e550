"""The machine that measures, without which a figure says little."""

import os
import platform
from collections.abc import Mapping
from pathlib import Path


def measure() -> dict[str, str | float]:
    """Return the processor, how many this process may use, the load, the system and Python."""
    return {
        "processor": read_processor(Path("/proc/cpuinfo").read_text()) or platform.machine(),
        "processors": len(os.sched_getaffinity(0)),
        "load": round(os.getloadavg()[0], 1),  # a load far above 0 spoils the figures
        "system": platform.platform(),
        "python": platform.python_version(),
    }


def describe(machine: Mapping[str, str | float]) -> str:
    """Return the machine in one line; `machine` is what measure() returns."""
    return f"{machine['processors']} x {machine['processor']}, Python {machine['python']}"


def read_processor(cpuinfo: str) -> str:
    """Return the processor's name, or "" on arm64, which has none."""
    names = (line.partition(":")[2] for line in cpuinfo.splitlines() if "model name" in line)
    return next(names, "").strip()
