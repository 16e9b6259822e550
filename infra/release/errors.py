"""What a release command refuses, or cannot do."""

from infra.errors import OperatorError


class ReleaseError(OperatorError):
    """Raised when a release command cannot or will not do what was asked."""
