"""The deployment that asks the gate: whether it goes on, and which version it is about.

Sources: docs.aws.amazon.com/codedeploy/latest/APIReference/API_DeploymentInfo.html, and
.../userguide/reference-appspec-file-structure-resources.html. That a rollback, which is a
deployment of its own, runs the hooks too is assumed.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

ENDED = {"Succeeded", "Failed", "Stopped"}
ROLLBACKS = {"codeDeployRollback", "CloudFormationRollback"}


@dataclass(frozen=True)
class Deployment:
    """A deployment from one version to another; "" for a version that cannot be read."""

    id: str
    status: str
    creator: str
    triggered_by: str
    current: str
    target: str

    @property
    def has_ended(self) -> bool:
        """Return whether nobody waits for the gate any more."""
        return self.status in ENDED

    def takes_back(self, own: str) -> bool:
        """Return whether this takes back the release of `own`, the version that has this gate.

        It then leads to what was served before. Where a person's own deployment leads, nobody
        knows.
        """
        leaves = self.current == own != self.target and self.creator != "user"
        return self.creator in ROLLBACKS or bool(self.triggered_by) or leaves


def read_deployment(codedeploy: Any, deployment_id: str) -> Deployment:
    """Read a deployment by boto3's client; raise what that raises."""
    info = codedeploy.get_deployment(deploymentId=deployment_id)["deploymentInfo"]
    revision = info.get("revision", {})
    held = revision.get("appSpecContent") or revision.get("string") or {}
    return Deployment(
        id=deployment_id,
        status=info.get("status", ""),
        creator=info.get("creator", ""),
        triggered_by=info.get("rollbackInfo", {}).get("rollbackTriggeringDeploymentId", ""),
        current=_read_version(held, "CurrentVersion"),
        target=_read_version(held, "TargetVersion"),
    )


def _read_version(held: Mapping[str, str], key: str) -> str:
    """Find a version's number in an AppSpec, "" unless there is exactly one.

    An AppSpec is JSON or YAML, with its keys in any case. Lambda's Python has no parser for YAML,
    and in both forms a number follows its key.
    """
    pattern = rf"""\b{key}["']?\s*:\s*["']?(\d+)\b"""
    numbers = set(re.findall(pattern, held.get("content", ""), re.IGNORECASE))
    return numbers.pop() if len(numbers) == 1 else ""
