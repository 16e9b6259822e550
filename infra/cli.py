"""The `infra` command: parsing, printing and exit codes only."""

import asyncio
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

app = typer.Typer(
    help="Operate Serverless ONNX.", no_args_is_help=True, pretty_exceptions_enable=False
)


@app.callback()
def infra() -> None:
    """Operate Serverless ONNX."""


@app.command()
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
) -> None:
    """Build the stack and serve it on this machine."""
    from infra.local.run import run as run_stack

    asyncio.run(run_stack(port, aws_port, model, concurrency, Console()))


@app.command()
def prepare() -> None:
    """Make the managed runtime's stand-in, which the local run and its tests use."""
    from infra.local import managed_runtime

    asyncio.run(managed_runtime.prepare())


@app.command()
def size() -> None:
    """Show how large the build is unzipped, and refuse what Lambda would refuse."""
    from infra.artifacts import BUDGET, MB, check, read_builds

    for build in read_builds(Path(".aws-sam/build")):
        table = Table("Part", "MB", title=f"{build.function} ({build.architecture})")
        table.columns[1].justify = "right"
        for artifact in build.artifacts:
            table.add_row(artifact.name, f"{artifact.size / MB:.1f}", style="bold")
            for part in artifact.parts:
                table.add_row(f"  {part.name}", f"{part.size / MB:.1f}")
        table.add_row("Total", f"{build.size / MB:.1f} of {BUDGET // MB}", style="bold")
        Console().print(table)
        check(build)


def main() -> None:
    """Run the command; an error that a person can mend is one line and exit code 1."""
    from infra.artifacts import ArtifactError
    from infra.local.errors import LocalRunError

    try:
        app()
    except (ArtifactError, LocalRunError) as error:
        sys.exit(_one_line(error))


def _one_line(error: Exception) -> str:
    return f"Error: {' '.join(str(error).split())}"
