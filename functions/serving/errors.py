"""What can go wrong in serving, a class each. protocols/messages.py has their HTTP statuses."""

from collections.abc import Iterable

NAMED = 10  # of the names that are known, in one message


class ServingError(Exception):
    """Base of every error below; its message is written for the person who can fix it."""


class ManifestError(ServingError):
    """model.json is missing, malformed, or says something else than the model it describes."""


class ModelLoadError(ServingError):
    """The model's files are not those that were packaged, or onnxruntime cannot load them."""


class RequestError(ServingError):
    """The request does not fit the protocol or the model's contract, or its inputs each other."""


class UnknownModelError(RequestError):
    """The request names a model or a version that is not served here."""


class LimitError(RequestError):
    """The request holds more than the limits allow: rows, elements, bytes or objects."""


class EncodingError(RequestError):
    """The request's body is in a form that is not understood here."""


class InferenceError(ServingError):
    """The model failed, and no mistake of the caller explains it."""


class NonFiniteError(InferenceError):
    """The model answered with NaN or infinity, and no mistake of the caller explains it."""


def unknown(kind: str, known: Iterable[str]) -> str:
    """Say which names there are, and not the unknown one: it is the caller's, and may be long."""
    names = list(known)
    listed = names[:NAMED] + ["..."] * (len(names) > NAMED)
    return f"unknown {kind}; the model has: {', '.join(listed)}"
