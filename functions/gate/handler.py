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

from gate.errors import OutOfTimeError

# The alias' name in template.yaml. A reference to it would be a circle: it waits for this function.
ALIAS = "live"
RESERVE = 30  # seconds for the report, with every retry
LONGEST = 500  # characters of a reason
SPEAKING = ("gate.", "serving.", "botocore.")  # their errors are written for people


@dataclass
class Outcome:
    """What the gate decided about a version, after how many checks that were passed."""

    version: str = ""
    checks: int = 0
    status: str = "Failed"
    reason: str = ""
    notes: list[str] = field(default_factory=list)  # what could not be checked, and why
    answers: list[dict[str, Any]] = field(default_factory=list)  # how they have changed


def handler(event: Mapping[str, str], context: Any) -> dict[str, Any]:
    """Examine the version in INFERENCE_VERSION, tell CodeDeploy if it asked, and return the same.

    Raises what the call to CodeDeploy raises; Lambda then runs the hook again.
    """
    outcome = _examine(context.get_remaining_time_in_millis() / 1e3 - RESERVE)
    _log(outcome)
    if "DeploymentId" in event:
        _report(event, outcome.status)
    return {
        "status": outcome.status,
        "reason": outcome.reason,
        "version": outcome.version,
        "checks": outcome.checks,
        "notes": outcome.notes,
        "answers": outcome.answers,
    }


def _examine(seconds: float) -> Outcome:
    outcome = Outcome()
    try:
        with _time_limit(seconds):
            function, _, outcome.version = os.environ["INFERENCE_VERSION"].rpartition(":")
            for _ in _checks(function, outcome):
                outcome.checks += 1
        outcome.status = "Succeeded"
    except BaseException as error:  # even one that would end the process is reported
        outcome.reason = " ".join(_explain(error).split())[:LONGEST]
    return outcome


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
    replaced = client.get_alias(FunctionName=function, Name=ALIAS)["FunctionVersion"]
    new, old = Version(client, function, outcome.version), Version(client, function, replaced)

    def find(change: Change) -> None:
        outcome.answers.append(change.to_dict())

    return check(manifest, new, old, limits, outcome.notes.append, find)


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
    """Tell what happened; not in the words of what is unforeseen, which may quote a sample."""
    kind = type(error)
    if isinstance(error, ImportError) or kind.__module__.startswith(SPEAKING):
        return str(error)
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"the gate failed: {kind.__name__} in {PurePath(frame.filename).name}:{frame.lineno}"


def _log(outcome: Outcome) -> None:
    """Write the one line that says what was decided, and why."""
    remarks = [change["text"] for change in outcome.answers if change["colour"] != "green"]
    if outcome.status == "Failed":
        level, verdict = "ERROR", f"refused: {outcome.reason}"
    elif remarks:
        level, verdict = "WARNING", f"passed; look at how its answers change: {'; '.join(remarks)}"
    else:
        level, verdict = "INFO", "passed"
    message = f"version {outcome.version or 'unknown'} {verdict}"
    details: dict[str, Any] = {
        "checks": outcome.checks,
        "notes": outcome.notes,
        "answers": [change["text"] for change in outcome.answers],
    }
    try:
        from serving.telemetry import logger

        getattr(logger, level.lower())(message, **details)
    except Exception:  # the layer with the logger may be what is broken
        print(json.dumps({"level": level, "message": message, **details}))  # noqa: T201 to the log


def _report(event: Mapping[str, str], status: str) -> None:
    try:
        make_client("codedeploy", read_timeout=5).put_lifecycle_event_hook_execution_status(
            deploymentId=event["DeploymentId"],
            lifecycleEventHookExecutionId=event["LifecycleEventHookExecutionId"],
            status=status,
        )
    except Exception as error:
        message = f"CodeDeploy was not told {status}: {error}"
        print(json.dumps({"level": "ERROR", "message": message}))  # noqa: T201 to the log
        raise
