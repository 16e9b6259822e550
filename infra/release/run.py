"""`infra deploy`, step by step."""

import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import repeat
from typing import TYPE_CHECKING

from infra.cloudwatch.logs import ERROR_LEVELS
from infra.project import Project
from infra.release import deploy
from infra.release.alias import Move, move_alias, read_alias
from infra.release.build import complete, publishes, read_build, read_deployed
from infra.release.deploy import Outcome
from infra.release.deployments import list_ids
from infra.release.errors import ReleaseError
from infra.release.preflight import (
    ALL_AT_ONCE,
    Finding,
    Level,
    Wish,
    inspect_quota,
    inspect_sources,
    inspect_stack,
    inspect_wish,
    judge_parameters,
    judge_state,
)
from infra.release.resync import agrees
from infra.release.target import Target, read_target
from infra.release.version import list_versions
from infra.stack import Deployment, describe, is_local

if TYPE_CHECKING:
    import boto3

# With these states a stack has no resources yet: SAM CLI creates it.
ABSENT = {"REVIEW_IN_PROGRESS", "DELETE_COMPLETE"}
INSTEAD_OF_BAD = {"DeploymentType": ALL_AT_ONCE, "MaxAnswerChange": "100"}
# Of a release in progress.
HINT = "`infra status` shows it, `infra rollback` takes it back"


@dataclass(frozen=True)
class Job:
    """One deploy: of `wish`, to a stack that exists or (None) will be created."""

    project: Project
    name: str
    env: str
    session: "boto3.Session"
    wish: Wish
    deployment: Deployment | None
    publishes: bool | None

    @property
    def target(self) -> Target | None:
        """The alias that will move, None if there is none yet."""
        return read_target(self.deployment) if self.deployment else None

    @property
    def text(self) -> str:
        """Say what will happen."""
        what = f"stack {self.name} in {self.session.region_name} from {self.project.build}"
        if not self.deployment:
            return f"Create {what}."
        if self.publishes is False:
            return f"Update {what}; no version will be published: none would differ."
        published = "a new version" if self.publishes else "a new version if anything differs"
        return f"Update {what}: {published}, released {self.wish.deployment_type}."


def prepare(  # noqa: PLR0913 to be divided
    project: Project,
    name: str,
    session: "boto3.Session",
    env: str,
    given: Mapping[str, str],
    *,
    resync: bool,
) -> Job:
    """Read what was built, what is set, and what is deployed; raise DeploymentError."""
    build = read_build(project.build)
    cloudformation = session.client("cloudformation")
    overrides = given if is_local() else {**project.read_parameter_overrides(env), **given}
    found = describe(cloudformation, name)
    if found is None or found.status in ABSENT:
        return Job(project, name, env, session, Wish(build, overrides, resync), None, None)
    deployment = Deployment(name, found.outputs, session, found.status, found.parameters)
    if not found.outputs:  # its creation failed or is not over, or it is another kind of stack
        for one in judge_state(name, found.status):
            raise ReleaseError(one.text)
    target = read_target(deployment)
    functions = session.client("lambda")
    differs = publishes(build, read_deployed(cloudformation, name))
    numbers = [one.number for one in list_versions(functions, target.function)]
    overrides = complete(build, overrides, numbers, target.believed, publishes=differs)
    if resync and not agrees(read_alias(functions, target.function, target.alias), target):
        # The version to replace is known to be bad: no canary next to it, no answers like its own.
        known = build.template.get("Parameters", {})
        chosen = INSTEAD_OF_BAD | {key: given[key] for key in {"MaxAnswerChange"} & given.keys()}
        overrides |= {key: value for key, value in chosen.items() if key in known}
    return Job(project, name, env, session, Wish(build, overrides, resync), deployment, differs)


def preflight(job: Job, now: datetime) -> list[Finding]:
    """Return all that is to know before the deploy, the worst first."""
    before = job.deployment.parameters if job.deployment else {}
    findings = [
        *inspect_wish(job.name, job.wish),
        *inspect_sources(job.project),
        *inspect_quota(job.session.client("lambda"), job.wish.values(before)),
    ]
    if job.deployment and job.target:
        findings += inspect_stack(
            job.session.client("lambda"),
            job.session.client("codedeploy"),
            job.session.client("cloudwatch"),
            job.session.client("application-autoscaling"),
            deployment=job.deployment,
            target=job.target,
            wish=job.wish,
            publishes=job.publishes,
            now=now,
        )
        findings += judge_parameters(before, job.wish.overrides, publishes=job.publishes)
        if job.wish.resync and job.publishes is False:
            findings.append(
                Finding(
                    Level.ERROR,
                    "the build is what is deployed, and a resync would bring back the version that "
                    "was rolled back: fix the model, then `sam build && infra deploy --resync`",
                )
            )
    return sorted(findings, key=lambda one: list(Level).index(one.level))


