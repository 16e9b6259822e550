"""The second stage of a deploy: all that a person should know before it, at once."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from infra.release.alias import read_alias
from infra.release.deployments import find_running
from infra.release.findings import (
    Finding,
    Level,
    judge_alarms,
    judge_alias,
    judge_freeze,
    judge_name,
    judge_parameters,
    judge_quota,
    judge_resync,
    judge_running,
    judge_sources,
    judge_state,
    judge_values,
)
from infra.release.freeze import estimate_duration, find_freeze, read_scaling
from infra.release.prepare import PreparedDeploy
from infra.release.target import Target
from infra.stack import DeployedStack

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient


def inspect(prepared: PreparedDeploy, now: datetime) -> list[Finding]:
    """Return what stands in the way of a deploy, or may surprise after it; the worst first."""
    functions = prepared.account.session.client("lambda")
    given, deployed = prepared.parameters, prepared.deployed_parameters
    findings = [
        *judge_name(prepared.name),
        *judge_values(prepared.template, given),
        *judge_sources(prepared.project),
        *_inspect_quota(functions, prepared.template.fill(given, deployed)),
    ]
    if prepared.stack and prepared.target:
        findings += _inspect_stack(prepared, prepared.stack, prepared.target)
        if prepared.publishes is not False:
            findings += _inspect_freeze(prepared, prepared.target, now)
        findings += judge_parameters(deployed, given, publishes=prepared.publishes)
        findings += judge_resync(resync=prepared.resync, publishes=prepared.publishes)
    return sorted(findings, key=lambda one: list(Level).index(one.level))


def _inspect_stack(
    prepared: PreparedDeploy, stack: DeployedStack, target: Target
) -> Iterator[Finding]:
    """Yield what is wrong with a stack that exists, or happens to it."""
    yield from judge_state(stack.name, stack.status)
    running = find_running(stack.session.client("codedeploy"), target)
    if running:
        yield judge_running(running)
    else:  # a deployment moves the alias itself
        alias = read_alias(stack.session.client("lambda"), target.function, target.alias)
        yield from judge_alias(alias, target, resync=prepared.resync, publishes=prepared.publishes)
    yield from judge_alarms(stack.list_firing_alarms(), stack.name)


def _inspect_freeze(prepared: PreparedDeploy, target: Target, now: datetime) -> Iterator[Finding]:
    """Yield why no canary may run now."""
    scaling = prepared.account.session.client("application-autoscaling")
    actions, targets = read_scaling(scaling, target.function, target.alias)
    duration = estimate_duration(prepared.deployment_type)
    yield from judge_freeze(find_freeze(actions, targets, now, duration))


def _inspect_quota(functions: "LambdaClient", parameters: Mapping[str, str]) -> Iterator[Finding]:
    """Yield the parameters that do not fit what the account may run at a time."""
    try:
        limits = functions.get_account_settings()["AccountLimit"]
    except ClientError as error:
        yield Finding(Level.NOTE, f"Lambda's quota of this account is unknown: {error}")
        return
    yield from judge_quota(
        limits["ConcurrentExecutions"],
        limits["UnreservedConcurrentExecutions"],
        functions.meta.region_name,
        parameters,
    )
