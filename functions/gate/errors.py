"""Why a version gets no request."""


class RefusedError(Exception):
    """The version failed a check; the message is for the person who released it."""


class OutOfTimeError(BaseException):
    """The checks took too long.

    No Exception: botocore catches every one of them, and would try the call again.
    """


class IncomparableError(Exception):
    """The version cannot be compared with the one before; that is no reason to refuse it."""
