"""`infra run` and what it needs: parsing only."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from infra.command import current_project
from infra.local.metrics import DELAY_SECONDS
from infra.terminal import Terminal


def run(
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port of 127.0.0.1; 0: any free one.")
    ] = 8000,
    aws_port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port of AWS's own APIs; 0: any free one.")
    ] = 0,
    model: Annotated[
        Path | None, typer.Option(help="Serve this ONNX file instead of the built model.")
    ] = None,
    concurrency: Annotated[
        int, typer.Option(min=1, help="Executions at a time; more are throttled.")
    ] = 10,
    metric_delay: Annotated[
        float,
        typer.Option(
            min=0, help="Delay in seconds before metrics become visible (60 to 120 on AWS)."
        ),
    ] = DELAY_SECONDS,
) -> None:
    """Build the stack and serve it on this machine."""
    from infra.run.command import RunOptions
    from infra.run.command import run as run_stack

    options = RunOptions(port, aws_port, model, concurrency, metric_delay)
    asyncio.run(run_stack(current_project(), options, Terminal()))


def prepare() -> None:
    """Make the managed runtime's stand-in, which the local run and its tests use."""
    from infra.local.functions import managed_runtime

    asyncio.run(managed_runtime.prepare(current_project().managed_runtime))
