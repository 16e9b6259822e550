"""The question before anything changes."""

import sys

import typer

from infra.command import retype
from infra.release.errors import ReleaseError


def confirm(text: str, *, yes: bool) -> None:
    """Say what will happen and ask for it; end with exit code 1 if the answer is no.

    Raises ReleaseError where nobody could answer. Standard output is left to the result.
    """
    typer.echo(text, err=True)
    if yes:
        return
    if not has_terminal():
        again = retype("--yes")
        raise ReleaseError(f"there is no terminal to confirm on: `{again}` does it without asking")
    typer.echo("Go on? [y/N]: ", nl=False, err=True)  # click's own prompt puts a blank on stdout
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        typer.echo("Nothing was changed.", err=True)
        raise typer.Exit(1)


def has_terminal() -> bool:
    """Tell whether a person could answer."""
    return sys.stdin.isatty()
