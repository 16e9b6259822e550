"""What `infra` refuses, it refuses with the next command, and every command it names exists."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.commands import check_mention
from tests.sam_template import ROOT

REFUSING = [
    *sorted((ROOT / "infra/release").glob("*.py")),
    *sorted((ROOT / "infra/account").glob("*.py")),
    ROOT / "infra/command.py",
    ROOT / "infra/project.py",
]
ERRORS = {"AccountError", "OperatorError", "ProjectError", "ReleaseError"}
SOURCES = [*sorted((ROOT / "infra").rglob("*.py")), ROOT / "Makefile"]
PROGRAMS = ("infra", "make", "sam", "aws", "cd")
# Texts whose command is in a value, or an option; tests of their own look at it.
BY_VALUE = {
    "11",  # what boto3 says, and where to look
    "1 names no stack for 1: give one with --stack-name",
    "1 has no environment 1: 1",
    "nothing was deployed: --yes does not override warnings; use `1`",
    "there is no terminal to confirm on: `1` does it without asking",
    "1 1; 1",  # which version served before
    "version 1 is not ready: 1",
    "version 1 does not answer: 1",
    "version 1 answers 1 1",
    "version 1 cannot be asked: 1 (1)",
    "version 1 answers 1 in another form: 1",
}
# Says what is wrong with an AppSpec; who reads it says what to do.
PARTS = {"app_spec.py"}


def write(node: ast.expr) -> str:
    """Return the text of a string, with 1 in the place of each value."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=values):
            return "".join(write(one) if isinstance(one, ast.Constant) else "1" for one in values)
        case ast.BinOp(left=left, right=right):
            return write(left) + write(right)
    return ""


def list_refusals(path: Path) -> Iterator[tuple[int, str]]:
    """Yield each text with which one of the ERRORS is raised, and its line."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        match node:
            case ast.Raise(exc=ast.Call(func=ast.Name(id=name), args=[argument])):
                if name in ERRORS and (text := write(argument)):
                    yield node.lineno, text


REFUSALS = {
    f"{path.name}:{line}": text
    for path in REFUSING
    if path.name not in PARTS
    for line, text in list_refusals(path)
}


def test_refusals_are_found() -> None:
    assert len(REFUSALS) > 25


@pytest.mark.parametrize("where", REFUSALS)
def test_every_refusal_names_a_command(where: str) -> None:
    text = REFUSALS[where]
    commands = re.findall(r"`([^`]+)`", text)
    assert text in BY_VALUE or any(one.split()[0] in PROGRAMS for one in commands)


def list_commands() -> Iterator[tuple[str, str]]:
    for path in SOURCES:
        text = path.read_text("utf-8")
        if path.suffix == ".py":
            tree = ast.walk(ast.parse(text))
            texts = [write(node) for node in tree if isinstance(node, ast.Constant | ast.JoinedStr)]
        else:
            texts = [text]
        for one in texts:
            for command in re.findall(r"`(?:[^`]*&& )?(infra [a-z][^`]*)`", one):
                yield str(path.relative_to(ROOT)), " ".join(command.split())


@pytest.mark.parametrize(
    "command", [pytest.param(command, id=where) for where, command in sorted(set(list_commands()))]
)
def test_every_command_that_is_named_exists(command: str) -> None:
    check_mention(command)
