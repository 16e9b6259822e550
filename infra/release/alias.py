"""The alias whose versions share the traffic, and the one way to move it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from infra.release.errors import ReleaseError

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

RECORD = re.compile(r"(rolled back|promoted) from (\d+) to (\d+) at (\S+)")


@dataclass(frozen=True)
class Record:
    """A move by hand, as the alias' description tells it; CloudFormation sets none."""

    verb: str
    source: str
    target: str
    at: str

    def __str__(self) -> str:
        return f"{self.verb} from {self.source} to {self.target} at {self.at}"


@dataclass(frozen=True)
class Alias:
    """An alias at one moment; `weights` are the shares of versions besides its own."""

    function: str
    name: str
    version: str
    weights: Mapping[str, float]
    description: str
    revision: str

    @property
    def shares(self) -> Mapping[str, float]:
        """Share of the traffic by version."""
        return {self.version: 1 - sum(self.weights.values()), **self.weights}

    @property
    def record(self) -> Record | None:
        """The last move by hand. It stays when the alias moves on: it tells what not to go back to.

        It is in effect while the alias is where it says.
        """
        found = RECORD.fullmatch(self.description)
        return Record(*found.groups()) if found else None


@dataclass(frozen=True)
class Move:
    """Where an alias shall go; without a record the old one stays."""

    version: str
    weights: Mapping[str, float] = field(default_factory=dict)
    record: Record | None = None


@dataclass(frozen=True)
class Plan:
    """What will be done to an alias, in words and as a move; None: nothing needs to be."""

    text: str
    alias: Alias
    move: Move | None


def tell_time(now: datetime) -> str:
    """Write a time as records have it: UTC, to the second."""
    return now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def read_alias(functions: "LambdaClient", function: str, name: str) -> Alias:
    """Read an alias; raise ReleaseError if it or its function is not there."""
    try:
        held = functions.get_alias(FunctionName=function, Name=name)
    except functions.exceptions.ResourceNotFoundException as error:
        region = functions.meta.region_name
        raise ReleaseError(f"there is no alias {name} of {function} in {region}") from error
    routing: Any = held.get("RoutingConfig") or {}
    return Alias(
        function=function,
        name=name,
        version=held["FunctionVersion"],
        weights=routing.get("AdditionalVersionWeights") or {},
        description=held.get("Description") or "",
        revision=held["RevisionId"],
    )


def move_alias(functions: "LambdaClient", alias: Alias, move: Move) -> None:
    """Move an alias that is still as it was read; raise ReleaseError if somebody else moved it."""
    description = {"Description": str(move.record)} if move.record else {}
    try:
        functions.update_alias(
            FunctionName=alias.function,
            Name=alias.name,
            FunctionVersion=move.version,
            RoutingConfig={"AdditionalVersionWeights": dict(move.weights)},
            RevisionId=alias.revision,
            **description,
        )
    except functions.exceptions.PreconditionFailedException as error:
        raise ReleaseError(
            f"somebody else has moved {alias.name} meanwhile, so nothing was changed: "
            "see `infra status`, then decide again"
        ) from error
