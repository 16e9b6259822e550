"""A command of `infra`: the project and the stack that it works on, and what it asks and says."""

import contextlib
import os
import re
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand

from infra.account.connect import connect
from infra.account.errors import explained
from infra.errors import OperatorError
from infra.project import Project
from infra.stack import DeployedStack, find_stack
from infra.terminal import say

# Commands that take --stack-name and --region, as messages name them.
ON_A_STACK = re.compile(r"\binfra (deploy|status|shift|promote|rollback|resync|prune|logs)\b[^`&]*")
PROGRAM = re.compile(r"(?<![\w./-])(sam build\b|(infra|sam)(?= ))")  # both are in one environment

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
        """Run the command; the commands that an error names can be pasted."""
        current_project()
        try:
            return super().invoke(ctx)
        except OperatorError as error:
            error.args = tuple(complete_commands(str(one)) for one in error.args)
            raise


def add_command[**P, T](
    app: typer.Typer, example: str
) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Return the decorator that adds a command with an example at the end of its help."""
    return app.command(cls=ProjectCommand, epilog=f"Example: {example}")


def current_project() -> Project:
    """Return the project in which the command was typed, found once; raise ProjectError."""
    context = _typed.get()
    if context.obj is None:
        context.obj = Project.find(Path.cwd())
    project: Project = context.obj
    return project


@contextlib.contextmanager
def open_stack(name: str | None, region: str | None) -> Iterator[DeployedStack]:
    """Find the stack that was typed, by default the local run's or samconfig.toml's.

    What AWS refuses meanwhile becomes an AccountError. Raises StackError and ProjectError, too.
    """
    account = connect(current_project(), region)
    stack = find_stack(account, name or account.name_stack())
    with explained(account.unreachable):
        yield stack


def confirm(text: str, *, yes: bool) -> None:
    """Say what will happen and ask for it; end with exit code 1 if the answer is no.

    Raises OperatorError where nobody could answer. Standard output is left to the result.
    """
    say(text, error=True)
    if yes:
        return
    if not has_terminal():
        again = retype("--yes")
        raise OperatorError(f"there is no terminal to confirm on: `{again}` does it without asking")
    sys.stderr.write("Go on? [y/N]: ")  # click's own prompt puts a blank on stdout
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        say("Nothing was changed.", error=True)
        raise typer.Exit(1)


def has_terminal() -> bool:
    """Tell whether a person could answer."""
    return sys.stdin.isatty()


def is_typed(context: typer.Context, parameter: str | None) -> bool:
    """Tell whether a person gave a parameter, which has its default otherwise."""
    source = context.get_parameter_source(parameter or "")
    return source is not None and source.name != "DEFAULT"


def retype(*more: str) -> str:
    """Return the command that runs as it was typed, with more options, ready for a shell."""
    context = _typed.get()
    words = context.command_path.split()[1:]
    for parameter in context.command.params:
        if is_typed(context, parameter.name):
            words += _retype(parameter, context.params[str(parameter.name)])
    return f"{name_program()} {shlex.join([*words, *(one for one in more if one not in words)])}"


def name_program(name: str = "infra") -> str:
    """Return the words with which a shell starts `infra`, or a neighbour, as the person did."""
    typed = sys.argv[0]
    if Path(typed).name != "infra" or typed == shutil.which("infra"):
        return name
    return shlex.quote(f"{typed.removesuffix('infra')}{name}")


def complete_commands(text: str) -> str:
    """Let each command in a text start as the person's did, on the same stack and Region."""
    context = _typed.get()
    given = {
        str(one.name): _retype(one, context.params[str(one.name)])
        for one in context.command.params
        if is_typed(context, one.name)
    }

    def add_options(found: re.Match[str]) -> str:
        wanted = ["stack_name", "region", *(["env"] if found[1] == "deploy" else [])]
        words = [word for name in wanted for word in given.get(name, [])]
        if found[1] != "deploy" and "env" in given and "stack_name" not in given:
            with contextlib.suppress(OperatorError):  # the text may be about that
                account = connect(current_project(), env=context.params["env"])
                words = ["--stack-name", account.name_stack(), *words]
        if not words or words[0] in found[0]:
            return found[0]
        return f"{found[0].rstrip()} {shlex.join(words)}"

    def name(found: re.Match[str]) -> str:
        return _name_build() if found[0] == "sam build" else name_program(found[0])

    def complete(quoted: re.Match[str]) -> str:
        return PROGRAM.sub(name, ON_A_STACK.sub(add_options, quoted[0]))

    return re.sub(r"`[^`]*`", complete, text)


def _name_build() -> str:
    """Return the command that builds the project: SAM CLI builds the folder where it is started."""
    root, program = str(current_project().root), name_program("sam")
    if root == ".":
        return f"{program} build"
    if "/" in program:
        program = shlex.quote(os.path.relpath(shlex.split(program)[0], root))
    return f"(cd {shlex.quote(root)} && {program} build)"


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
