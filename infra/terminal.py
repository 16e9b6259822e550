r"""The one place where `infra` prints: whatever a text holds, it is shown and never obeyed.

Names come from strangers' models and files, messages from onnxruntime, lines from logs. A character
that could steer a terminal, reverse text or forge a line is written as JSON writes it: \u001b.
"""

import json
import unicodedata
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import typer
from rich.console import Console, RenderableType  # noqa: TID251 this is the place
from rich.status import Status
from rich.text import Text  # noqa: TID251 this is the place


class Terminal(Console):
    """A console without markup; each string that is printed is one line."""

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, highlight=False)

    def render_str(self, text: str, **options: Any) -> Text:
        """Turn a string into text; whatever is printed, or is in a table, comes through here."""
        return super().render_str(escape(text), **options | {"markup": False, "emoji": False})

    def status(self, status: RenderableType, **options: Any) -> Status:
        """Show what is being done until it is done."""
        return super().status(
            self.render_str(status) if isinstance(status, str) else status, **options
        )

    def print_lines(self, *lines: str, style: str = "") -> None:
        """Print lines without folding them, so that they can be copied."""
        self.print(*lines, sep="\n", style=style, soft_wrap=True)

    def progress(self, text: str) -> AbstractContextManager[object]:
        """Show `text` while something is done: with a spinner on a terminal, else as a line."""
        if self.is_terminal:
            return self.status(f"{text} ...")
        self.print(f"{text} ...")
        return nullcontext()


def escape(text: str) -> str:
    """Replace control, format and unassigned characters, surrogates and separators of lines."""
    return text if text.isprintable() else "".join(map(_escape, text))


def _escape(char: str) -> str:
    category = unicodedata.category(char)
    if char == "\t" or (category[0] != "C" and category not in {"Zl", "Zp"}):
        return char
    units = char.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[i : i + 4]}" for i in range(0, len(units), 4))


def say(*lines: str, error: bool = False) -> None:
    """Print lines as they are, to standard output or to that of errors."""
    typer.echo("\n".join(map(escape, lines)), err=error)  # noqa: TID251 this is the place


def print_json(value: Any) -> None:
    """Print JSON for a program; it stays the same value when it is escaped."""
    say(*json.dumps(value, indent=2, default=str).split("\n"))
