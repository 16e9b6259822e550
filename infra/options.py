"""The options that most commands have."""

from pathlib import Path
from typing import Annotated

import typer

from infra.command import is_typed
from infra.project import find_root


def _try_to_write(context: typer.Context, parameter: typer.CallbackParam, output: Path) -> Path:
    """Make the page's folder; refuse what cannot be written before the work begins.

    The default is in the project, what is typed in the folder where it is typed.
    """
    if not is_typed(context, parameter.name) and (root := find_root(Path.cwd())) != Path.cwd():
        output = root / output
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
