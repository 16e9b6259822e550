"""What a person can correct about a simulation."""

from infra.stack import DeploymentError


class SimulationError(DeploymentError):
    """Raise when a curve or an option makes no sense; one line for a person."""

    exit_code = 2
