"""The FastAPI application: every route, and the OpenAPI pages."""

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import Response as HttpResponse
from starlette.exceptions import HTTPException

from api import invocations, open_inference, openapi
from api.responses import Response, answer, error_response, failure
from serving.model import Model

# Method, path, operation. An operation takes the model, the path's parameters by name and, for a
# POST, the body and the headers.
ROUTES: tuple[tuple[str, str, Callable[..., Response]], ...] = (
    ("GET", "/v2", open_inference.server_metadata),
    ("GET", "/v2/", open_inference.server_metadata),
    ("GET", "/v2/health/live", open_inference.server_live),
    ("GET", "/v2/health/ready", open_inference.server_ready),
    ("GET", "/v2/models", open_inference.list_models),
    ("GET", "/v2/models/{name}", open_inference.model_metadata),
    ("GET", "/v2/models/{name}/versions/{version}", open_inference.model_metadata),
    ("GET", "/v2/models/{name}/ready", open_inference.model_ready),
    ("GET", "/v2/models/{name}/versions/{version}/ready", open_inference.model_ready),
    ("POST", "/v2/repository/index", open_inference.repository_index),
    ("POST", "/v2/models/{name}/infer", open_inference.infer),
    ("POST", "/v2/models/{name}/versions/{version}/infer", open_inference.infer),
    ("GET", "/ping", invocations.ping),
    ("POST", "/invocations", invocations.invoke),
)


def create_app(model: Model) -> FastAPI:
    """Build the application that serves `model`."""
    app = FastAPI(
        title=model.manifest.name,
        version=model.manifest.version,
        description=model.manifest.description,
        redoc_url=None,
        swagger_ui_oauth2_redirect_url=None,
        redirect_slashes=False,  # a redirect would drop the stage from the path
    )
    for method, path, operation in ROUTES:
        app.add_api_route(
            path,
            _endpoint(model, operation),
            methods=[method],
            summary=(operation.__doc__ or "").splitlines()[0],
            include_in_schema=path != "/v2/",  # the same as /v2
            **openapi.describe(model, operation, path),
        )
    app.exception_handler(HTTPException)(_no_such_route)
    app.exception_handler(Exception)(_unforeseen)
    return app


def _endpoint(model: Model, operation: Callable[..., Response]) -> Callable[..., Any]:
    async def endpoint(request: Request) -> HttpResponse:
        arguments: dict[str, Any] = dict(request.path_params)
        if request.method == "POST":
            arguments |= {"body": await request.body(), "headers": request.headers}
        return _http(answer(lambda: operation(model, **arguments)))

    return endpoint


async def _no_such_route(_: Request, error: HTTPException) -> HttpResponse:
    """Answer a wrong path or method in the protocol's form instead of FastAPI's own."""
    return _http(error_response(error.status_code, error.detail), error.headers)


async def _unforeseen(_: Request, error: Exception) -> HttpResponse:
    return _http(failure(error))


def _http(response: Response, headers: Any = None) -> HttpResponse:
    return HttpResponse(response.body, response.status, {**response.headers, **(headers or {})})
