"""Every command of `infra`, found by walking its tree."""

from collections.abc import Iterator
from typing import Any

import typer

from infra import cli


def walk(group: Any, *names: str) -> Iterator[tuple[str, Any]]:
    """Yield every command by its full name."""
    for name, one in group.commands.items():
        if hasattr(one, "commands"):
            yield from walk(one, *names, name)
        else:
            yield " ".join((*names, name)), one


COMMANDS = dict(walk(typer.main.get_command(cli.app)))
