"""What can go wrong in serving, a class each. Only api/responses.py knows their HTTP statuses."""


class ServingError(Exception):
    """Base of every error below; its message is written for the person who can mend it."""


class ManifestError(ServingError):
    """model.json is missing, malformed, or says something else than the model it describes."""


class ModelLoadError(ServingError):
    """The model's files are not those that were packaged, or onnxruntime cannot load them."""


class RequestError(ServingError):
    """The request does not fit the protocol or the model's contract, or its inputs each other."""


class UnknownModelError(RequestError):
    """The request names a model or a version that is not served here."""


class LimitError(RequestError):
    """The request asks for more rows or elements than the model's limits allow."""


class EncodingError(RequestError):
    """The request's body is in a form that is not understood here."""


class InferenceError(ServingError):
    """The model failed, or answered with NaN or infinity, and no mistake of the caller shows."""
