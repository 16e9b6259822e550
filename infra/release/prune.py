"""Old versions, and the layers that only they use, deleted."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from infra.release.alias import Alias, read_alias
from infra.release.deployments import refuse_while_running
from infra.release.errors import ReleaseError
from infra.release.history import find_previous, guess_previous, read_history
from infra.release.target import Target
from infra.release.version import PublishedVersion, list_versions

if TYPE_CHECKING:
    from mypy_boto3_codedeploy import CodeDeployClient
    from mypy_boto3_lambda import LambdaClient


@dataclass(frozen=True)
class Pruning:
    """What will be deleted; `kept` says why an old version stays nevertheless."""

    versions: tuple[str, ...]
    layers: tuple[str, ...]
    snap_start: int
    kept: dict[str, str]


def plan_pruning(
    functions: "LambdaClient",
    codedeploy: "CodeDeployClient",
    target: Target,
    stack_status: str,
    keep: int,
) -> Pruning:
    """Choose what to delete: not the newest `keep` versions, nor what anything may still need.

    Raises ReleaseError while CloudFormation or CodeDeploy is at work, or is stuck in a rollback: it
    could not go on without a version that is gone.
    """
    if stack_status.endswith("_IN_PROGRESS") or stack_status == "UPDATE_ROLLBACK_FAILED":
        raise ReleaseError(
            f"stack {target.stack} is {stack_status} and may need every version: `infra status` "
            "shows when that is over"
        )
    refuse_while_running(codedeploy, target)
    versions = list_versions(functions, target.function)
    needed = _list_needed(functions, codedeploy, target, versions)
    old = versions[:-keep]
    gone = [version for version in old if version.number not in needed]
    stay = [version for version in versions if version not in gone]
    return Pruning(
        versions=tuple(version.number for version in gone),
        layers=_list_unused(functions, target.function, gone, stay),
        snap_start=sum(version.has_snap_start for version in gone),
        kept={one.number: needed[one.number] for one in old if one.number in needed},
    )


def prune(functions: "LambdaClient", target: Target, pruning: Pruning) -> None:
    """Delete what was chosen, versions first: a layer can go when no version uses it."""
    for number in pruning.versions:
        functions.delete_function(FunctionName=target.function, Qualifier=number)
    for arn in pruning.layers:
        layer, _, version = arn.rpartition(":")
        functions.delete_layer_version(LayerName=layer, VersionNumber=int(version))


def _list_needed(
    functions: "LambdaClient",
    codedeploy: "CodeDeployClient",
    target: Target,
    versions: list[PublishedVersion],
) -> dict[str, str]:
    """Return the versions that something needs, each with the reason."""
    alias = read_alias(functions, target.function, target.alias)
    needed = {target.stack_version: "CloudFormation has the alias on it"}
    needed |= _find_way_back(functions, codedeploy, target, alias, versions)
    pages = functions.get_paginator("list_aliases").paginate(FunctionName=target.function)
    for page in pages:
        for one in page["Aliases"]:
            routing: Any = one.get("RoutingConfig") or {}
            weights = routing.get("AdditionalVersionWeights") or {}
            needed |= dict.fromkeys(
                (one["FunctionVersion"], *weights), f"alias {one['Name']} refers to it"
            )
    return needed


def _find_way_back(
    functions: "LambdaClient",
    codedeploy: "CodeDeployClient",
    target: Target,
    alias: Alias,
    versions: list[PublishedVersion],
) -> dict[str, str]:
    """Return the version to which a rollback would go, or most likely would, and why it stays."""
    previous = find_previous(alias, read_history(functions, codedeploy, target, alias.version))
    if previous and any(previous == one.number for one in versions):
        return {previous: "a rollback would go to it"}
    guess = guess_previous(codedeploy, target, alias, versions)
    why = f"no deployment says which version served before {alias.version}, so it may be this one"
    return {guess: why} if guess else {}


def _list_unused(
    functions: "LambdaClient",
    function: str,
    gone: list[PublishedVersion],
    stay: list[PublishedVersion],
) -> tuple[str, ...]:
    """Return the layers that only the deleted versions use; $LATEST may use them, too."""
    latest = functions.get_function_configuration(FunctionName=function)
    used = {layer["Arn"] for layer in latest.get("Layers", [])}
    used |= {arn for version in stay for arn in version.layers}
    return tuple(sorted({arn for version in gone for arn in version.layers} - used))
