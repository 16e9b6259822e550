"""What a person can correct about a simulation."""

from infra.errors import OperatorError


class SimulationError(OperatorError):
    """Raise when a curve or an option makes no sense; one line for a person."""

    exit_code = 2
