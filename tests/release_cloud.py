"""AWS with one released function, in this process: moto, and what the local platform adds to it.

The function is shop-fn, its alias live, and CloudFormation's version is 5.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any
from urllib.parse import parse_qs, urlsplit

import boto3
from moto import mock_aws
from moto.awslambda.exceptions import PreconditionFailedException
from moto.awslambda.models import lambda_backends
from moto.awslambda.responses import LambdaResponse
from moto.codedeploy.exceptions import CodeDeployException
from moto.codedeploy.models import codedeploy_backends
from moto.codedeploy.responses import CodeDeployResponse
from moto.core.responses import ActionResult

from infra.local.control.account import NothingProvisionedError
from infra.local.control.code_deploy_api import ENDED, Deployment
from infra.local.control.patches import PATCHES, patch_moto, patched
from infra.local.identifiers import ACCOUNT_ID
from infra.release.target import Target

NOW = datetime(2026, 11, 22, 15, 0, 0, tzinfo=UTC)
TARGET = Target("shop", "shop-fn", "live", "app", "group", "5")
REGION = "eu-west-1"


@dataclass
class Shop:
    """The function, CodeDeploy's deployments of it, and what was asked and changed.

    `answers` has status and body by version and path; to anything else a version answers that it is
    ready, unless `crashes` has the error with which it ends. `provisioned` is the state of the
    alias' provisioned concurrency, empty without any; `added_weights` are those that Lambda then
    adds to an alias that is moved.
    """

    functions: Any
    codedeploy: Any
    answers: dict[tuple[str, str], tuple[int, Any]] = field(default_factory=dict)
    crashes: dict[str, str] = field(default_factory=dict)
    provisioned: str = ""
    added_weights: Mapping[str, float] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)  # version and path
    lanes: set[str] = field(default_factory=set)  # in which it was asked
    changes: list[Mapping[str, Any]] = field(default_factory=list)  # what UpdateAlias was sent
    stops: list[Mapping[str, Any]] = field(default_factory=list)  # what StopDeployment was sent

    def publish(self, *numbers: str, **fields: Any) -> None:
        """Let there be these versions alone, each published on the day of its number.

        `fields` are more of what Lambda says of each.
        """
        backend = lambda_backends[ACCOUNT_ID][REGION]
        for number in range(1, 1 + max(map(int, numbers))):
            backend.get_function("shop-fn").code_or_config_updated = True
            version: Any = backend.publish_version("shop-fn")
            version.last_modified = f"2026-11-{number:02}T10:00:00.0+0000"
            version.get_configuration = partial(_configure, version.get_configuration, fields)
        for version in [*backend.list_versions_by_function("shop-fn")]:
            if str(version.version) not in {"$LATEST", *numbers}:
                backend.delete_function("shop-fn", str(version.version))

    def point(
        self, version: str, weights: Mapping[str, float] | None = None, description: str = ""
    ) -> None:
        """Let the alias `live` be on a version."""
        self.functions.delete_alias(FunctionName="shop-fn", Name="live")
        self.functions.create_alias(
            FunctionName="shop-fn",
            Name="live",
            FunctionVersion=version,
            RoutingConfig={"AdditionalVersionWeights": dict(weights or {})},
            Description=description,
        )

    def versions(self) -> list[str]:
        """Return the versions that there are."""
        listed = self.functions.list_versions_by_function(FunctionName="shop-fn")["Versions"]
        return [one["Version"] for one in listed if one["Version"] != "$LATEST"]

    def alias(self) -> tuple[str, Mapping[str, float], str]:
        """Return the alias' version, weights and description."""
        held = self.functions.get_alias(FunctionName="shop-fn", Name="live")
        routing = held.get("RoutingConfig") or {}
        return (
            held["FunctionVersion"],
            routing.get("AdditionalVersionWeights") or {},
            held.get("Description", ""),
        )

    def release(
        self,
        identity: str,
        status: str,
        current: str,
        target: str,
        *,
        creator: str = "CloudFormation",
        day: int = 22,
        place: str = "appSpecContent",
        reason: str = "",
    ) -> None:
        """Let there be a deployment; without a `place` its AppSpec is not to be read."""
        backend = codedeploy_backends[ACCOUNT_ID][REGION]
        versions = {"CurrentVersion": current, "TargetVersion": target}
        properties = {"Name": "shop-fn", "Alias": "live", **versions}
        function = {"fn": {"Type": "AWS::Lambda::Function", "Properties": properties}}
        app_spec = json.dumps({"version": 0.0, "Resources": [function]})
        group = backend.get_deployment_group("app", "group")
        deployment = Deployment(group, app_spec, creator, current, target)
        deployment.deployment_id, deployment.status = identity, status
        deployment.create_time = NOW.replace(day=day, tzinfo=None)  # as moto has times
        deployment.revision = {place: {"content": app_spec}} if place else {}
        if reason:
            deployment.error = {"message": reason}
            deployment.rollback = {"rollbackMessage": f"{identity} was rolled back"}
        backend.deployments[identity] = deployment

    def invoke(self, response: LambdaResponse) -> tuple[int, dict[str, str], str]:
        """Answer as Lambda does: a version that there is not is a 404."""
        [version] = parse_qs(urlsplit(response.uri).query)["Qualifier"]
        event = json.loads(response.body)
        self.lanes.add(event["requestContext"]["lane"])
        path = event["rawPath"]
        self.asked.append((version, path))
        lambda_backends[ACCOUNT_ID][REGION].get_function("shop-fn", version)
        if version in self.crashes:
            error = json.dumps({"errorType": self.crashes[version]})
            return 200, {"x-amz-function-error": "Unhandled"}, error
        status, body = self.answers.get((version, path), (200, {"live": True, "ready": True}))
        return 200, {}, json.dumps({"statusCode": status, "body": json.dumps(body)})

    def stop(self, response: CodeDeployResponse) -> ActionResult:
        """Stop a deployment; CodeDeploy then takes the alias back, which it has done at once."""
        identity = response._get_param("deploymentId")  # noqa: SLF001 moto's way to read a request
        deployment = response.codedeploy_backend.get_deployment(identity)
        if deployment.status in ENDED:
            raise CodeDeployException("DeploymentAlreadyCompletedException", "it has ended")
        self.stops.append(json.loads(response.body))
        deployment.status = "Stopped"
        return ActionResult({"status": "Pending"})


