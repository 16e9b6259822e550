"""What the simulation knows about the service: the template's settings, and how fast it is."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from infra.prices import Processor
from infra.simulation.errors import SimulationError

# For one row, where nothing was measured.
WARM_MS, COLD_MS = 2.0, 300.0
ASSUMED = "assumed; `make bench` in a checkout measures it"


@dataclass(frozen=True)
class ServiceProfile:
    """What is deployed, how fast it is, and the account's limits."""

    warm_ms: float
    cold_ms: float  # that a cold start adds to its first request
    memory_mb: int = 1769
    processor: Processor = "x86_64"
    throttle_rate: float = 100
    throttle_burst: float = 200
    concurrency: int = 1000
    idle_seconds: float = 300


@dataclass(frozen=True)
class Times:
    """Milliseconds of a warm request, and those that a cold start adds; each with its source."""

    warm_ms: float
    cold_ms: float
    warm_source: str
    cold_source: str

    def describe(self) -> str:
        """Return both times in words, each with its source."""
        return (
            f"warm {self.warm_ms:.1f} ms ({self.warm_source}), "
            f"cold start {self.cold_ms:,.0f} ms more ({self.cold_source})"
        )


def choose_times(warm_ms: float | None, cold_ms: float | None, bench: Path) -> Times:
    """Return the times given as options, else those that `make bench` wrote to `bench`."""
    times = read_bench(bench) or Times(WARM_MS, COLD_MS, ASSUMED, ASSUMED)
    return Times(
        warm_ms or times.warm_ms,
        cold_ms or times.cold_ms,
        "--warm-ms" if warm_ms else times.warm_source,
        "--cold-ms" if cold_ms else times.cold_source,
    )


def read_bench(path: Path) -> Times | None:
    """Return what `make bench` measured, or None if it has not measured the cold start.

    A cold start on AWS takes longer than on the machine that measured, which has the code on its
    disk. Lambda's REPORT lines have the real one (Init Duration).
    """
    try:
        ours = json.loads(path.read_text("utf-8"))["cold"]["ours"]
        warm, total = (float(ours[name]["median"]) for name in ("warm", "total"))
        measured = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    source = f"measured by `make bench` on {measured:%Y-%m-%d}"
    return Times(warm, total - warm, source, source)


def read_template(path: Path) -> dict[str, Any]:
    """Return the fields of a ServiceProfile that the template sets: memory, processor, throttle.

    Raises SimulationError if the file is missing or is not the template.
    """
    from samtranslator.yaml_helper import yaml_parse

    try:
        template = yaml_parse(path.read_text("utf-8"))
        parameters, function = template["Parameters"], template["Globals"]["Function"]
        return {
            "memory_mb": template["Resources"]["InferenceFunction"]["Properties"]["MemorySize"],
            "processor": function["Architectures"][0],
            "throttle_rate": parameters["ThrottleRate"]["Default"],
            "throttle_burst": parameters["ThrottleBurst"]["Default"],
        }
    except (OSError, KeyError, TypeError) as error:
        raise SimulationError(f"{path} is missing, or not the template: {error}") from error
