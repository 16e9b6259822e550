"""CodeDeploy's resources of a stack: the application, and a deployment group for each alias."""

from typing import override

from infra.local.control.code_deploy import plan
from infra.local.control.code_deploy_api import Deployments
from infra.local.control.resource import Change, Handler, Held, Wanted


class Applications(Handler):
    """Applications."""

    def __init__(self, deployments: Deployments) -> None:
        self._deployments = deployments

    @override
    async def put(self, wanted: Wanted, held: Held | None, change: Change) -> Held:
        self._deployments.put_application(wanted.name)
        return Held(wanted, wanted.name, {"Ref": wanted.name})

    @override
    async def delete(self, held: Held) -> None:
        self._deployments.delete_application(held.physical_id)


class DeploymentGroups(Handler):
    """Deployment groups: how an alias moves, and which alarms take it back."""

    def __init__(self, deployments: Deployments) -> None:
        self._deployments = deployments

    @override
    async def put(self, wanted: Wanted, held: Held | None, change: Change) -> Held:
        plan(wanted.properties.get("DeploymentConfigName", "LambdaAllAtOnce"))
        self._deployments.put_group(wanted.name, wanted.properties)
        return Held(wanted, wanted.name, {"Ref": wanted.name})

    @override
    async def delete(self, held: Held) -> None:
        self._deployments.delete_group(held.wanted.properties["ApplicationName"], held.physical_id)
