"""What can go wrong on the local platform; each message is one line for a person."""

import logging
from collections.abc import Callable, Mapping
from typing import Any

# Gets who has a problem, and a line about it for the person at the terminal.
type OnError = Callable[[str, str], None]


def log_error(name: str, line: str) -> None:
    """Log an error of the platform's, which Python writes to stderr unless told otherwise."""
    logging.getLogger("infra.local").error("[%s] %s", name, line)


class LocalRunError(Exception):
    """The local run cannot start or go on."""


class TemplateError(LocalRunError):
    """A template is missing, or holds something that the local platform does not have."""


class BuildError(TemplateError):
    """What was built is gone, or cannot be read or copied; perhaps somebody is building again."""

    def __init__(self, error: OSError) -> None:
        cause = error.strerror or "files are missing"  # shutil's own error has none
        super().__init__(f"what was built cannot be read ({cause}): build it again")


class ManagedRuntimeError(LocalRunError):
    """The stand-in for AWS's managed runtime cannot be made on this machine."""


class FunctionError(LocalRunError):
    """An invocation failed on the function's side; `kind` is Lambda's name for how.

    `payload` is what the runtime client reported, None where the platform noticed it.
    """

    def __init__(self, kind: str, message: str, payload: Mapping[str, Any] | None = None) -> None:
        super().__init__(f"{kind}: {message}" if kind else message)
        self.kind = kind
        self.text = message
        self.payload = payload


class UnknownFunctionError(FunctionError):
    """There is no such function, version or alias."""

    def __init__(self, message: str) -> None:
        super().__init__("", message)


class ThrottledError(LocalRunError):
    """Every concurrent execution that the function may have is busy, or too many events wait."""


class UpdateError(LocalRunError):
    """A stack cannot be updated, or an update failed."""
