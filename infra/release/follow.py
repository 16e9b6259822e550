"""The fourth stage of a deploy: what happens until it is over."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import repeat
from typing import TYPE_CHECKING

from infra.account.account import Report
from infra.local.control.deployment_type import read_deployment_type
from infra.release.alias import read_alias
from infra.release.apply import BegunDeploy
from infra.release.deployments import find_running
from infra.release.target import Target

if TYPE_CHECKING:
    from mypy_boto3_codedeploy import CodeDeployClient
    from mypy_boto3_lambda import LambdaClient


def follow(begun: BegunDeploy, report: Report) -> int:
    """Wait until the stack's change is over; return its exit status, 0 if the stack has changed."""
    news: Iterator[str] = repeat("")
    if begun.before:
        session = begun.prepared.account.session
        news = read_news(
            session.client("lambda"),
            session.client("codedeploy"),
            begun.before.target,
            begun.prepared.deployment_type,
        )
    return begun.update.follow(report, news)


def read_news(
    functions: "LambdaClient",
    codedeploy: "CodeDeployClient",
    target: Target,
    deployment_type: str,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Iterator[str]:
    """Yield at each look what is new of the release in progress; empty if nothing is."""
    known, share = "", 0.0
    shift = read_deployment_type(deployment_type)
    while True:
        running = find_running(codedeploy, target)
        weights = read_alias(functions, target.function, target.alias).weights if running else {}
        if running is None or running.is_rollback:
            yield ""
        elif running.id != known:
            known = running.id
            yield f"Deployment {known} of {running.subject}: the gate tries it first."
        elif (new := sum(weights.values())) > share:
            version, passed = " and ".join(weights), "" if share else "The gate has passed: "
            share = new
            until = ""
            if shift and shift.interval:
                until = f" until about {clock() + shift.interval:%H:%M:%S} UTC"
            yield f"{passed}{100 * share:g} % of the requests go to version {version}{until}."
        else:
            yield ""