def _configure(
    read: Callable[..., dict[str, Any]], fields: dict[str, Any], *arguments: Any
) -> dict[str, Any]:
    return read(*arguments) | fields


def _read_provisioned(shop: Shop) -> ActionResult:
    if not shop.provisioned:
        raise NothingProvisionedError
    return ActionResult({"Status": shop.provisioned})


@contextmanager
def open_shop() -> Iterator[Shop]:
    """Open AWS with the function, which has no version yet."""
    plain_update = LambdaResponse.update_alias
    with patch_moto(PATCHES), mock_aws():
        session = boto3.Session("test", "test", region_name=REGION)
        shop = Shop(session.client("lambda"), session.client("codedeploy"))

        def update_alias(response: LambdaResponse) -> Any:
            sent = json.loads(response.body)
            alias = shop.functions.get_alias(FunctionName="shop-fn", Name="live")
            if sent["RevisionId"] != alias["RevisionId"]:
                raise PreconditionFailedException("the alias has changed")
            shop.changes.append(sent)
            if shop.added_weights:
                response.body = json.dumps(
                    sent | {"RoutingConfig": {"AdditionalVersionWeights": shop.added_weights}}
                )
            return plain_update(response)

        # Functions, not the methods: moto calls them with its request.
        def invoke(response: LambdaResponse) -> tuple[int, dict[str, str], str]:
            return shop.invoke(response)

        def stop_deployment(response: CodeDeployResponse) -> ActionResult:
            return shop.stop(response)

        role = session.client("iam").create_role(RoleName="role", AssumeRolePolicyDocument="{}")
        session.client("lambda").create_function(
            FunctionName="shop-fn",
            Role=role["Role"]["Arn"],
            Runtime="python3.13",
            Handler="app.handler",
            Code={"ZipFile": b"code"},
        )
        shop.codedeploy.create_application(applicationName="app", computePlatform="Lambda")
        shop.codedeploy.create_deployment_group(
            applicationName="app", deploymentGroupName="group", serviceRoleArn=role["Role"]["Arn"]
        )
        with (
            patched(
                LambdaResponse,
                invoke=invoke,
                update_alias=update_alias,
                get_provisioned_concurrency_config=lambda _: _read_provisioned(shop),
            ),
            patched(CodeDeployResponse, stop_deployment=stop_deployment),
        ):
            yield shop
