"""What a person who operates the service can correct."""


class OperatorError(Exception):
    """Raise when a person can correct what is wrong; the command prints it and exits with 1."""

    @property
    def lines(self) -> tuple[str, ...]:
        """The lines that a command prints; by default the message, as one."""
        return (" ".join(str(self).split()),)
