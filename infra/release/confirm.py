"""The question before anything changes."""

import sys

import typer

from infra.command import retype
from infra.release.errors import ReleaseError
from infra.terminal import say


def confirm(text: str, *, yes: bool) -> None:
    """Say what will happen and ask for it; end with exit code 1 if the answer is no.

    Raises ReleaseError where nobody could answer. Standard output is left to the result.
    """
    say(text, error=True)
    if yes:
        return
    if not has_terminal():
        again = retype("--yes")
        raise ReleaseError(f"there is no terminal to confirm on: `{again}` does it without asking")
    sys.stderr.write("Go on? [y/N]: ")  # click's own prompt puts a blank on stdout
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        say("Nothing was changed.", error=True)
        raise typer.Exit(1)


def has_terminal() -> bool:
    """Tell whether a person could answer."""
    return sys.stdin.isatty()
