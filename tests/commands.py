"""Every command of `infra`, and what texts say about them."""

import re
import shlex
from collections.abc import Iterator, Sequence
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


INFRA: Any = typer.main.get_command(cli.app)
COMMANDS = dict(walk(INFRA))


def find(words: Sequence[str]) -> tuple[Any, list[str]]:
    """Return the command or group that words such as `model add a.onnx` name, and its arguments.

    Raises AssertionError if there is none.
    """
    command, rest = INFRA, list(words)
    while rest and hasattr(command, "commands"):
        name = rest.pop(0)
        assert name in command.commands, f"infra has no command {name!r}"
        command = command.commands[name]
    return command, rest


def check_mention(mention: str) -> None:
    """Raise AssertionError unless the command exists and has the options that are mentioned.

    Options in brackets, an ellipsis and a next command are left out, as is what is required.
    """
    words = shlex.split(re.sub(r"\[[^\]]*\]|…|&&.*", "", mention))
    command, rest = find(words[1:])
    options = {name for one in command.params for name in (*one.opts, *one.secondary_opts)}
    for word in rest:
        if word.startswith("-"):
            assert word.partition("=")[0] in options | {"-h", "--help"}, mention


def check_line(words: Sequence[str]) -> None:
    """Raise AssertionError or the parser's error unless the command line can be typed like this."""
    command, rest = find(words[1:])
    if "--help" not in rest:
        command.make_context(words[0], rest)
