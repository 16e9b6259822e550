"""What to know before a deploy: all of it at once, each with what to do about it."""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from infra.project import Project
from infra.release.alarm import Firing, list_firing
from infra.release.alias import Alias, read_alias, tell_transition
from infra.release.build import Build
from infra.release.deployments import CodeDeployment, find_running
from infra.release.freeze import find_freeze, read_scaling, tell_duration
from infra.release.resync import agrees
from infra.release.target import Target
from infra.stack import Deployment

if TYPE_CHECKING:
    from mypy_boto3_application_autoscaling import ApplicationAutoScalingClient
    from mypy_boto3_cloudwatch import CloudWatchClient
    from mypy_boto3_codedeploy import CodeDeployClient
    from mypy_boto3_lambda import LambdaClient

# CodeDeployHook_<stack>_gate is the gate's name, and 64 characters are the most a function's has.
MAX_NAME = 64 - len("CodeDeployHook__gate")
ALL_AT_ONCE = "AllAtOnce"
RATE_PER_EXECUTION = 10  # requests a second, for each execution at a time
QUOTA_CODE = "L-B99A9384"  # of Lambda's concurrent executions, in Service Quotas


class Level(StrEnum):
    """What a finding means: stop, ask, or just say."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True)
class Finding:
    """One finding, and in the same sentence what to do."""

    level: Level
    text: str


@dataclass(frozen=True)
class Wish:
    """What to deploy: the parameters that are set, and whether the alias may be resynced first."""

    build: Build
    overrides: Mapping[str, str]
    resync: bool

    @property
    def deployment_type(self) -> str:
        """CodeDeploy's configuration, which has the template's default if nothing sets it."""
        return self.values({}).get("DeploymentType", "")

    def values(self, deployed: Mapping[str, str]) -> dict[str, str]:
        """Return the value that each parameter will have: set, as deployed, or by default."""
        declared = self.build.template.get("Parameters", {})
        defaults = {key: str(one.get("Default", "")) for key, one in declared.items()}
        held = {key: value for key, value in deployed.items() if key in declared}
        return {**defaults, **held, **self.overrides}


def inspect_wish(name: str, wish: Wish) -> Iterator[Finding]:
    """Yield what is wrong before AWS is asked anything."""
    if len(name) > MAX_NAME:
        yield Finding(
            Level.ERROR,
            f"the stack's name has {len(name)} characters, at most {MAX_NAME} leave room for the "
            "name of its gate function: choose a shorter one",
        )
    declared = wish.build.template.get("Parameters", {})
    for key in wish.overrides.keys() - declared.keys():
        yield Finding(
            Level.ERROR,
            f"the template has no parameter {key}, and SAM would not say so: correct "
            "samconfig.toml or --parameter",
        )
    for key, value in wish.overrides.items():
        allowed = [str(one) for one in declared.get(key, {}).get("AllowedValues", [])]
        if allowed and value not in allowed:
            yield Finding(Level.ERROR, f"{key} is {value!r}, expected one of {', '.join(allowed)}")
        elif declared.get(key, {}).get("Type") == "Number":
            yield from _judge_number(key, value, declared[key])


def _judge_number(key: str, value: str, declared: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield that a value is no number, or is out of its parameter's range."""
    number = _read_number(value)
    least, most = declared.get("MinValue", -math.inf), declared.get("MaxValue", math.inf)
    if number is None:
        yield Finding(Level.ERROR, f"{key} is {value!r}, expected a number")
    elif not least <= number <= most:
        yield Finding(Level.ERROR, f"{key} is {value}, expected {least} to {most}")


def _read_number(value: str) -> float | None:
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def inspect_sources(project: Project) -> Iterator[Finding]:
    """Yield that the build is out of date, if a source was written after it."""
    built = (project.build / "template.yaml").stat().st_mtime
    sources = [project.template, *project.functions.rglob("*"), *project.layers.rglob("*")]
    newer = [
        path
        for path in sources
        if path.is_file() and "__pycache__" not in path.parts and path.stat().st_mtime > built
    ]
    if newer:
        others = f" and {len(newer) - 1} more" if len(newer) > 1 else ""
        yield Finding(
            Level.WARNING,
            f"sources are newer than {project.build} ({newer[0]}{others}): `sam build` first",
        )


def inspect_stack(  # noqa: PLR0913 each client is one service of AWS
    functions: "LambdaClient",
    codedeploy: "CodeDeployClient",
    cloudwatch: "CloudWatchClient",
    scaling: "ApplicationAutoScalingClient",
    *,
    deployment: Deployment,
    target: Target,
    wish: Wish,
    publishes: bool | None,
    now: datetime,
) -> Iterator[Finding]:
    """Yield what stands in the way of a release of a stack that exists."""
    yield from judge_state(target.stack, deployment.status)
    running = find_running(codedeploy, target)
    if running:
        yield judge_running(running)
    else:  # it moves the alias itself
        alias = read_alias(functions, target.function, target.alias)
        yield from judge_alias(alias, target, resync=wish.resync, publishes=publishes)
    firing = list_firing(cloudwatch, deployment.output("AlarmTopicArn"))
    yield from judge_alarms(firing, target.stack)
    if publishes is False:
        return
    actions, targets = read_scaling(scaling, target.function, target.alias)
    freeze = find_freeze(actions, targets, now, tell_duration(wish.deployment_type))
    if freeze:
        yield Finding(
            Level.ERROR,
            f"{freeze}, and that cannot change while a canary runs: deploy later, or without one: "
            f"`infra deploy --parameter DeploymentType={ALL_AT_ONCE}`",
        )


