"""The last stage of a deploy: how it ended."""

from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from infra.cloudwatch.logs import ERROR_LEVELS
from infra.release.alias import PROMOTED, ROLLED_BACK
from infra.release.apply import BegunDeploy
from infra.release.deployments import list_ids, read_deployments
from infra.release.errors import ReleaseError
from infra.release.gate import connect_to_gate, read_gate, smoke_test
from infra.release.prepare import ABSENT
from infra.release.target import Target, read_target
from infra.stack import DeployedStack, describe_stack

if TYPE_CHECKING:
    from mypy_boto3_codedeploy import CodeDeployClient

CREATED = "created"


@dataclass(frozen=True)
class Verdict:
    """How a deploy ended: `result` is created, promoted, unchanged or rolled back.

    `version` is the one that has the traffic, `reason` why another was rolled back, and `status`
    how CodeDeploy's deployment ended: Failed after a check that failed, Stopped after an alarm or a
    person's command. `remark` is what the gate said of a version that it let pass.
    """

    result: str
    version: str
    deployment: str = ""
    reason: str = ""
    status: str = ""
    remark: str = ""

    def __str__(self) -> str:
        has_all = f"version {self.version} has all traffic ({self.deployment})"
        if self.result == CREATED:
            return f"Created: version {self.version} serves, and its smoke test passed."
        if self.result == PROMOTED:
            remark = f" The gate said: {self.remark}" if self.remark else ""
            return f"Promoted: {has_all}.{remark}"
        if self.result == ROLLED_BACK:
            return f"Rolled back: {has_all}: {self.reason}"
        return f"No version was published; version {self.version} serves as before."


def conclude(begun: BegunDeploy, status: int, way_back: ExitStack) -> Verdict:
    """Find out how a deploy with this exit status ended, and go the way back unless it succeeded.

    Raises ReleaseError if it failed without a release.
    """
    prepared, before = begun.prepared, begun.before
    found = describe_stack(prepared.account, prepared.name)
    if before is None:
        return _conclude_creation(found, status)
    if found is None:
        raise ReleaseError(f"stack {prepared.name} is gone: `infra deploy` creates it")
    codedeploy = found.session.client("codedeploy")
    verdict = judge(codedeploy, read_target(found), before.deployments, status)
    if verdict.result == PROMOTED:
        way_back.pop_all()
        return replace(verdict, remark=read_gate(found, begun.time, {"WARNING"}))
    way_back.close()
    verdict = replace(verdict, version=before.alias.version)
    if verdict.result == ROLLED_BACK:
        return explain(verdict, read_gate(found, begun.time, ERROR_LEVELS))
    return verdict


def judge(
    codedeploy: "CodeDeployClient", target: Target, before: Iterable[str], status: int
) -> Verdict:
    """Find out what a deploy with this exit status did to the alias.

    `before` are the ids of the deployments that there were, and `target` is what CloudFormation
    says now. Raises ReleaseError if it failed without a release, and so without a rollback of one,
    or while one is in progress.
    """
    known = set(before)
    ids = [one for one in list_ids(codedeploy, target) if one not in known]
    releases = [one for one in read_deployments(codedeploy, ids) if not one.is_rollback]
    release = releases[0] if releases else None
    if release and release.was_taken_back:
        current = release.current or target.stack_version
        return Verdict(ROLLED_BACK, current, release.id, release.reason, release.status)
    if release and release.is_running:
        raise ReleaseError(
            f"the deploy ended with exit status {status} while deployment {release.id} of "
            f"{release.subject} is in progress: see `infra status`"
        )
    if release and status and release.problem:
        raise ReleaseError(f"the deploy failed; {release.describe_end()} See `infra status`")
    if release and status and target.stack_version != release.target:
        reason = "the stack's update failed after it: what CloudFormation says is above"
        return Verdict(ROLLED_BACK, target.stack_version, release.id, reason, release.status)
    if status and not release:
        raise ReleaseError(
            f"the deploy failed with exit status {status} before a version got traffic: what "
            "CloudFormation says is above, and `infra logs --errors` what the function says"
        )
    if release:
        return Verdict(PROMOTED, target.stack_version, release.id, status=release.status)
    return Verdict("unchanged", target.stack_version)


def explain(verdict: Verdict, refusal: str) -> Verdict:
    """Give the gate's reason if it refused: CodeDeploy only says that a hook failed.

    What the gate still says after a deployment was stopped did not end that deployment.
    """
    refusal = refusal if verdict.status == "Failed" else ""
    return replace(verdict, reason=refusal or verdict.reason or "CodeDeploy does not say why")


def _conclude_creation(created: DeployedStack | None, status: int) -> Verdict:
    if status:
        raise ReleaseError(
            "the stack was not created: what CloudFormation says is above; then `infra deploy`"
        )
    if created is None or created.status in ABSENT:
        raise ReleaseError(
            "the stack was not created: SAM CLI was told not to; `infra deploy` asks again"
        )
    functions = connect_to_gate(created.session)
    tried = smoke_test(functions, created.output("GateFunctionName"))
    return Verdict(CREATED, str(tried["version"]))
