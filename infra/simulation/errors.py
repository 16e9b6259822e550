"""What a person can correct about a simulation."""

from infra.stack import DeploymentError


class SimulationError(DeploymentError):
    """Raised when a curve or an option makes no sense; the message is one line."""
