"""The machine that measures: a figure without it says little."""

import os
import platform
from collections.abc import Mapping
from pathlib import Path


def describe() -> dict[str, str | float]:
    """Name the processor, how many of them this process may use, the system and Python."""
    return {
        "processor": read_processor(Path("/proc/cpuinfo").read_text()) or platform.machine(),
        "processors": len(os.sched_getaffinity(0)),
        "load": round(os.getloadavg()[0], 1),  # before; much more than 0 spoils every figure
        "system": platform.platform(),
        "python": platform.python_version(),
    }


def tell(machine: Mapping[str, str | float]) -> str:
    """Say in one line what describe() returns."""
    return f"{machine['processors']} x {machine['processor']}, Python {machine['python']}"


def read_processor(cpuinfo: str) -> str:
    """Read the processor's name, which arm64 has not."""
    names = (line.partition(":")[2] for line in cpuinfo.splitlines() if "model name" in line)
    return next(names, "").strip()
