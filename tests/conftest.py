import asyncio
import csv
import json
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from infra.local.functions import managed_runtime
from infra.project import Project
from tests.handlers import Loaded, load
from tests.onnx_models import package
from tests.scope import find_absent

TESTS = Path(__file__).parent
EVENTS = TESTS / "events"
ABSENT = find_absent(TESTS.parent)


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Leave out the folders of tests whose subject is not in this checkout."""
    return not ABSENT.keys().isdisjoint(collection_path.relative_to(TESTS).parts) or None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say once what was left out, and why."""
    for folder, reason in ABSENT.items():
        terminalreporter.write_line(f"Left out: tests in folders named {folder}: {reason}")


@pytest.fixture(autouse=True)
def _own_field_size_limit() -> Iterator[None]:
    """Undo what reading a CSV body leaves to the whole process."""
    limit = csv.field_size_limit()
    yield
    csv.field_size_limit(limit)


@pytest.fixture(scope="session")
async def managed_python() -> Path:
    """Python of the managed runtime, the one that `make run` uses."""
    return await managed_runtime.prepare(Project(TESTS.parent).managed_runtime)


@pytest.fixture
def lambda_context() -> Any:
    return SimpleNamespace(
        function_name="inference",
        function_version="1",
        memory_limit_in_mb=1769,
        invoked_function_arn="arn:aws:lambda:eu-west-1:123456789012:function:inference:live",
        aws_request_id="8f507cfc-xmpl-4697-b07a-ac58fc914c95",
    )


@pytest.fixture(scope="session")
def http_event() -> Callable[..., dict[str, Any]]:
    """Make HTTP API events out of the recorded one."""
    recorded = json.loads((EVENTS / "http_api_infer.json").read_text())

    def make(method: str, path: str, body: str | None = None, **changes: Any) -> dict[str, Any]:
        event: dict[str, Any] = deepcopy(recorded) | {"rawPath": path}
        event["requestContext"]["http"] |= {"method": method, "path": path}
        event["requestContext"]["stage"] = changes.pop("stage", "$default")
        del event["body"]
        return event | ({} if body is None else {"body": body}) | changes

    return make


@pytest.fixture
def load_handler(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Loaded]]:
    """Make a handler for a model of the test's own."""
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", tmp_path.name)
    # Lambda's main thread has no running loop; Mangum takes the current one.
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield lambda model, **fields: load(package(tmp_path, model, **fields))
    asyncio.set_event_loop(None)
    loop.close()
