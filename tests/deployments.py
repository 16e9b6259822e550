"""CodeDeploy as a hook knows it: a deployment that waits for the hook's report."""

import json
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import boto3

HOOK = {
    "DeploymentId": "d-A1B2C3D4E",
    "LifecycleEventHookExecutionId": "eyJlbmNyeXB0ZWREYXRhIjoi",
}
GET, REPORT = "GetDeployment", "PutLifecycleEventHookExecutionStatus"
ENDED = {"Succeeded", "Failed", "Stopped"}


@dataclass
class WaitingDeployment:
    """A deployment of CloudFormation's, which releases a version unless `info` says otherwise.

    `refusals` has the error codes of operations that CodeDeploy refuses.
    """

    info: dict[str, Any] = field(default_factory=dict)
    refusals: dict[str, str] = field(default_factory=dict)
    reports: list[str] = field(default_factory=list)

    def connect(self) -> Any:
        """Return boto3's client, which checks what it is given and sends nothing."""
        client = boto3.client("codedeploy", "eu-west-1")
        client.meta.events.register("before-call.codedeploy", self._respond)
        return client

    def _respond(self, model: Any, params: dict[str, Any], **_: Any) -> Any:
        asked = json.loads(params["body"])
        answer = self._get() if model.name == GET else self._take(asked)
        if asked["deploymentId"] != HOOK["DeploymentId"]:
            answer = "DeploymentDoesNotExistException"
        answer = self.refusals.get(model.name, answer)
        if isinstance(answer, str):  # the code of an error
            return SimpleNamespace(status_code=400), {"Error": {"Code": answer, "Message": ""}}
        return SimpleNamespace(status_code=200), answer

    def _get(self) -> dict[str, Any]:
        plain = {"deploymentId": HOOK["DeploymentId"], "creator": "CloudFormation"}
        return {"deploymentInfo": plain | {"status": "InProgress"} | self.info}

    def _take(self, asked: dict[str, str]) -> dict[str, str] | str:
        hook = asked["lifecycleEventHookExecutionId"]
        if self.reports:
            return "LifecycleEventAlreadyCompletedException"
        if hook != HOOK["LifecycleEventHookExecutionId"] or self.info.get("status") in ENDED:
            return "InvalidLifecycleEventHookExecutionIdException"
        if asked["status"] not in {"Succeeded", "Failed"}:
            return "InvalidLifecycleEventHookExecutionStatusException"
        if REPORT not in self.refusals:
            self.reports.append(asked["status"])
        return {"lifecycleEventHookExecutionId": hook}


def app_spec(current: str, target: str) -> dict[str, Any]:
    """Return the revision of a deployment from one version to another."""
    function = {
        "Type": "AWS::Lambda::Function",
        "Properties": {"CurrentVersion": current, "TargetVersion": target},
    }
    content = json.dumps({"version": 0.0, "Resources": [{"shop-fn": function}]})
    return {"revisionType": "AppSpecContent", "appSpecContent": {"content": content}}
