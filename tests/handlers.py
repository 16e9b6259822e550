"""The handler with a model of a test's own, made as api/handler.py makes it."""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from api.http_api import Handler, create_application, create_handler
from serving.model import Model, load_model
from telemetry import logger


@dataclass
class Loaded:
    """A loaded model, and the handler that answers with it."""

    model: Model
    handler: Handler

    @cached_property
    def application(self) -> Callable[[Any, Any], Any]:
        """FastAPI, which could answer every event, too."""
        return create_application(self.model)


class CurrentStdout:
    """The standard output as it is when something is written: pytest changes it for each test."""

    def __getattr__(self, name: str) -> Any:
        return getattr(sys.stdout, name)


logger.registered_handler.stream = CurrentStdout()  # type: ignore[attr-defined] # a StreamHandler


def load(folder: Path) -> Loaded:
    """Load the model in a folder."""
    version = os.environ.get("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
    model = load_model(folder, function_version=version)
    return Loaded(model, create_handler(model))