def inspect_quota(functions: "LambdaClient", parameters: Mapping[str, str]) -> Iterator[Finding]:
    """Yield the parameters that do not fit what the account may run at a time."""
    try:
        limits = functions.get_account_settings()["AccountLimit"]
    except ClientError as error:
        text = f"Lambda's quota of this account is unknown: {error}"
        yield Finding(Level.NOTE, text)
        return
    yield from judge_quota(
        limits["ConcurrentExecutions"],
        limits["UnreservedConcurrentExecutions"],
        functions.meta.region_name,
        parameters,
    )


def judge_quota(
    quota: int, free: int, region: str, parameters: Mapping[str, str]
) -> Iterator[Finding]:
    """Yield the parameters that ask for more executions at a time than an account has free.

    `quota` is the account's total, `free` what no other function has reserved of it.

    Source: docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html: an account has 1,000, a
    new one fewer, and for each of them ten requests a second.
    """
    at_once = f"runs {free} requests at a time"
    rate = f"takes {free * RATE_PER_EXECUTION} requests a second"
    for key, each, most in (
        ("MaxConcurrency", 1, at_once),
        ("ThrottleRate", RATE_PER_EXECUTION, rate),
        ("ThrottleBurst", 1, at_once),
    ):
        wanted, limit = _read_number(parameters.get(key, "")), free * each
        if wanted and wanted > limit:
            desired = quota - free + math.ceil(wanted / each)
            yield Finding(
                Level.WARNING,
                f"{key} is {wanted:g}, but Lambda {most} for this account in {region}: set "
                f"{key}={limit}; or ask for more: `aws service-quotas "
                f"request-service-quota-increase --service-code lambda --quota-code {QUOTA_CODE} "
                f"--desired-value {desired} --region {region}`",
            )


def judge_state(stack: str, status: str) -> Iterator[Finding]:
    """Yield why a stack in this state cannot be updated."""
    events = f"`aws cloudformation describe-stack-events --stack-name {stack}`"
    remedies = {
        "UPDATE_ROLLBACK_FAILED": f"fix what its events name ({events}), then "
        f"`aws cloudformation continue-update-rollback --stack-name {stack}`",
        "ROLLBACK_COMPLETE": f"its creation failed; fix what its events name ({events}), then "
        f"`sam delete --stack-name {stack}` and `infra deploy`",
    }
    if status.endswith("_IN_PROGRESS"):
        yield Finding(
            Level.ERROR, f"stack {stack} is {status}: wait until that is over (`infra status`)"
        )
    elif status in remedies or status.endswith("_FAILED"):
        remedy = remedies.get(status, f"see its events: {events}")
        yield Finding(Level.ERROR, f"stack {stack} is {status}: {remedy}")


def judge_running(running: CodeDeployment) -> Finding:
    """Say that a release is in progress."""
    return Finding(
        Level.ERROR,
        f"deployment {running.id} of {running.subject} is in progress ({running.status}): "
        "wait for it, or stop it with `infra rollback`",
    )


def judge_alias(
    alias: Alias, target: Target, *, resync: bool, publishes: bool | None
) -> Iterator[Finding]:
    """Yield what CodeDeploy would refuse about the alias, or what a resync will do about it.

    Without a new version the alias does not change in the stack, and CodeDeploy is not asked.
    """
    if agrees(alias, target):
        return
    shared = f" with a share for {' and '.join(alias.weights)}" if alias.weights else ""
    where = f"{alias.name} is on version {alias.version}{shared}"
    if publishes is False and not resync:
        yield Finding(Level.NOTE, f"{where}: no version will be published, so it stays as it is")
    elif alias.transition and alias.version == target.believed:
        yield Finding(Level.ERROR, tell_transition(alias))
    elif alias.version == target.believed and not resync:
        yield Finding(
            Level.ERROR,
            f"{where}, and CodeDeploy takes no alias with shares: `infra promote` or "
            "`infra rollback` first, or `infra deploy --resync`",
        )
    elif not resync:
        yield Finding(
            Level.ERROR,
            f"{where}, CloudFormation believes it to be on {target.believed}: `infra deploy "
            f"--resync`, which gives version {target.believed} all traffic while the new one is "
            "published and checked",
        )
    else:
        yield Finding(
            Level.NOTE,
            f"{where}: version {target.believed} will get ALL traffic as soon as the build is "
            "uploaded, until the new version has passed the gate and gets all at once; if that "
            f"fails, version {alias.version} will get the traffic back",
        )


def judge_alarms(firing: Iterable[Firing], stack: str) -> Iterator[Finding]:
    """Yield the alarms that fire; a fix must be deployable all the same.

    Release alarms do not count: the next release has its own.
    """
    for alarm in firing:
        if not alarm.is_release_alarm(stack):
            yield Finding(
                Level.WARNING,
                f"alarm {alarm.name} fires, so the service is not well already: deploy only what "
                "fixes it (`infra logs --errors`)",
            )


def judge_parameters(
    before: Mapping[str, str], after: Mapping[str, str], *, publishes: bool | None
) -> Iterator[Finding]:
    """Yield the parameters that take effect at once, because no version is published with them."""
    if publishes is not False:
        return
    for key, value in after.items():
        if key in before and before[key] != value:
            yield Finding(
                Level.NOTE,
                f"{key} changes from {before[key]} to {value} and nothing else does: no version is "
                "published, so it takes effect at once, without a canary",
            )
