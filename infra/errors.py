"""What a person who operates the service can correct."""

from typing import ClassVar


class OperatorError(Exception):
    """Raise when a person can correct what is wrong; the command prints it and ends."""

    exit_code: ClassVar[int] = 1

    @property
    def lines(self) -> tuple[str, ...]:
        """The lines that a command prints; by default the message, as one."""
        return (" ".join(str(self).split()),)


class OptionError(OperatorError):
    """Raise for the value of an option or argument that is wrong whatever else there is."""

    exit_code: ClassVar[int] = 2  # as for an option that does not exist
