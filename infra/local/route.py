"""Which route of an HTTP API a request takes.

Source: docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-routes.html: a full
match, then a greedy path variable, then `$default`; a method before ANY.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

DEFAULT = "$default"


@dataclass(frozen=True)
class Route:
    """A method or ANY, and a path such as `/v2/models/{model}/infer` or `/{proxy+}`."""

    method: str
    path: str

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
