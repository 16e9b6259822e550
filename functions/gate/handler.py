"""CodeDeploy's pre-traffic hook: whatever happens, it reports whether a version may have requests.

Without a report the deployment would hang for an hour. So nothing that may be broken is imported
before it is asked for inside the handler: a layer, too, is part of what is released.
Source: docs.aws.amazon.com/codedeploy/latest/userguide/
reference-appspec-file-structure-hooks.html, "AppSpec 'hooks' section for an AWS Lambda deployment".
"""

import json
import os
import signal
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any, Literal

from gate.deployment import Deployment, read_deployment
from gate.errors import OutOfTimeError, RefusedError

# The alias' name in template.yaml. A reference to it would be a circle: it waits for this function.
ALIAS = "live"
RESERVE = 30  # seconds for the report, with every retry
VERDICTS = {  # with the level at which it is logged
    "Succeeded": ("INFO", "passed"),
    "Failed": ("ERROR", "refused"),
    "Skipped": ("INFO", "was not examined"),
}
LONGEST = 500  # characters of a reason
SPEAKING = ("gate.", "serving.", "botocore.")  # their errors are written for people


@dataclass
class Outcome:
    """What the gate decided about a version, after how many checks that were passed.

    `status` is Succeeded, Failed or, when nobody waits for a decision, Skipped.
    """

    version: str = ""
    checks: int = 0
    status: str = "Failed"
    reason: str = ""
    notes: list[str] = field(default_factory=list)  # what could not be checked, and why
    answers: list[dict[str, Any]] = field(default_factory=list)  # how they have changed


def handler(event: Mapping[str, str], context: Any) -> dict[str, Any]:
    """Examine the version in INFERENCE_VERSION; report to CodeDeploy, if it asked, and return that.

    A rollback passes at once. Raises what the call to CodeDeploy raises while its deployment waits;
    Lambda then runs the hook again.
    """
    outcome = Outcome()
    deployment = _identify(event, outcome)
    if deployment and deployment.has_ended:
        outcome.status, outcome.reason = "Skipped", _describe_end(deployment)
    else:
        _examine(deployment, outcome, context.get_remaining_time_in_millis() / 1e3 - RESERVE)
    _log(outcome)
    if "DeploymentId" in event and outcome.status != "Skipped":
        _report(event, outcome.status)
    return {
        "status": outcome.status,
        "reason": outcome.reason,
        "version": outcome.version,
        "checks": outcome.checks,
        "notes": outcome.notes,
        "answers": outcome.answers,
    }


def _identify(event: Mapping[str, str], outcome: Outcome) -> Deployment | None:
    """Read the deployment that asks; None by hand, or if it cannot be read."""
    if "DeploymentId" not in event:
        return None
    try:
        return read_deployment(make_client("codedeploy", read_timeout=5), event["DeploymentId"])
    except Exception as error:
        outcome.notes.append(f"deployment {event['DeploymentId']} cannot be read: {error}")
        return None


def _examine(deployment: Deployment | None, outcome: Outcome, seconds: float) -> None:
    try:
        with _time_limit(seconds):
            function, _, outcome.version = os.environ["INFERENCE_VERSION"].rpartition(":")
            if not (deployment and _takes_back(deployment, function, outcome)):
                for _ in _checks(function, outcome):
                    outcome.checks += 1
        outcome.status = "Succeeded"
    except BaseException as error:  # even one that would end the process is reported
        outcome.reason = " ".join(_explain(error).split())[:LONGEST]


def _takes_back(deployment: Deployment, function: str, outcome: Outcome) -> bool:
    """Return whether the deployment is a rollback, which must always pass.

    Raises RefusedError if it is about a version that came without this gate, and so with another
    model.json.
    """
    own, outcome.version = outcome.version, deployment.target or outcome.version
    if deployment.takes_back(own) or deployment.target == _read_served(function):
        outcome.notes.append(f"nothing was examined: deployment {deployment.id} is a way back")
        return True
    if outcome.version != own:
        raise RefusedError(
            f"this gate came with version {own} and cannot examine version {outcome.version}"
        )
    return False


