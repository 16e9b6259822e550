"""CodeDeploy's deployments of the function: each is one release that shifts the alias."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from infra.release.app_spec import read_app_spec
from infra.release.errors import ReleaseError
from infra.release.target import Target

if TYPE_CHECKING:
    from mypy_boto3_codedeploy import CodeDeployClient


RUNNING = ("Created", "Queued", "InProgress", "Baking", "Ready")
ROLLBACKS = {"codeDeployRollback", "CloudFormationRollback"}  # who creates one


@dataclass(frozen=True)
class CodeDeployment:
    """One deployment: from the version `current` to the version `target`.

    If these cannot be read, both are None and `problem` says why. `reason` is why the deployment
    did not succeed, in CodeDeploy's words.
    """

    id: str
    status: str
    created: datetime
    creator: str
    current: str | None
    target: str | None
    reason: str
    problem: str = ""
    triggered_by: str = ""  # the deployment that this one takes back

    @property
    def subject(self) -> str:
        """Name what is deployed, for a sentence."""
        return f"version {self.target}" if self.target else f"an unknown version ({self.problem})"

    @property
    def is_running(self) -> bool:
        """Tell whether it may still move the alias."""
        return self.status in RUNNING

    @property
    def is_rollback(self) -> bool:
        """Tell whether it takes a release back; what it replaces is the bad version."""
        return bool(self.triggered_by) or self.creator in ROLLBACKS

    @property
    def was_taken_back(self) -> bool:
        """Tell whether it ended with the alias where it began."""
        return self.status in {"Stopped", "Failed"}

    def describe_progress(self) -> str:
        """Say that it is in progress, and what to do about it."""
        return (
            f"deployment {self.id} of {self.subject} is in progress ({self.status}): wait for it, "
            "or stop it with `infra rollback`"
        )

    def describe_end(self) -> str:
        """Say how it ended, and why if it did not succeed."""
        why = f": {self.reason.rstrip('.')}" if self.reason else ""
        return f"Deployment {self.id} of {self.subject} ended as {self.status}{why}."


def list_ids(codedeploy: "CodeDeployClient", target: Target, **filters: Any) -> list[str]:
    """Return the ids of deployments, in no order that CodeDeploy promises."""
    pages = codedeploy.get_paginator("list_deployments").paginate(
        applicationName=target.application, deploymentGroupName=target.group, **filters
    )
    return [identity for page in pages for identity in page["deployments"]]


def read_deployments(codedeploy: "CodeDeployClient", ids: Iterable[str]) -> list[CodeDeployment]:
    """Read deployments; the newest comes first."""
    found = [_read(codedeploy.get_deployment(deploymentId=one)["deploymentInfo"]) for one in ids]
    return sorted(found, key=lambda one: one.created, reverse=True)


def find_running(codedeploy: "CodeDeployClient", target: Target) -> CodeDeployment | None:
    """Return the deployment that is in progress."""
    ids = list_ids(codedeploy, target, includeOnlyStatuses=list(RUNNING))
    return next(iter(read_deployments(codedeploy, ids)), None)


def refuse_while_running(codedeploy: "CodeDeployClient", target: Target) -> None:
    """Raise ReleaseError while a release is in progress: only CodeDeploy may move the alias."""
    running = find_running(codedeploy, target)
    if running:
        raise ReleaseError(running.describe_progress())


def stop(codedeploy: "CodeDeployClient", deployment: CodeDeployment) -> None:
    """Stop a release and let CodeDeploy take it back; raise ReleaseError if it is over."""
    try:
        codedeploy.stop_deployment(deploymentId=deployment.id, autoRollbackEnabled=True)
    except codedeploy.exceptions.DeploymentAlreadyCompletedException as error:
        raise ReleaseError(
            f"deployment {deployment.id} has just ended by itself: see `infra status`, then run "
            "`infra rollback` again if its version serves"
        ) from error


def _read(info: Any) -> CodeDeployment:
    """Read CodeDeploy's answer."""
    current, target, problem = None, None, ""
    try:
        current, target = read_app_spec(info.get("revision", {}))
    except ReleaseError as error:
        problem = str(error)
    messages = (
        info.get("errorInformation", {}).get("message"),
        info.get("rollbackInfo", {}).get("rollbackMessage"),
    )
    return CodeDeployment(
        id=info["deploymentId"],
        status=info["status"],
        created=info["createTime"],
        creator=info.get("creator", ""),
        current=current,
        target=target,
        reason=next((message for message in messages if message), ""),
        problem=problem,
        triggered_by=info.get("rollbackInfo", {}).get("rollbackTriggeringDeploymentId", ""),
    )
