"""A command of `infra`: it runs in the project's folder, wherever below that it was typed."""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand

from infra.project import find_root


class ProjectCommand(TyperCommand):
    """Takes the paths that a person types from that person's folder, and all others from the root.

    Raises ProjectError outside a project, but shows its help everywhere.
    """

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        start = Path.cwd()
        root = find_root(start)
        if root != start:
            for name, value in ctx.params.items():
                if isinstance(value, Path) and is_typed(ctx, name):
                    ctx.params[name] = start / value
        with contextlib.chdir(root):
            return super().invoke(ctx)


def add_command[**P, T](
    app: typer.Typer, example: str
) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Return the decorator that adds a command with an example at the end of its help."""
    return app.command(cls=ProjectCommand, epilog=f"Example: {example}")


def is_typed(context: typer.Context, parameter: str | None) -> bool:
    """Tell whether a person gave a parameter, which has its default otherwise."""
    source = context.get_parameter_source(parameter or "")
    return source is not None and source.name != "DEFAULT"
