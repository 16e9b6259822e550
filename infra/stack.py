"""The stack that a command works on, read alike from AWS and from the local platform."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from infra.account.account import Account
from infra.account.errors import explained
from infra.errors import OperatorError

if TYPE_CHECKING:
    import boto3
    from mypy_boto3_cloudformation import CloudFormationClient

NESTED = "AWS::CloudFormation::Stack"


class StackError(OperatorError):
    """Raised when a stack is not there, or lacks what a command needs of it."""


@dataclass(frozen=True)
class FiringAlarm:
    """An alarm in state ALARM, and what CloudWatch says of why."""

    name: str
    reason: str

    def is_release_alarm(self, stack: str) -> bool:
        """Tell whether it watches one version; the next release has alarms of its own."""
        return self.name.startswith(f"{stack}-release-")


@dataclass(frozen=True)
class DeployedStack:
    """A stack as CloudFormation describes it; `status` is one such as UPDATE_COMPLETE."""

    account: Account
    name: str
    status: str = ""
    outputs: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)

    @property
    def session(self) -> "boto3.Session":
        """The session in which it was found."""
        return self.account.session

    @property
    def region(self) -> str:
        """The Region in which it was found."""
        return str(self.session.region_name)

    def output(self, key: str) -> str:
        """Return one output; raise StackError if the stack has none of that name."""
        try:
            return self.outputs[key]
        except KeyError:
            raise StackError(f"stack {self.name} has no output {key}") from None

    def list_resources(self, kind: str) -> list[str]:
        """Return the names of the resources of a type such as AWS::CloudWatch::Dashboard.

        Those of its nested stacks are among them.
        """
        return list(_list_resources(self.session.client("cloudformation"), self.name, kind))

    def list_firing_alarms(self) -> list[FiringAlarm]:
        """Return the alarms that fire and notify the stack's topic: all of its alarms do.

        A stack's name would not tell them apart: it may begin the name of another stack.
        """
        cloudwatch = self.session.client("cloudwatch")
        pages = cloudwatch.get_paginator("describe_alarms").paginate(
            ActionPrefix=self.output("AlarmTopicArn")
        )
        return [
            FiringAlarm(alarm["AlarmName"], alarm.get("StateReason", ""))
            for page in pages
            for alarm in page["MetricAlarms"]
            if alarm["StateValue"] == "ALARM"
        ]

    def read_template(self) -> Mapping[str, Any]:
        """Return the template with which the stack was deployed last."""
        from samcli.yamlhelper import yaml_parse

        cloudformation = self.session.client("cloudformation")
        body: Any = cloudformation.get_template(StackName=self.name, TemplateStage="Original")
        template = body["TemplateBody"]
        return yaml_parse(template) if isinstance(template, str) else dict(template)


def find_stack(account: Account, name: str) -> DeployedStack:
    """Return a stack; raise StackError if there is none, and AccountError."""
    with explained(account.unreachable):
        found = describe_stack(account, name)
        if found is None:
            cloudformation = account.session.client("cloudformation")
            raise StackError(
                f"there is no stack {name} in {account.session.region_name}"
                f"{_describe_account(account.session)} ({cloudformation.meta.endpoint_url}): "
                f"{account.absent}"
            )
    return found


def describe_stack(account: Account, name: str) -> DeployedStack | None:
    """Return a stack, None if there is none."""
    from botocore.exceptions import ClientError

    try:
        [stack] = account.session.client("cloudformation").describe_stacks(StackName=name)["Stacks"]
    except ClientError as error:
        if "does not exist" not in str(error):
            raise
        return None
    return DeployedStack(
        account=account,
        name=name,
        status=stack["StackStatus"],
        outputs={one["OutputKey"]: one["OutputValue"] for one in stack.get("Outputs", [])},
        parameters={
            one["ParameterKey"]: one["ParameterValue"] for one in stack.get("Parameters", [])
        },
    )


def _list_resources(cloudformation: "CloudFormationClient", stack: str, kind: str) -> Iterator[str]:
    pages = cloudformation.get_paginator("list_stack_resources").paginate(StackName=stack)
    for page in pages:
        for resource in page["StackResourceSummaries"]:
            name = resource.get("PhysicalResourceId", "")
            if resource["ResourceType"] == kind and name:
                yield name
            if resource["ResourceType"] == NESTED and name:
                yield from _list_resources(cloudformation, name, kind)


def _describe_account(session: "boto3.Session") -> str:
    """Say in whose account the stack was looked for; nothing if AWS does not say."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        return f" of account {session.client('sts').get_caller_identity()['Account']}"
    except (BotoCoreError, ClientError):
        return ""
