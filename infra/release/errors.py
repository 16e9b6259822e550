"""What a release command refuses, or cannot do."""

from infra.stack import DeploymentError


class ReleaseError(DeploymentError):
    """A release command cannot or will not do what was asked; one line for a person."""
