"""CodeDeploy's deployments as its API shows them, with what moto's CodeDeploy lacks.

Source: docs.aws.amazon.com/codedeploy/latest/APIReference/.
"""

import asyncio
import hashlib
import json
import secrets
import string
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from moto.cloudwatch.models import Alarm
from moto.codedeploy import responses
from moto.codedeploy.exceptions import CodeDeployException
from moto.codedeploy.models import CodeDeployBackend, DeploymentGroup, DeploymentInfo
from moto.codedeploy.responses import CodeDeployResponse
from moto.core.responses import ActionResult
from moto.core.utils import utcnow

from infra.local.control.code_deploy import Preference
from infra.local.stack import Function

ENDED = {"Succeeded", "Failed", "Stopped"}


class Deployment(DeploymentInfo):
    """A deployment, how far it is, what went wrong, and the deployment that takes it back."""

    way_back: "Deployment | None" = None

    def __init__(
        self, group: DeploymentGroup, app_spec: str, creator: str, current: str, target: str
    ) -> None:
        content = {"content": app_spec, "sha256": hashlib.sha256(app_spec.encode()).hexdigest()}
        super().__init__(
            application=group.application,
            deployment_group=group,
            revision={"revisionType": "AppSpecContent", "appSpecContent": content},
            deployment_config_name=group.deployment_config_name,
            description=None,
            ignore_application_stop_failures=False,
            targetInstances=None,
            auto_rollback_configuration=group.auto_rollback_configuration,
            update_outdated_instances_only=False,
            file_exists_behavior=None,
            override_alarm_configuration=None,
            creator=creator,
        )
        self.deployment_id = "d-" + "".join(
            secrets.choice(string.ascii_uppercase + string.digits) for _ in range(9)
        )
        self.current, self.target = current, target
        self.error: dict[str, str] = {}
        self.rollback: dict[str, str] = {}
        self.set_status("Created")

    def set_status(self, status: str) -> None:
        """Change the status, and with it the overview of the one function that is deployed."""
        self.status = status
        stage = {"Created": "Pending", "Stopped": "Failed"}.get(status, status)
        self.deployment_overview = {key: int(key == stage) for key in self.deployment_overview}
        if status == "InProgress":
            self.start_time = utcnow()
        elif status in ENDED:
            self.complete_time = utcnow()


class Deployments:
    """Every deployment of the local run, where CodeDeploy's API finds it."""

    def __init__(self, backend: CodeDeployBackend, alarms: Mapping[str, Alarm]) -> None:
        self._backend = backend
        self._alarms = alarms

    def put_application(self, name: str) -> None:
        """Create an application unless there is one."""
        if name not in self._backend.applications:
            self._backend.create_application(name, "Lambda", [])

    def delete_application(self, name: str) -> None:
        """Delete an application if there is one."""
        self._backend.applications.pop(name, None)

    def put_group(self, name: str, properties: Mapping[str, Any]) -> None:
        """Create a deployment group from its CloudFormation properties, or change it to them."""
        application = properties["ApplicationName"]
        self.delete_group(application, name)
        lower = _lower(properties)
        self._backend.create_deployment_group(
            application,
            name,
            properties.get("DeploymentConfigName", "CodeDeployDefault.LambdaAllAtOnce"),
            None,
            None,
            None,
            properties["ServiceRoleArn"],
            alarm_configuration=lower.get("alarmConfiguration"),
            auto_rollback_configuration=lower.get("autoRollbackConfiguration"),
            deployment_style=lower.get("deploymentStyle"),
        )

    def delete_group(self, application: str, name: str) -> None:
        """Delete a deployment group if there is one."""
        self._backend.deployment_groups.setdefault(application, {}).pop(name, None)

    def read_group(self, application: str, name: str) -> tuple[str, tuple[str, ...]]:
        """Return a group's deployment configuration, and the names of the alarms that stop it."""
        group: Any = self._backend.get_deployment_group(application, name)
        alarms = (group.alarm_configuration or {}).get("alarms", [])
        return group.deployment_config_name, tuple(alarm["name"] for alarm in alarms)

    def read_alarms(self, names: Iterable[str]) -> Mapping[str, str]:
        """Return the states of those of the alarms that there are."""
        return {name: self._alarms[name].state_value for name in names if name in self._alarms}

    def create(
        self,
        function: Function,
        preference: Preference,
        current: str,
        target: str,
        creator: str,
    ) -> Deployment:
        """Begin a deployment, with the AppSpec that CloudFormation writes for a function."""
        properties = {
            "Name": function.name,
            "Alias": function.alias,
            "CurrentVersion": current,
            "TargetVersion": target,
        }
        resource = {"Type": "AWS::Lambda::Function", "Properties": properties}
        hooks = [{"BeforeAllowTraffic": preference.hook}] if preference.hook else []
        app_spec = {"version": 0.0, "Resources": [{function.name: resource}], "Hooks": hooks}
        group = self._backend.get_deployment_group(preference.application, preference.group)
        deployment = Deployment(group, json.dumps(app_spec), creator, current, target)
        deployment.set_status("InProgress")
        self._backend.deployments[deployment.deployment_id] = deployment
        return deployment

    def succeed(self, deployment: Deployment) -> None:
        """End a deployment well."""
        deployment.set_status("Succeeded")

    def fail(self, deployment: Deployment, status: str, code: str, text: str) -> None:
        """End a deployment with an error."""
        deployment.error = {"code": code, "message": text}
        deployment.set_status(status)

    def create_rollback(
        self, failed: Deployment, function: Function, preference: Preference
    ) -> Deployment:
        """Begin the way back from a deployment that failed: a deployment of its own."""
        back = self.create(
            function, preference, failed.target, failed.current, "codeDeployRollback"
        )
        back.rollback = {"rollbackTriggeringDeploymentId": failed.deployment_id}
        failed.rollback = {
            "rollbackDeploymentId": back.deployment_id,
            "rollbackMessage": f"{failed.deployment_id} is rolled back by {back.deployment_id}",
        }
        failed.way_back = back
        return back