def run(job: Job, tell: Callable[[str], None], *, quiet: bool, asks: bool) -> Outcome:
    """Deploy; after a resync that led nowhere, give the traffic back to the version before.

    With `quiet`, what SAM CLI prints goes to standard error; with `asks` it may ask for itself.
    Raises DeploymentError.
    """
    target, began = job.target, datetime.now(UTC)
    if target is None:
        if _deploy(job, tell, quiet=quiet, asks=asks):
            raise ReleaseError(
                "the stack was not created: what CloudFormation says is above; then `infra deploy`"
            )
        return _smoke_test(job)
    functions = job.session.client("lambda")
    codedeploy = job.session.client("codedeploy")
    before = list_ids(codedeploy, target)
    alias = read_alias(functions, target.function, target.alias)
    resyncs = job.wish.resync and not agrees(alias, target)
    if resyncs:
        # Whatever takes long or may fail comes first: from here on the bad version serves.
        _upload(job, quiet=quiet, tell=tell)
        move_alias(functions, alias, Move(target.believed))
        tell(f"Version {target.believed} has all traffic for now.")
    outcome = None
    try:
        status = _deploy(job, tell, quiet=quiet, asks=asks and not resyncs)
        outcome = deploy.judge(codedeploy, _now(job), before, status)
    finally:
        released = outcome is not None and outcome.result == "promoted"
        if resyncs and not released:
            deploy.take_back(functions, codedeploy, target, alias.version, datetime.now(UTC))
            tell(f"Version {alias.version} has all traffic again.")
    if outcome is None:
        return outcome
    if released:
        return replace(outcome, remark=_read_gate(job, began, {"WARNING"}))
    outcome = replace(outcome, version=alias.version)
    if outcome.result != "rolled back":
        return outcome
    return deploy.explain(outcome, _read_gate(job, began, ERROR_LEVELS))


def _read_gate(job: Job, since: datetime, levels: Collection[str]) -> str:
    cloudformation, logs = job.session.client("cloudformation"), job.session.client("logs")
    return deploy.read_gate(cloudformation, logs, job.name, since, levels)


def _deploy(job: Job, tell: Callable[[str], None], *, quiet: bool, asks: bool) -> int:
    if job.target and job.publishes is not False:
        tell(f"While the release is in progress, in another terminal {HINT}.")
    if is_local():
        template = (job.wish.build.directory / "template.yaml").read_text("utf-8")
        cloudformation = job.session.client("cloudformation")
        parameters = deploy.list_parameters(
            job.wish.build.template.get("Parameters", {}),
            job.wish.overrides,
            job.deployment.parameters if job.deployment else {},
        )
        return deploy.update_stack(
            cloudformation, job.name, template, parameters, tell=tell, news=_follow(job)
        )
    return deploy.run_sam(
        _arguments(job, asks=asks), job.project.root, sys.stderr if quiet else None
    )


def _follow(job: Job) -> Iterator[str]:
    functions, codedeploy = job.session.client("lambda"), job.session.client("codedeploy")
    if job.target is None:
        return repeat("")
    return deploy.follow(functions, codedeploy, job.target, job.wish.deployment_type)


def _upload(job: Job, *, quiet: bool, tell: Callable[[str], None]) -> None:
    """Let SAM CLI upload all and plan the change, which the deploy itself then finds done."""
    if is_local():
        return
    tell("Uploading, while nothing changes yet:")
    arguments = [*_arguments(job, asks=False), "--no-execute-changeset"]
    if deploy.run_sam(arguments, job.project.root, sys.stderr if quiet else None):
        raise ReleaseError(
            "nothing was changed: what SAM CLI says is above; then `infra deploy --resync`"
        )


def _arguments(job: Job, *, asks: bool) -> list[str]:
    return deploy.arguments_of(
        stack=job.name,
        region=job.session.region_name,
        env=job.env,
        overrides=job.wish.overrides,
        asks=asks,
    )


def _now(job: Job) -> Target:
    """Read the target again: CloudFormation may believe in another version now."""
    found = describe(job.session.client("cloudformation"), job.name)
    if found is None:
        raise ReleaseError(f"stack {job.name} is gone: `infra deploy` creates it")
    return read_target(Deployment(job.name, found.outputs, job.session))


def _smoke_test(job: Job) -> Outcome:
    found = describe(job.session.client("cloudformation"), job.name)
    if found is None or found.status in ABSENT:
        raise ReleaseError(
            "the stack was not created: SAM CLI was told not to; `infra deploy` asks again"
        )
    created = Deployment(job.name, found.outputs, job.session)
    functions = deploy.connect_to_gate(job.session)
    verdict = deploy.smoke_test(functions, created.output("GateFunctionName"))
    return Outcome("created", str(verdict["version"]))
