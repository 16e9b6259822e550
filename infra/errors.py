"""What a person who operates the service can correct."""

from typing import ClassVar


class OperatorError(Exception):
    """Raised when a person can correct what is wrong; the command prints it and ends.

    A class whose errors are about the value of an option or argument has exit code 2, as has an
    option that does not exist; all others have 1.
    """

    exit_code: ClassVar[int] = 1

    @property
    def lines(self) -> tuple[str, ...]:
        """The lines that a command prints; by default the message, as one."""
        return (" ".join(str(self).split()),)
