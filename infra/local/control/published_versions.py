"""Versions and aliases of functions, as Lambda's API shows them."""

from collections.abc import Mapping
from typing import Any

from moto.awslambda.exceptions import UnknownAliasException
from moto.awslambda.models import LambdaBackend

from infra.local.errors import UnknownFunctionError
from infra.local.stack import Function


class PublishedVersions:
    """Publishes versions and points aliases at them."""

    def __init__(self, backend: LambdaBackend) -> None:
        self._backend = backend
        self._published: dict[str, int] = {}

    def publish(self, function: str) -> str:
        """Publish the next version of a function; return its number, which no other ever had."""
        self._backend.get_function(function).code_or_config_updated = True
        published: Any = self._backend.publish_version(function)
        number = self._published[function] = self._published.get(function, 0) + 1
        if published.version != number:  # moto takes how many there are for a number
            published.set_version(number)
            arns = self._backend._lambdas._arns  # noqa: SLF001 moto has no setting for it
            for one in self._backend.list_versions_by_function(function):
                arns[one.function_arn] = one
        return str(number)

    def shift(self, function: Function, version: str, additional: Mapping[str, float]) -> None:
        """Point the function's alias at `version`, with a share of the requests for others."""
        routing: Any = {"AdditionalVersionWeights": dict(additional)}
        self._backend.update_alias(function.alias, function.name, version, None, routing)  # type: ignore[arg-type]  # None: as it is

    def weights(self, function: str, alias: str) -> Mapping[str, float]:
        """Return the share of requests that the alias sends to each version.

        Raises UnknownFunctionError if there is no such alias.
        """
        try:
            held = self._backend.get_alias(alias, function)
        except UnknownAliasException as error:
            raise UnknownFunctionError(f"there is no alias {alias}") from error
        routing: Any = held.routing_config or {}
        additional = routing.get("AdditionalVersionWeights") or {}
        return {held.function_version: 1 - sum(additional.values()), **additional}
