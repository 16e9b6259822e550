"""The one table of routes: a method, a path, and the operation of a protocol that answers it."""

import re
from functools import cache

from msgspec import Struct

from protocols import open_inference
from protocols.messages import Operation, Request, Response
from serving.model import Model


class Route(Struct, frozen=True):
    """A path may hold parameters, as in /v2/models/{name}."""

    method: str
    path: str
    operation: Operation


def ping(model: Model, request: Request) -> Response:
    """Confirm that predictions are possible (SageMaker's health check)."""
    from protocols import scoring  # not for a cold inference by the Open Inference Protocol

    return scoring.ping(model, request)


def invoke(model: Model, request: Request) -> Response:
    """Predict for one request of the scoring protocol of MLflow and SageMaker."""
    from protocols import scoring

    return scoring.invoke(model, request)


# Those that predict come first: paths are compared in this order.
ROUTES = (
    Route("POST", "/v2/models/{name}/infer", open_inference.infer),
    Route("POST", "/v2/models/{name}/versions/{version}/infer", open_inference.infer),
    Route("POST", "/invocations", invoke),
    Route("POST", "/v2/repository/index", open_inference.repository_index),
    Route("GET", "/v2", open_inference.server_metadata),
    Route("GET", "/v2/", open_inference.server_metadata),
    Route("GET", "/v2/health/live", open_inference.server_live),
    Route("GET", "/v2/health/ready", open_inference.server_ready),
    Route("GET", "/v2/models", open_inference.list_models),
    Route("GET", "/v2/models/{name}", open_inference.model_metadata),
    Route("GET", "/v2/models/{name}/versions/{version}", open_inference.model_metadata),
    Route("GET", "/v2/models/{name}/ready", open_inference.model_ready),
    Route("GET", "/v2/models/{name}/versions/{version}/ready", open_inference.model_ready),
    Route("GET", "/ping", ping),
)


def find(method: str, path: str) -> tuple[Operation, dict[str, str]] | None:
    """Return the operation of a path and the parameters in it; None if no route has both."""
    for route in ROUTES:
        if route.method == method and (match := _compile(route.path).fullmatch(path)):
            return route.operation, match.groupdict()
    return None


@cache
def _compile(path: str) -> re.Pattern[str]:
    """Compile a route's path when it is first compared: a cold start compares one."""
    return re.compile(path.replace("{", "(?P<").replace("}", ">[^/]+)"))
