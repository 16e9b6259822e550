"""Published versions in this process, behind what the gate uses of boto3's Lambda client."""

import base64
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from api.http_api import Handler
from tests.handlers import load
from tests.onnx_models import package

FUNCTION = "arn:aws:lambda:eu-west-1:123456789012:function:shop-fn"

type Event = dict[str, Any]
type Response = dict[str, Any]
type Fault = Callable[[Event, Callable[[], Response]], Response]


class CrashError(Exception):
    """The execution environment ends: Lambda tells `kind` and the message."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


@dataclass
class Version:
    """A version: its handler, or why it does not start."""

    handler: Handler | None
    failure: Exception | None
    fault: Fault | None = None
    milliseconds: float | None = None  # what Lambda is to report instead of the measured time
    cold: bool = True


@dataclass
class Versions:
    """The function's versions by number; `live` is the one that the alias points to."""

    folder: Path
    monkeypatch: pytest.MonkeyPatch
    versions: dict[str, Version] = field(default_factory=dict)
    live: str = "1"
    asked: list[tuple[str, Event]] = field(default_factory=list)
    calls: list[Mapping[str, Any]] = field(default_factory=list)

    def publish(self, model: Any, fault: Fault | None = None, **fields: Any) -> Path:
        """Package a model as the next version, start it as Lambda does; return its folder."""
        number = str(len(self.versions) + 1)
        folder = package(self.folder / number, model, **fields)
        self.start(number, folder)
        self.versions[number].fault = fault
        return folder

    def start(self, number: str, folder: Path) -> None:
        """Make the handler with the model in `folder`."""
        handler, failure = None, None
        with self.monkeypatch.context() as patch:
            patch.setenv("AWS_LAMBDA_FUNCTION_VERSION", number)
            patch.setenv("POWERTOOLS_SERVICE_NAME", "shop")
            try:
                handler = load(folder).handler
            except Exception as error:  # Lambda reports any
                failure = error
        self.versions[number] = Version(handler, failure)

    def get_alias(self, **arguments: str) -> dict[str, str]:
        assert arguments == {"FunctionName": FUNCTION, "Name": "live"}
        return {"FunctionVersion": self.live}

    def invoke(self, **arguments: Any) -> dict[str, Any]:
        self.calls.append(arguments)
        number, event = arguments["Qualifier"], json.loads(arguments["Payload"])
        self.asked.append((number, event))
        version = self.versions[number]
        started = time.perf_counter()
        try:
            payload, failed = self._answer(number, version, event), {}
        except CrashError as error:
            payload = {"errorType": error.kind, "errorMessage": str(error)}
            failed = {"FunctionError": "Unhandled"}
            version.cold = True
        duration = version.milliseconds or (time.perf_counter() - started) * 1e3
        report = f"REPORT RequestId: 1\tDuration: {duration:.2f} ms\tBilled Duration: 9 ms\t"
        report += "Init Duration: 99.00 ms\t" if version.cold else ""
        version.cold = False
        return {
            "StatusCode": 200,
            "Payload": BytesIO(json.dumps(payload).encode()),
            "LogResult": base64.b64encode(f"START\nEND\n{report}\n".encode()).decode(),
            **failed,
        }

    def _answer(self, number: str, version: Version, event: Event) -> Response:
        if version.handler is None:
            raise CrashError(type(version.failure).__name__, str(version.failure))
        context: Any = SimpleNamespace(
            function_name="shop-fn",
            function_version=number,
            memory_limit_in_mb=1769,
            invoked_function_arn=f"{FUNCTION}:{number}",
            aws_request_id="8f507cfc-xmpl-4697-b07a-ac58fc914c95",
        )
        answer = partial(version.handler, event, context)
        return version.fault(event, answer) if version.fault else answer()
