"""A command of `infra`, and the project in which it was typed."""

import contextlib
import re
import shlex
from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand

from infra.project import Project, ProjectError
from infra.stack import DeploymentError, name_stack

# Commands that take --stack-name and --region, as messages name them.
ON_A_STACK = re.compile(r"\binfra (deploy|status|shift|promote|rollback|resync|prune|logs)\b[^`&]*")

_typed: ContextVar[typer.Context] = ContextVar("typed")


class ProjectCommand(TyperCommand):
    """Works on the project of the folder where it was typed.

    Raises ProjectError outside a project, but shows its help everywhere.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the arguments; from now on this is the command that was typed."""
        _typed.set(ctx)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run the command; the commands that an error names are of the same stack."""
        current_project()
        try:
            return super().invoke(ctx)
        except DeploymentError as error:
            raise type(error)(name_stack_in(str(error))) from error


def current_project() -> Project:
    """Return the project in which the command was typed, found once; raise ProjectError."""
    context = _typed.get()
    if context.obj is None:
        context.obj = Project.find(Path.cwd())
    project: Project = context.obj
    return project


def add_command[**P, T](
    app: typer.Typer, example: str
) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Return the decorator that adds a command with an example at the end of its help."""
    return app.command(cls=ProjectCommand, epilog=f"Example: {example}")


def is_typed(context: typer.Context, parameter: str | None) -> bool:
    """Tell whether a person gave a parameter, which has its default otherwise."""
    source = context.get_parameter_source(parameter or "")
    return source is not None and source.name != "DEFAULT"


def retype(*more: str) -> str:
    """Return the command that runs as it was typed, with more options, ready for a shell."""
    context = _typed.get()
    words = ["infra", *context.command_path.split()[1:]]
    for parameter in context.command.params:
        if is_typed(context, parameter.name):
            words += _retype(parameter, context.params[str(parameter.name)])
    return shlex.join([*words, *(one for one in more if one not in words)])


def name_stack_in(text: str) -> str:
    """Let each command that a text names work on the stack and in the Region that were typed."""
    context = _typed.get()
    given = {
        str(one.name): _retype(one, context.params[str(one.name)])
        for one in context.command.params
        if is_typed(context, one.name)
    }

    def complete(found: re.Match[str]) -> str:
        wanted = ["stack_name", "region", *(["env"] if found[1] == "deploy" else [])]
        words = [word for name in wanted for word in given.get(name, [])]
        if found[1] != "deploy" and "env" in given and "stack_name" not in given:
            with contextlib.suppress(ProjectError):  # the text may be about that
                name = name_stack(current_project(), context.params["env"])
                words = ["--stack-name", name, *words]
        if not words or words[0] in found[0]:
            return found[0]
        return f"{found[0].rstrip()} {shlex.join(words)}"

    return re.sub(r"`[^`]*`", lambda quoted: ON_A_STACK.sub(complete, quoted[0]), text)


def _retype(parameter: Any, value: Any) -> list[str]:
    if parameter.param_type_name == "argument":
        return [_write(value)]
    option = parameter.opts[0]
    if value is True:
        return [option]
    values = value if isinstance(value, list | tuple) else [value]
    return [word for one in values for word in (option, _write(one))]


def _write(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
