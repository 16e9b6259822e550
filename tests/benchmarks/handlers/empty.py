"""A function that does nothing: its start is Python's and the runtime client's own."""

from typing import Any


def handler(_event: Any, _context: Any) -> None:
    """Answer nothing."""
