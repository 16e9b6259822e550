"""The alias whose versions share the traffic, and the one way to move it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from infra.release.errors import ReleaseError

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

PROMOTED, ROLLED_BACK = "promoted", "rolled back"  # what can happen to a version
RECORD = re.compile(rf"({ROLLED_BACK}|{PROMOTED}) from (\d+) to (\d+) at (\S+)")


@dataclass(frozen=True)
class Record:
    """A move by hand, as the alias' description has it; CloudFormation writes no description."""

    verb: str
    source: str
    target: str
    at: str

    def __str__(self) -> str:
        return f"{self.verb} from {self.source} to {self.target} at {self.at}"


@dataclass(frozen=True)
class Alias:
    """An alias at one moment; `weights` are the shares of versions other than its own.

    With provisioned concurrency nobody can set weights. Lambda adds some itself until the
    environments of the alias' version are ready: `transition` is then their state, IN_PROGRESS or
    FAILED, and empty otherwise.
    Source: github.com/hashicorp/terraform-provider-aws/pull/48116; assumed here.
    """

    function: str
    name: str
    version: str
    weights: Mapping[str, float]
    description: str
    revision: str
    transition: str = ""

    @property
    def shares(self) -> Mapping[str, float]:
        """Share of the traffic by version."""
        return {self.version: 1 - sum(self.weights.values()), **self.weights}

    @property
    def record(self) -> Record | None:
        """The last move by hand, None if there was none.

        It stays when the alias moves on, because it says which version not to go back to. It is in
        effect while the alias is where it says.
        """
        found = RECORD.fullmatch(self.description)
        return Record(*found.groups()) if found else None


@dataclass(frozen=True)
class Move:
    """Where to move an alias; without a record the previous one stays."""

    version: str
    weights: Mapping[str, float] = field(default_factory=dict)
    record: Record | None = None


@dataclass(frozen=True)
class PlannedMove:
    """What will be done to an alias, in words and as a move: None if nothing needs to be done."""

    text: str
    alias: Alias
    move: Move | None


def format_time(now: datetime) -> str:
    """Format a time for a record: UTC, to the second."""
    return now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def read_alias(functions: "LambdaClient", function: str, name: str) -> Alias:
    """Read an alias; raise ReleaseError if it or its function is not there."""
    try:
        held = functions.get_alias(FunctionName=function, Name=name)
    except functions.exceptions.ResourceNotFoundException as error:
        region = functions.meta.region_name
        raise ReleaseError(
            f"there is no alias {name} of {function} in {region}: `aws lambda "
            f"list-versions-by-function --function-name {function} --region {region}` shows to "
            "which versions one could point"
        ) from error
    routing: Any = held.get("RoutingConfig") or {}
    weights = routing.get("AdditionalVersionWeights") or {}
    return Alias(
        function=function,
        name=name,
        version=held["FunctionVersion"],
        weights=weights,
        description=held.get("Description") or "",
        revision=held["RevisionId"],
        transition=_read_transition(functions, function, name) if weights else "",
    )


def describe_transition(alias: Alias) -> str:
    """Say where an alias is going and what to do; empty if it is not in transition."""
    if not alias.transition:
        return ""
    shares = " and ".join(
        f"version {one} has {100 * part:g} %" for one, part in alias.weights.items()
    )
    remedy = (
        "They cannot start: `infra rollback`, or `aws lambda delete-provisioned-concurrency-config "
        f"--function-name {alias.function} --qualifier {alias.name}`."
        if alias.transition == "FAILED"
        else "That takes minutes: try again then; `infra status` shows it."
    )
    return (
        f"{alias.name} is in transition to version {alias.version} (provisioned concurrency: "
        f"{alias.transition}), and until its environments are ready {shares}. {remedy}"
    )


def refuse_in_transition(alias: Alias) -> None:
    """Raise ReleaseError while the alias' weights are Lambda's own."""
    if alias.transition:
        raise ReleaseError(describe_transition(alias))


def move_alias(functions: "LambdaClient", alias: Alias, move: Move) -> None:
    """Move an alias that is still as it was read; raise ReleaseError if somebody else moved it.

    A routing configuration is always given, even an empty one: with provisioned concurrency Lambda
    then adds no weights of its own (hashicorp/terraform-provider-aws#13329; assumed here).
    """
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


def _read_transition(functions: "LambdaClient", function: str, name: str) -> str:
    """Return the state of the alias' provisioned concurrency, empty if it has none."""
    try:
        held = functions.get_provisioned_concurrency_config(FunctionName=function, Qualifier=name)
    except ClientError:  # there is none, or this person may not ask
        return ""
    return str(held["Status"])
