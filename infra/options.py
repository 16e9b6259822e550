"""The options that most commands have."""

from pathlib import Path
from typing import Annotated

import typer

from infra.command import current_project, is_typed
from infra.project import Project

IN_PROJECT = Project(Path())  # for default paths: `in_project` puts them into the project


def in_project(context: typer.Context, parameter: typer.CallbackParam, path: Path) -> Path:
    """Take a default path from the project, and one that was typed from where it was typed."""
    return path if is_typed(context, parameter.name) else current_project().root / path


def _try_to_write(context: typer.Context, parameter: typer.CallbackParam, output: Path) -> Path:
    """Make the page's folder; refuse what cannot be written before the work begins."""
    output = in_project(context, parameter, output)
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        is_new = not output.exists()
        with output.open("ab"):
            pass
        if is_new:
            output.unlink()
    except OSError as error:
        raise typer.BadParameter(f"{output} cannot be written: {error.strerror}") from error
    return output


StackName = Annotated[
    str | None, typer.Option(help="The stack; by default the local run's, or samconfig.toml's.")
]
Region = Annotated[str | None, typer.Option(help="AWS Region; by default the environment's.")]
Page = Annotated[Path, typer.Option(callback=_try_to_write, help="The page to write.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do it without asking.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON, and nothing else.")]