def answer_code_deploy(
    stop: Callable[[str], Awaitable[None]], report: Callable[[str, str, str], Awaitable[bool]]
) -> Mapping[str, Callable[..., Any]]:
    """Return what answers StopDeployment and the reports of hooks, on the loop that runs now."""
    loop = asyncio.get_running_loop()

    def stop_deployment(response: CodeDeployResponse) -> ActionResult:
        deployment = response.codedeploy_backend.get_deployment(
            response._get_param("deploymentId")  # noqa: SLF001 moto's way to read a request
        )
        if deployment.status in ENDED:
            text = f"The deployment {deployment.deployment_id} is {deployment.status}"
            raise CodeDeployException("DeploymentAlreadyCompletedException", text)
        asyncio.run_coroutine_threadsafe(_wait(stop(deployment.deployment_id)), loop).result()
        return ActionResult({"status": "Succeeded", "statusMessage": "The deployment is stopped"})

    def put_status(response: CodeDeployResponse) -> ActionResult:
        deployment_id, hook_id, status = (
            response._get_param(key)  # noqa: SLF001 moto's way to read a request
            for key in ("deploymentId", "lifecycleEventHookExecutionId", "status")
        )
        response.codedeploy_backend.get_deployment(deployment_id)
        if status not in {"Succeeded", "Failed"}:
            text = f"The status {status} is neither Succeeded nor Failed"
            raise CodeDeployException("InvalidLifecycleEventHookExecutionStatusException", text)
        taken = _wait(report(deployment_id, hook_id, status))
        if not asyncio.run_coroutine_threadsafe(taken, loop).result():
            text = f"The deployment {deployment_id} does not wait for {hook_id}"
            raise CodeDeployException("InvalidLifecycleEventHookExecutionIdException", text)
        return ActionResult({"lifecycleEventHookExecutionId": hook_id})

    return {
        "stop_deployment": stop_deployment,
        "put_lifecycle_event_hook_execution_status": put_status,
    }


async def _wait[T](awaitable: Awaitable[T]) -> T:
    return await awaitable


def _lower(value: Any) -> Any:
    """Turn CloudFormation's names of properties into CodeDeploy's own."""
    if isinstance(value, list):
        return [_lower(one) for one in value]
    if isinstance(value, dict):
        return {key[0].lower() + key[1:]: _lower(one) for key, one in value.items()}
    return value


_describe_plain_deployment = responses._deployment_info  # noqa: SLF001 moto has no setting for it
_describe_plain_group = responses._deployment_group_info  # noqa: SLF001 likewise


def describe_deployment(deployment: DeploymentInfo) -> dict[str, Any]:
    """Describe a deployment as GetDeployment does, with its error and its rollback."""
    info = _describe_plain_deployment(deployment)
    if isinstance(deployment, Deployment):
        info |= {"errorInformation": deployment.error, "rollbackInfo": deployment.rollback}
    return {key: value for key, value in info.items() if value not in ({}, None, "")}


def describe_group(deployment_group: DeploymentGroup) -> dict[str, Any]:
    """Describe a deployment group as GetDeploymentGroup does, with its alarms."""
    alarms: Any = deployment_group.alarm_configuration or {}
    return _describe_plain_group(deployment_group) | {"alarmConfiguration": alarms}
