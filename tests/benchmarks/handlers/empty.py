"""A function that does nothing: its cold start is that of Python and the runtime client."""

from typing import Any


def handler(_event: Any, _context: Any) -> None:
    """Answer nothing."""
