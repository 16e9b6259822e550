"""The gate as an operator sees it: what it logs, and a run of it by hand."""

import json
import time
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from infra.cloudwatch.logs import parse, read
from infra.release.errors import ReleaseError
from infra.release.version import describe_failure
from infra.stack import DeployedStack

if TYPE_CHECKING:
    import boto3
    from mypy_boto3_lambda import LambdaClient

POLL_SECONDS = 1
LOOKS = 10  # at its log
VERDICT = '"checks"'  # only the line with its verdict has this
GATE_SECONDS = 660  # more than its own timeout


def list_gate_logs(stack: DeployedStack) -> list[str]:
    """Return the log groups of a stack's gate: one, or none if the stack is of another kind."""
    groups = stack.list_resources("AWS::Logs::LogGroup")
    return [group for group in groups if group.endswith("-gate")]


def read_gate(stack: DeployedStack, since: datetime, levels: Collection[str]) -> str:
    """Return what the gate said last at one of the levels, empty if nothing: ERROR is a refusal.

    Its log may come seconds after its verdict, so it is read up to LOOKS times.
    """
    logs, groups = stack.session.client("logs"), list_gate_logs(stack)
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
            f"the stack was created, but its gate fails: {describe_failure(payload)} "
            "(`infra logs --errors` has more)"
        )
    verdict: dict[str, Any] = json.loads(payload)
    if verdict.get("status") != "Succeeded":
        raise ReleaseError(
            "the stack was created and serves, but not as model.json says: "
            f"{verdict.get('reason')} (`infra logs --errors` has more)"
        )
    return verdict


def _read_message(line: str) -> str:
    """Return what a line of the gate says, without its other fields."""
    try:
        return str(json.loads(line)["message"])
    except (KeyError, TypeError, ValueError):
        return parse(line).message
