"""What every trigger is: something outside that invokes a function as long as a resource exists."""

from typing import Protocol


class Trigger(Protocol):
    """Starts with the resource of a stack that it belongs to, and stops with it."""

    async def start(self) -> None:
        """Begin to invoke the function."""

    async def stop(self) -> None:
        """Invoke it no more; what it works on is given up."""
