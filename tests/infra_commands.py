"""Commands of `infra` as texts name them, held against the command itself."""

import re
import shlex
from collections.abc import Sequence
from typing import Any

import typer

from infra import cli


def find_command(words: Sequence[str]) -> tuple[Any, list[str]]:
    """Return the command that words such as `model add a.onnx` name, and its arguments.

    Raises AssertionError if there is none.
    """
    node: Any = typer.main.get_command(cli.app)
    rest = list(words)
    while rest and hasattr(node, "commands"):
        name = rest.pop(0)
        assert name in node.commands, f"infra has no command {name!r}"
        node = node.commands[name]
    return node, rest


def check_mention(mention: str) -> None:
    """Raise AssertionError unless the command exists and has the options that are mentioned.

    Options in brackets, an ellipsis and a next command are left out, as is what is required.
    """
    words = shlex.split(re.sub(r"\[[^\]]*\]|…|&&.*", "", mention))
    command, rest = find_command(words[1:])
    options = {name for one in command.params for name in (*one.opts, *one.secondary_opts)}
    for word in rest:
        if word.startswith("-"):
            assert word.partition("=")[0] in options | {"-h", "--help"}, mention


def check_line(words: Sequence[str]) -> None:
    """Raise AssertionError or the parser's error unless the command line can be typed like this."""
    command, rest = find_command(words[1:])
    if "--help" not in rest:
        command.make_context(words[0], rest)
