"""Which version served before, by CodeDeploy's deployments and the alias' record."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from infra.release.alias import PROMOTED, ROLLED_BACK, Alias
from infra.release.deployments import CodeDeployment, list_ids, read_deployments
from infra.release.target import Target
from infra.release.version import PublishedVersion, list_versions

if TYPE_CHECKING:
    from mypy_boto3_codedeploy import CodeDeployClient
    from mypy_boto3_lambda import LambdaClient


def read_history(
    functions: "LambdaClient", codedeploy: "CodeDeployClient", target: Target, version: str
) -> list[CodeDeployment]:
    """Return the releases since a version was published, the newest first.

    The release that gave it the traffic is among them. Only these are read: a rollback must not
    wait for a thousand deployments.
    """
    published = _publication(list_versions(functions, target.function), version)
    since = {"createTimeRange": {"start": published.published}} if published else {}
    deployments = read_deployments(codedeploy, list_ids(codedeploy, target, **since))
    return [one for one in deployments if not one.is_rollback]


def find_previous(alias: Alias, history: Iterable[CodeDeployment]) -> str | None:
    """Return the version that served before the alias' own, None if nothing says which.

    If that version was itself rolled back, it is the one that replaced it. A release whose versions
    cannot be read hides which one served before it.
    """
    record = alias.record
    if record and record.verb == PROMOTED and record.target == alias.version:
        return record.source
    for release in history:
        if release.status == "Succeeded" and release.problem:
            return None
        if release.status == "Succeeded" and release.target == alias.version != release.current:
            if record and record.verb == ROLLED_BACK and record.source == release.current:
                return record.target
            return release.current
    return None


def guess_previous(
    codedeploy: "CodeDeployClient",
    target: Target,
    alias: Alias,
    versions: Iterable[PublishedVersion],
) -> str | None:
    """Return the version that most likely served before, where the history does not say.

    It is the newest one older than the alias' own that no deployment has taken back; None without
    one.
    """
    ids = list_ids(codedeploy, target, includeOnlyStatuses=["Failed", "Stopped"])
    bad = {one.target for one in read_deployments(codedeploy, ids) if not one.is_rollback}
    older = [one.number for one in versions if int(one.number) < int(alias.version)]
    return next((number for number in reversed(older) if number not in bad), None)


def _publication(versions: Iterable[PublishedVersion], number: str) -> PublishedVersion | None:
    return next((version for version in versions if version.number == number), None)
