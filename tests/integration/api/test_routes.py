"""The one table of routes: the handler and FastAPI read it, and answer each route alike."""

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from api.routes import ROUTES, Route, find
from tests.handlers import Loaded
from tests.onnx_models import logistic, package

TENSOR = {"name": "features", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]}
BODIES = {
    "infer": json.dumps({"inputs": [TENSOR]}),
    "invocations": json.dumps({"inputs": [[1, 2, 3, 4]]}),
}


def fill(route: Route) -> tuple[str, str, str | None]:
    """Return method, path and body of a request that a route answers."""
    body = BODIES.get(route.path.rpartition("/")[2], "{}")
    path = route.path.format(name="tiny", version="1")
    return route.method, path, body if route.method == "POST" else None


@pytest.fixture
def api(load_handler: Callable[..., Loaded]) -> Loaded:
    return load_handler(logistic())


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_the_handler_and_fastapi_give_the_same_answer(
    api: Loaded, lambda_context: Any, http_event: Callable[..., dict[str, Any]], route: Route
) -> None:
    event = http_event(*fill(route))

    direct = api.handler(event, lambda_context)

    assert direct["statusCode"] == 200
    assert direct == api.application(event, lambda_context)


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_a_route_is_found_with_its_parameters(route: Route) -> None:
    method, path, _ = fill(route)

    found = find(method, path)

    assert found is not None
    operation, parameters = found
    assert operation is route.operation
    assert route.path.format(**parameters) == path
    assert find("DELETE", path) is None


@pytest.mark.parametrize(
    "path",
    ["", "/", "/v2/models/", "/v2/models//infer", "/v2/models/a/b/infer", "/ping/", "//ping"],
)
def test_what_is_no_route_is_not_found(path: str) -> None:
    assert find("GET", path) is None
    assert find("POST", path) is None


def test_no_route_imports_fastapi(tmp_path: Any) -> None:
    # GIVEN a process that cannot import it
    folder = package(tmp_path, logistic())
    script = f"""
import sys
sys.modules |= dict.fromkeys(("fastapi", "mangum", "starlette"))
from pathlib import Path
from types import SimpleNamespace
from api.http_api import create_handler
from serving.model import load_model
handler = create_handler(load_model(Path({str(folder)!r})))
context = SimpleNamespace(
    function_name="f", memory_limit_in_mb=1, invoked_function_arn="arn", aws_request_id="id")
for method, path, body in {[fill(route) for route in ROUTES]}:
    http = {{"method": method, "path": path}}
    event = {{"rawPath": path, "requestContext": {{"stage": "$default", "http": http}}}}
    assert handler(event | {{"body": body}}, context)["statusCode"] == 200, path
"""
    # WHEN every route is asked for THEN it is answered
    subprocess.run(
        [sys.executable, "-c", script], env={"PYTHONPATH": "functions"}, check=True, text=True
    )
