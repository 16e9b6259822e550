"""The account's functions: which version an invocation reaches, and the invocation itself."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from infra.local.errors import UnknownFunctionError
from infra.local.functions.versions import LATEST, Call, HostedFunction
from infra.local.stack import name_function_arn

type Weights = Callable[[str, str], Mapping[str, float]]


@dataclass(frozen=True)
class Target:
    """What an invocation names: a function, and a version, an alias or nothing of it."""

    name: str
    qualifier: str = ""

    def arn(self, region: str) -> str:
        """Return the ARN that names the same."""
        return ":".join(filter(None, (name_function_arn(self.name, region), self.qualifier)))


def read_target(text: str, qualifier: str = "") -> Target:
    """Read a target from a name or an ARN, of which each may have a qualifier."""
    name, _, named = text.rpartition("function:")[2].partition(":")
    return Target(name, qualifier or named)


class Invoker:
    """Invokes the functions of `hosted`, which are by their names.

    `weights` returns the shares of the versions behind an alias of a function.
    """

    def __init__(self, weights: Weights, rng: random.Random) -> None:
        self.hosted: dict[str, HostedFunction] = {}
        self._weights = weights
        self._rng = rng

    def pick(self, target: Target) -> str:
        """Return the version that answers; raise UnknownFunctionError if there is none."""
        version = target.qualifier or LATEST
        function = self.hosted.get(target.name)
        if function is not None and version != LATEST and not version.isdecimal():
            shares = self._weights(target.name, version)
            version = self._rng.choices(list(shares), list(shares.values()))[0]
        if function is None or version not in function:
            raise UnknownFunctionError(f"there is no function {target.name}:{version}")
        return version

    async def invoke(
        self, target: Target, event: bytes, trace_id: str = "", call: Call | None = None
    ) -> bytes:
        """Invoke a function with an event.

        Raises UnknownFunctionError, FunctionError or ThrottledError.
        """
        version = self.pick(target)
        call = call or Call(target.qualifier)
        return await self.hosted[target.name].invoke(version, event, call, trace_id)
