"""What the simulation knows of the service: its template, and what `make bench` measured."""

import json
from pathlib import Path
from typing import Any

from infra.simulation.errors import SimulationError

# For one row, where nothing was measured.
WARM_MS, COLD_MS = 2.0, 300.0


def read_template(path: Path) -> dict[str, Any]:
    """Return memory, processor and throttle of the template; raise SimulationError."""
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


def read_bench(path: Path) -> tuple[float, float] | None:
    """Return what was measured: ms of a warm request, and what a cold start adds.

    None if `make bench` has not measured the cold start. On AWS a start takes longer than on the
    machine that measured, which has the code at hand: REPORT lines tell (Init Duration).
    """
    try:
        ours = json.loads(path.read_text("utf-8"))["cold"]["ours"]
        warm, total = (float(ours[name]["median"]) for name in ("warm", "total"))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return warm, total - warm
