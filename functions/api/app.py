"""The FastAPI application: every route, and the OpenAPI pages."""

from typing import Any

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException

from api import openapi
from api.answers import answer, answer_for
from api.routes import ROUTES, Route
from protocols import messages
from serving.model import Model


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
    for route in ROUTES:
        app.add_api_route(
            route.path,
            _endpoint(model, route),
            methods=[route.method],
            summary=(route.operation.__doc__ or "").splitlines()[0],
            include_in_schema=route.path != "/v2/",  # the same as /v2
            **openapi.describe(model, route.path),
        )
    app.exception_handler(HTTPException)(_no_such_route)
    app.exception_handler(Exception)(_unforeseen)
    return app


def _endpoint(model: Model, route: Route) -> Any:
    async def endpoint(request: Request) -> Response:
        body = await request.body()
        sent = messages.Request(body, request.headers, request.path_params)
        return _write(answer(lambda: route.operation(model, sent)))

    return endpoint


async def _no_such_route(_: Request, error: HTTPException) -> Response:
    """Answer a wrong path or method in the protocol's form instead of FastAPI's own."""
    return _write(messages.error_response(error.status_code, error.detail), error.headers)


async def _unforeseen(_: Request, error: Exception) -> Response:
    return _write(answer_for(error))


def _write(response: messages.Response, headers: Any = None) -> Response:
    return Response(response.body, response.status, {**response.headers, **(headers or {})})
