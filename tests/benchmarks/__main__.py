"""Run the benchmarks on what `sam build` made; print one table and write build/bench.json."""

import asyncio
import json
import os
import subprocess
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from infra.local import managed_runtime

BUILD = Path(".aws-sam/build").resolve()
RESULT = Path("build/bench.json")


def main() -> None:
    warm = measure_warm(asyncio.run(managed_runtime.prepare()))
    RESULT.write_text(json.dumps({"warm": warm}, indent=2) + "\n")
    Console().print(tabulate(warm))


def measure_warm(python: Path) -> dict[str, dict[str, float]]:
    """Time requests in a process that sees the built function and layers and nothing else."""
    process = subprocess.run(
        [python, "-P", Path(__file__).with_name("warm.py")],
        env={
            "PYTHONPATH": f"{BUILD}/InferenceFunction:{BUILD}/RuntimeLayer/python",
            "MODEL_DIR": f"{BUILD}/ModelLayer/model",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1769",
            "AWS_REGION": "eu-west-1",
            "PATH": os.defpath,
        },
        stdout=subprocess.PIPE,
        check=True,
    )
    result: dict[str, dict[str, float]] = json.loads(process.stdout)
    return result


def tabulate(warm: dict[str, dict[str, Any]]) -> Table:
    table = Table("Warm request", "handler", "session.run", "ratio", "telemetry")
    for column in table.columns[1:]:
        column.justify = "right"
    for case, times in warm.items():
        handler, floor = times["handler"], times["session.run"]
        telemetry = handler - times["handler without telemetry"]
        table.add_row(
            case,
            f"{handler:,.0f} \u00b5s",
            f"{floor:,.0f} \u00b5s",
            f"{handler / floor:.2f} x",
            f"{telemetry:,.0f} \u00b5s ({telemetry / handler:.0%})",
        )
    return table


if __name__ == "__main__":
    main()
