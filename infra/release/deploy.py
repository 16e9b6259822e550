"""A deploy: SAM or, on the local run, CloudFormation itself; then how the release ended."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from infra.cloudwatch.logs import parse, read
from infra.release.alias import Move, Record, move_alias, read_alias, tell_time
from infra.release.deployments import find_running, list_ids, read_deployments
from infra.release.errors import ReleaseError
from infra.release.freeze import tell_step
from infra.release.target import Target
from infra.release.version import tell_failure
from infra.stack import describe, list_resources

if TYPE_CHECKING:
    import boto3
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_codedeploy import CodeDeployClient
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_logs import CloudWatchLogsClient

POLL_SECONDS = 1
LOOKS = 10  # at the gate's log
VERDICT = '"checks"'  # only the line with the gate's verdict has it
GATE_SECONDS = 660  # more than the gate's own timeout


@dataclass(frozen=True)
class Outcome:
    """How a deploy ended: `result` is created, promoted, unchanged or rolled back.

    `version` is the one that has the traffic, `reason` why another was rolled back, and `status`
    how CodeDeploy's deployment ended: after a check that it failed as Failed, after an alarm or a
    person's command as Stopped. `remark` is what the gate said of a version that it let pass.
    """

    result: str
    version: str
    deployment: str = ""
    reason: str = ""
    status: str = ""
    remark: str = ""


def run_sam(arguments: Sequence[str], directory: Path, output: TextIO | None = None) -> int:
    """Run `sam deploy` in a folder, at the terminal or into `output`; return its exit status."""
    command = (sys.executable, "-m", "samcli", "deploy", *arguments)
    return subprocess.run(command, check=False, cwd=directory, stdout=output).returncode


def arguments_of(
    *, stack: str, region: str, env: str, overrides: Mapping[str, str], asks: bool
) -> list[str]:
    """Return the arguments of `sam deploy`.

    Every parameter that samconfig.toml sets is named again: on the command line one replaces all.
    """
    given = [f'{key}="{value}"' for key, value in overrides.items()]
    return [
        *("--config-env", env, "--stack-name", stack, "--region", region),
        *(("--parameter-overrides", *given) if given else ()),
        *(() if asks else ("--no-confirm-changeset",)),
    ]


def update_stack(  # noqa: PLR0913 the last two say how to show it
    cloudformation: "CloudFormationClient",
    stack: str,
    template: str,
    parameters: Sequence[Any],
    *,
    tell: Callable[[str], None],
    news: Iterator[str],
    wait: Callable[[], None] = lambda: time.sleep(POLL_SECONDS),
) -> int:
    """Update the local run's stack, telling its states; return 0, or 1 if it was taken back.

    Between two looks at it one of the `news` of its release is told; an empty one is none.
    Raises ReleaseError if CloudFormation refuses to begin.
    """
    try:
        cloudformation.update_stack(
            StackName=stack,
            TemplateBody=template,
            Parameters=parameters,
            Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
        )
    except cloudformation.exceptions.ClientError as error:
        raise ReleaseError(
            f"CloudFormation refuses the update: {error.response['Error']['Message']} "
            "(`infra status` shows what serves)"
        ) from error
    told = ""
    while True:
        found = describe(cloudformation, stack)
        status = found.status if found else "gone"
        if status != told:
            tell(f"{stack}: {status}")
            told = status
        if not status.endswith("_IN_PROGRESS"):
            return 0 if status == "UPDATE_COMPLETE" else 1
        if text := next(news):
            tell(text)
        wait()


def follow(
    functions: "LambdaClient",
    codedeploy: "CodeDeployClient",
    target: Target,
    deployment_type: str,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Iterator[str]:
    """Yield at each look what is new of the release in progress; empty if nothing is."""
    known, share = "", 0.0
    step = tell_step(deployment_type)
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
            until = f" until about {clock() + step:%H:%M:%S} UTC" if step else ""
            yield f"{passed}{100 * share:g} % of the requests go to version {version}{until}."
        else:
            yield ""


def list_parameters(
    declared: Iterable[str], overrides: Mapping[str, str], deployed: Iterable[str]
) -> list[dict[str, Any]]:
    """Return the parameters of an update as SAM CLI sends them: what is not set stays."""
    held = set(deployed)
    return [
        {"ParameterKey": key, "ParameterValue": overrides[key]}
        if key in overrides
        else {"ParameterKey": key, "UsePreviousValue": True}
        for key in declared
        if key in overrides or key in held
    ]


def judge(
    codedeploy: "CodeDeployClient", target: Target, before: Iterable[str], status: int
) -> Outcome:
    """Find out what the deploy with this exit status did to the alias.

    `before` are the ids of the deployments that there were, and `target` is what CloudFormation
    tells now. Raises ReleaseError if it failed without a release, and so without a rollback of one,
    or while one is in progress.
    """
    known = set(before)
    ids = [one for one in list_ids(codedeploy, target) if one not in known]
    releases = [one for one in read_deployments(codedeploy, ids) if not one.is_rollback]
    release = releases[0] if releases else None
    if release and release.was_taken_back:
        current = release.current or target.believed
        return Outcome("rolled back", current, release.id, release.reason, release.status)
    if release and release.is_running:
        raise ReleaseError(
            f"the deploy ended with exit status {status} while deployment {release.id} of "
            f"{release.subject} is in progress: see `infra status`"
        )
    if release and status and release.problem:
        raise ReleaseError(f"the deploy failed; {release.tell_end()} See `infra status`")
    if release and status and target.believed != release.target:
        reason = "the stack's update failed after it: what CloudFormation says is above"
        return Outcome("rolled back", target.believed, release.id, reason, release.status)
    if status and not release:
        raise ReleaseError(
            f"the deploy failed with exit status {status} before a version got traffic: what "
            "CloudFormation says is above, and `infra logs --errors` what the function says"
        )
    if release:
        return Outcome("promoted", target.believed, release.id, status=release.status)
    return Outcome("unchanged", target.believed)


def list_gate_logs(cloudformation: "CloudFormationClient", stack: str) -> list[str]:
    """Return the log groups of a stack's gate: one, or none if the stack is of another kind."""
    groups = list_resources(cloudformation, stack, "AWS::Logs::LogGroup")
    return [group for group in groups if group.endswith("-gate")]


