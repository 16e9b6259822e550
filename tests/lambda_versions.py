"""Published versions in this process, behind what the gate uses of boto3's Lambda client."""

import base64
import importlib
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

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
    """A version: its own copy of the modules, as a process of its own would have."""

    modules: dict[str, ModuleType]
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
        """Import the handler, which loads the model in `folder`."""
        modules: dict[str, ModuleType] = {}
        failure = None
        environment = {
            "MODEL_DIR": str(folder),
            "AWS_LAMBDA_FUNCTION_VERSION": number,
            "POWERTOOLS_SERVICE_NAME": "shop",
        }
        with self.monkeypatch.context() as patch, _loaded(modules):
            for name, value in environment.items():
                patch.setenv(name, value)
            try:
                importlib.import_module("api.handler")
            except Exception as error:  # whatever it is, Lambda reports it
                failure = error
        self.versions[number] = Version(modules, failure)

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
        if version.failure:
            raise CrashError(type(version.failure).__name__, str(version.failure))
        context = SimpleNamespace(
            function_name="shop-fn",
            function_version=number,
            memory_limit_in_mb=1769,
            invoked_function_arn=f"{FUNCTION}:{number}",
            aws_request_id="8f507cfc-xmpl-4697-b07a-ac58fc914c95",
        )

        def answer() -> Response:
            with _loaded(version.modules):
                response: Response = sys.modules["api.handler"].handler(event, context)
                return response

        return version.fault(event, answer) if version.fault else answer()


@contextmanager
def _loaded(modules: dict[str, ModuleType]) -> Iterator[None]:
    """Let `modules` be those of the function in the block, and keep what it imports."""
    others = _take_out()
    sys.modules.update(modules)
    try:
        yield
    finally:
        modules.update(_take_out())
        sys.modules.update(others)


def _take_out() -> dict[str, ModuleType]:
    ours = {name for name in sys.modules if name.split(".")[0] in {"api", "serving"}}
    return {name: sys.modules.pop(name) for name in ours}
