import json
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

EVENTS = Path(__file__).parent / "events"


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
