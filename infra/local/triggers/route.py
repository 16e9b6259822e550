"""The routes of an HTTP API, and which one a request takes.

Source: docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-routes.html: a full
match, then a greedy path variable, then `$default`; a method before ANY.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from infra.local.errors import TemplateError
from infra.local.functions.invoker import Target, read_target

DEFAULT = "$default"
ANY = "x-amazon-apigateway-any-method"
INTEGRATION = "x-amazon-apigateway-integration"
URI = re.compile(r"arn:aws:apigateway:[^:]+:lambda:path/2015-03-31/functions/(.+)/invocations")
RATE, BURST = 10_000, 5_000  # of a stage that sets none: the account's own quota


@dataclass(frozen=True)
class Route:
    """A method or ANY, a path such as `/v2/models/{model}/infer` or `/{proxy+}`, and a function."""

    method: str
    path: str
    target: Target = field(default=Target(""), compare=False)

    @property
    def key(self) -> str:
        """The route key of API Gateway."""
        return DEFAULT if self.path in {DEFAULT, f"/{DEFAULT}"} else f"{self.method} {self.path}"

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """Regular expression of the path; groups are in the order of `names`."""
        parts = re.split(r"(\{[^}]+\})", self.path)
        expression = "".join(_expression(part) for part in parts)
        return re.compile(".*" if self.key == DEFAULT else expression, re.DOTALL)

    @property
    def names(self) -> list[str]:
        """Names of the path's variables."""
        return [name.rstrip("+") for name in re.findall(r"\{([^}]+)\}", self.path)]

    @property
    def rank(self) -> tuple[bool, bool, int, bool]:
        """Lower is more specific."""
        literal = len(re.sub(r"\{[^}]+\}", "", self.path))
        return (self.key == DEFAULT, "+}" in self.path, -literal, self.method == "ANY")


@dataclass(frozen=True)
class Stage:
    """A stage of an API, and its throttle: requests a second, and at one instant."""

    name: str
    rate: float = RATE
    burst: float = BURST


def read_routes(properties: Mapping[str, Any]) -> tuple[Route, ...]:
    """Read the routes of an API from its CloudFormation properties, as SAM writes them.

    Raises TemplateError for an integration with anything but a function.
    """
    if "Body" not in properties:
        raise TemplateError("the local platform knows HTTP APIs by their OpenAPI Body alone")
    return tuple(
        Route("ANY" if method == ANY else method.upper(), path, _read_target(path, operation))
        for path, methods in properties["Body"].get("paths", {}).items()
        for method, operation in methods.items()
        if isinstance(operation, Mapping)
    )


def read_stage(properties: Mapping[str, Any]) -> Stage:
    """Read a stage from its CloudFormation properties."""
    settings = properties.get("DefaultRouteSettings", {})
    return Stage(
        properties["StageName"],
        settings.get("ThrottlingRateLimit", RATE),
        settings.get("ThrottlingBurstLimit", BURST),
    )


def _read_target(path: str, operation: Mapping[str, Any]) -> Target:
    integration = operation.get(INTEGRATION, {})
    found = URI.fullmatch(str(integration.get("uri")))
    if not found or integration.get("payloadFormatVersion") != "2.0":
        raise TemplateError(
            f"the local platform integrates functions by payload format 2.0 alone: see route {path}"
        )
    return read_target(found[1])


def match(
    routes: Iterable[Route], method: str, path: str
) -> tuple[Route, Mapping[str, str]] | None:
    """Return the route that takes the request and the values of its path variables, or None."""
    matches = [
        (route, dict(zip(route.names, found.groups(), strict=True)))
        for route in routes
        if route.key == DEFAULT or route.method in {method, "ANY"}
        if (found := route.pattern.fullmatch(path))
    ]
    return min(matches, key=lambda match: match[0].rank, default=None)


def _expression(part: str) -> str:
    if part.endswith("+}"):
        return "(.+)"
    return "([^/]+)" if part.startswith("{") else re.escape(part)
