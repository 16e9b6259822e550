"""What a person can correct about a simulation."""

from infra.errors import OperatorError


class SimulationError(OperatorError):
    """Raised when a curve or an option makes no sense; the message is one line."""

    exit_code = 2