def _checks(function: str, outcome: Outcome) -> Iterator[None]:
    from gate.answers import Change
    from gate.checks import Limits, check
    from gate.invocation import Version
    from serving.manifest import read_manifest

    limits = Limits(
        slowdown=float(os.environ["MAX_SLOWDOWN"]),
        contract_change=os.environ["ALLOW_CONTRACT_CHANGE"] == "true",
        answer_change=float(os.environ["MAX_ANSWER_CHANGE"]),
    )
    manifest = read_manifest(Path(os.environ.get("MODEL_DIR", "/opt/model")) / "model.json")
    # Longer than the function's own timeout and a cold start together.
    client = make_client("lambda", read_timeout=60)
    new = Version(client, function, outcome.version)
    old = Version(client, function, _read_served(function))

    def find(change: Change) -> None:
        outcome.answers.append(change.to_dict())

    return check(manifest, new, old, limits, outcome.notes.append, find)


def _read_served(function: str) -> str:
    """Return the version that the alias gives all traffic, or most of it."""
    alias = make_client("lambda", read_timeout=5).get_alias(FunctionName=function, Name=ALIAS)
    return str(alias["FunctionVersion"])


def make_client(service: Literal["codedeploy", "lambda"], read_timeout: int) -> Any:
    """Return boto3's client, which tries a call three times."""
    import boto3
    from botocore.config import Config

    return boto3.client(
        service,
        config=Config(
            connect_timeout=3,
            read_timeout=read_timeout,
            retries={"mode": "standard", "total_max_attempts": 3},
        ),
    )


@contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    """Raise OutOfTimeError in the block when `seconds` are over, wherever it then waits."""

    def give_up(*_: object) -> None:
        raise OutOfTimeError("out of time: the checks take longer than the gate has")

    if seconds <= 0:
        give_up()
    previous = signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


def _explain(error: BaseException) -> str:
    """Say what happened; an unforeseen error may quote a sample, so not in its own words."""
    kind = type(error)
    if isinstance(error, ImportError) or kind.__module__.startswith(SPEAKING):
        return str(error)
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"the gate failed: {kind.__name__} in {PurePath(frame.filename).name}:{frame.lineno}"


def _log(outcome: Outcome) -> None:
    """Write the one line that says what was decided, and why."""
    remarks = [change["text"] for change in outcome.answers if change["colour"] != "green"]
    level, verdict = VERDICTS[outcome.status]
    if outcome.reason:
        verdict = f"{verdict}: {outcome.reason}"
    elif remarks:
        level, verdict = "WARNING", f"passed; look at how its answers change: {'; '.join(remarks)}"
    message = f"version {outcome.version or 'unknown'} {verdict}"
    details: dict[str, Any] = {
        "checks": outcome.checks,
        "notes": outcome.notes,
        "answers": [change["text"] for change in outcome.answers],
    }
    try:
        from telemetry import logger

        getattr(logger, level.lower())(message, **details)
    except Exception:  # the layer with the logger may be what is broken
        print(json.dumps({"level": level, "message": message, **details}))  # noqa: T201 to the log


def _report(event: Mapping[str, str], status: str) -> None:
    client = make_client("codedeploy", read_timeout=5)
    try:
        client.put_lifecycle_event_hook_execution_status(
            deploymentId=event["DeploymentId"],
            lifecycleEventHookExecutionId=event["LifecycleEventHookExecutionId"],
            status=status,
        )
    except Exception as error:
        if over := _explain_lateness(client, event["DeploymentId"], error):
            print(json.dumps({"level": "INFO", "message": over}))  # noqa: T201 to the log
            return
        message = f"could not report {status} to CodeDeploy: {error}"
        print(json.dumps({"level": "ERROR", "message": message}))  # noqa: T201 to the log
        raise


def _explain_lateness(client: Any, deployment_id: str, error: Exception) -> str:
    """Say why nobody needs the report that failed; empty if somebody waits for it."""
    if isinstance(error, client.exceptions.LifecycleEventAlreadyCompletedException):
        return f"deployment {deployment_id} had a report already, and gets no other"
    try:
        deployment = read_deployment(client, deployment_id)
    except Exception:  # it decides as if the deployment waited
        return ""
    return f"{_describe_end(deployment)}, and gets no report" if deployment.has_ended else ""


def _describe_end(deployment: Deployment) -> str:
    return f"deployment {deployment.id} has ended as {deployment.status}"
