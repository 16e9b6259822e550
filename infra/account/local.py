"""The local platform in the place of an account: its CloudFormation takes a change itself."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from infra.account.account import Report, StackChange
from infra.account.errors import AccountError
from infra.project import LOCAL_STACK, Project

if TYPE_CHECKING:
    import boto3
    from mypy_boto3_cloudformation import CloudFormationClient

POLL_SECONDS = 1


@dataclass(frozen=True)
class StackUpdate:
    """An update that CloudFormation has begun."""

    cloudformation: "CloudFormationClient"
    stack: str
    wait: Callable[[], None] = lambda: time.sleep(POLL_SECONDS)

    def follow(self, report: Report, news: Iterator[str]) -> int:
        """Report each state of the stack, and the news; return 1 if it went back to what it was."""
        reported = ""
        while True:
            [stack] = self.cloudformation.describe_stacks(StackName=self.stack)["Stacks"]
            status = stack["StackStatus"]
            if status != reported:
                report(f"{self.stack}: {status}")
                reported = status
            if not status.endswith("_IN_PROGRESS"):
                return 0 if status == "UPDATE_COMPLETE" else 1
            if text := next(news):
                report(text)
            self.wait()


@dataclass(frozen=True)
class LocalAccount:
    """The local platform, which has one stack and the template's own parameters."""

    project: Project
    env: str
    session: "boto3.Session"
    unreachable: str = "; is the local run up, and is this what it printed?"
    absent: str = "was the local run started in another Region (--region)?"

    def name_stack(self) -> str:
        """Return the local run's stack.

        Raises ProjectError if an environment is asked for by name and samconfig.toml lacks it; the
        default one needs no samconfig.toml.
        """
        if self.env != "default":
            self.project.read_stack_name(self.env)
        return LOCAL_STACK

    def read_parameters(self) -> Mapping[str, str]:
        """Return nothing: what samconfig.toml sets is for AWS."""
        return {}

    def upload(self, change: StackChange, report: Report) -> None:
        """Do nothing: the platform reads the build where it is."""

    def apply(self, change: StackChange) -> StackUpdate:
        """Ask CloudFormation for the update; raise AccountError if it refuses."""
        cloudformation = self.session.client("cloudformation")
        try:
            cloudformation.update_stack(
                StackName=change.stack,
                TemplateBody=change.template.read_text("utf-8"),
                Parameters=list_parameters(change),
                Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
            )
        except cloudformation.exceptions.ClientError as error:
            raise AccountError(
                f"CloudFormation refuses the update: {error.response['Error']['Message']} "
                "(`infra status` shows what serves)"
            ) from error
        return StackUpdate(cloudformation, change.stack)


def list_parameters(change: StackChange) -> list[Any]:
    """Return the parameters of an update as SAM CLI sends them: what is not set stays."""
    return [
        {"ParameterKey": key, "ParameterValue": change.parameters[key]}
        if key in change.parameters
        else {"ParameterKey": key, "UsePreviousValue": True}
        for key in change.declared
        if key in change.parameters or key in change.deployed
    ]