def read_gate(
    cloudformation: "CloudFormationClient",
    logs: "CloudWatchLogsClient",
    stack: str,
    since: datetime,
    levels: Collection[str],
) -> str:
    """Return what the gate said last at one of the levels, empty if nothing: ERROR is a refusal.

    Its log may come seconds after its verdict: that is looked for a few times.
    """
    groups = list_gate_logs(cloudformation, stack)
    for look in range(LOOKS if groups else 0):
        if look:
            time.sleep(POLL_SECONDS)
        lines = [
            event.line
            for group in groups
            for event in read(logs, group, int(since.timestamp() * 1e3))
        ]
        said = [_read_message(line) for line in lines if parse(line).level in levels]
        if said or any(VERDICT in line for line in lines):
            return said[-1] if said else ""
    return ""


def explain(outcome: Outcome, refusal: str) -> Outcome:
    """Give the gate's reason if it refused: CodeDeploy only says that a hook failed.

    What the gate still says after a deployment that was stopped did not end it.
    """
    refusal = refusal if outcome.status == "Failed" else ""
    return replace(outcome, reason=refusal or outcome.reason or "CodeDeploy does not say why")


def connect_to_gate(session: "boto3.Session") -> "LambdaClient":
    """Return a client that waits for the gate's verdict; a second call would only repeat it."""
    from botocore.config import Config

    config = Config(
        read_timeout=GATE_SECONDS, tcp_keepalive=True, retries={"total_max_attempts": 1}
    )
    return session.client("lambda", config=config)


def smoke_test(functions: "LambdaClient", gate: str) -> Mapping[str, Any]:
    """Run the gate by hand: CodeDeploy did not, as nothing is replaced when a stack is created.

    Raises ReleaseError unless everything is as model.json says.
    """
    answer = functions.invoke(FunctionName=gate, Payload="{}")
    payload = answer["Payload"].read()
    if "FunctionError" in answer:
        raise ReleaseError(
            f"the stack was created, but its gate fails: {tell_failure(payload)} "
            "(`infra logs --errors` has more)"
        )
    verdict: dict[str, Any] = json.loads(payload)
    if verdict.get("status") != "Succeeded":
        raise ReleaseError(
            "the stack was created and serves, but not as model.json says: "
            f"{verdict.get('reason')} (`infra logs --errors` has more)"
        )
    return verdict


def take_back(
    functions: "LambdaClient",
    codedeploy: "CodeDeployClient",
    target: Target,
    version: str,
    now: datetime,
) -> None:
    """Undo a resync after a deploy that failed: `version` gets all traffic again.

    Raises ReleaseError while CodeDeploy is at work, or if the alias is on a third version.
    """
    running = find_running(codedeploy, target)
    alias = read_alias(functions, target.function, target.alias)
    if running or alias.version not in {target.believed, version}:
        why = f"deployment {running.id} is in progress" if running else "somebody has moved it"
        raise ReleaseError(
            f"{target.alias} is on version {alias.version}, and {why}: see `infra status`, then "
            f"run `infra rollback --to {version}` if version {target.believed} serves"
        )
    if alias.version != version or alias.weights:
        record = Record("rolled back", alias.version, version, tell_time(now))
        move_alias(functions, alias, Move(version, record=record))


def _read_message(line: str) -> str:
    """Return what a line of the gate says, without the fields beside it."""
    try:
        return str(json.loads(line)["message"])
    except (KeyError, TypeError, ValueError):
        return parse(line).message
