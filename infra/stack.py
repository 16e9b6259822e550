"""The stack that a command works on: one on AWS, or the local run's."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from infra.errors import OperatorError
from infra.project import LOCAL_STACK, Project

if TYPE_CHECKING:
    import boto3
    from mypy_boto3_cloudformation import CloudFormationClient

    from infra.local.control.access_key import AccessKey


class DeploymentError(OperatorError):
    """Raise when the stack is not there, or AWS does not answer; one line for a person."""


@dataclass(frozen=True)
class Deployment:
    """A stack that exists, its outputs and parameters, and the session in which it was found."""

    name: str
    outputs: Mapping[str, str]
    session: "boto3.Session"
    status: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)

    def output(self, key: str) -> str:
        """Return one output; raise DeploymentError if the stack has none of that name."""
        try:
            return self.outputs[key]
        except KeyError:
            raise DeploymentError(f"stack {self.name} has no output {key}") from None


@dataclass(frozen=True)
class Description:
    """What CloudFormation tells of a stack."""

    status: str
    outputs: Mapping[str, str]
    parameters: Mapping[str, str]


def find(project: Project, name: str | None, region: str | None) -> Deployment:
    """Find the stack `name`: by default the local run's, or on AWS that of samconfig.toml.

    Raises DeploymentError, or ProjectError.
    """
    name = name or name_stack(project)
    with explained():
        session = connect(region)
        cloudformation = session.client("cloudformation")
        found = describe(cloudformation, name)
        if found is None:
            remedy = (
                "was the local run started in another Region (--region)?"
                if is_local()
                else "deploy it, or name another with --stack-name"
            )
            raise DeploymentError(
                f"there is no stack {name} in {session.region_name}{_tell_account(session)} "
                f"({cloudformation.meta.endpoint_url}): {remedy}"
            )
    return Deployment(name, found.outputs, session, found.status, found.parameters)


def name_stack(project: Project, env: str = "default") -> str:
    """Return the local run's stack or, on AWS, that of an environment of samconfig.toml.

    Raises ProjectError if there is no such environment, wherever it is asked for by name.
    """
    local = is_local()
    if local and env == "default":  # which needs no samconfig.toml
        return LOCAL_STACK
    name = project.read_stack_name(env)
    return LOCAL_STACK if local else name


def describe(cloudformation: "CloudFormationClient", name: str) -> Description | None:
    """Describe a stack, None if there is none."""
    from botocore.exceptions import ClientError

    try:
        [stack] = cloudformation.describe_stacks(StackName=name)["Stacks"]
    except ClientError as error:
        if "does not exist" not in str(error):
            raise
        return None
    return Description(
        status=stack["StackStatus"],
        outputs={one["OutputKey"]: one["OutputValue"] for one in stack.get("Outputs", [])},
        parameters={
            one["ParameterKey"]: one["ParameterValue"] for one in stack.get("Parameters", [])
        },
    )


def list_resources(cloudformation: "CloudFormationClient", stack: str, kind: str) -> list[str]:
    """Return the names of a stack's resources of a type such as AWS::CloudWatch::Dashboard."""
    pages = cloudformation.get_paginator("list_stack_resources").paginate(StackName=stack)
    return [
        resource["PhysicalResourceId"]
        for page in pages
        for resource in page["StackResourceSummaries"]
        if resource["ResourceType"] == kind
    ]


@contextmanager
def explained() -> Iterator[None]:
    """Turn what boto3 raises into a DeploymentError that says what to do."""
    from botocore import exceptions
    from botocore.parsers import ResponseParserError

    try:
        yield
    except exceptions.NoCredentialsError as error:
        raise DeploymentError(
            "there are no AWS credentials; for the local run paste the whole line "
            "`export AWS_ENDPOINT_URL=...` that `infra run` printed"
        ) from error
    except exceptions.NoRegionError as error:
        raise DeploymentError(
            "there is no AWS Region (give --region or AWS_REGION); for the local run paste the "
            "whole line `export AWS_ENDPOINT_URL=...` that `infra run` printed"
        ) from error
    except ResponseParserError as error:  # it is no BotoCoreError
        where = os.environ.get("AWS_ENDPOINT_URL") or "the endpoint"
        raise DeploymentError(
            f"{where} does not answer as AWS does: AWS_ENDPOINT_URL must be the one that "
            "`infra run` prints for AWS's own APIs, not the API's"
        ) from error
    except (exceptions.ConnectionError, exceptions.HTTPClientError) as error:
        start_it = "; is the local run up, and is this what it printed?" if is_local() else ""
        raise DeploymentError(f"{error}{start_it}") from error
    except (exceptions.BotoCoreError, exceptions.ClientError) as error:
        raise DeploymentError(str(error)) from error


def is_local() -> bool:
    """Tell whether AWS is the local run's, by AWS_ENDPOINT_URL.

    Raises DeploymentError if that is no URL: boto3 would do it with a ValueError.
    """
    endpoint = os.environ.get("AWS_ENDPOINT_URL", "")
    if not endpoint:
        return False
    try:
        parts = urlsplit(endpoint)
        is_url = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_url = False
    if not is_url:
        raise DeploymentError(
            f"AWS_ENDPOINT_URL is not a URL: {endpoint!r}, expected what `infra run` prints, such "
            "as http://127.0.0.1:5000"
        )
    return parts.hostname in {"127.0.0.1", "::1", "localhost"}


def connect(region: str | None) -> "boto3.Session":
    """Open a session; the local run has the Region it was started in.

    Raises DeploymentError rather than let the local run see an access key that is not its own.
    """
    import boto3
    import botocore.session
    from botocore.config import Config

    local = is_local()
    inner = botocore.session.get_session()
    attempts = 1 if local else 3
    inner.set_default_client_config(
        Config(retries={"mode": "standard", "total_max_attempts": attempts}, connect_timeout=5)
    )
    if not local:
        return boto3.Session(botocore_session=inner, region_name=region)
    started_in = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION", "us-east-1")
    key = _read_local_key()
    session = boto3.Session(
        botocore_session=inner,
        region_name=region or started_in,
        aws_access_key_id=key.id,
        aws_secret_access_key=key.secret,
    )
    _check_region(session)
    return session


def _read_local_key() -> "AccessKey":
    """Return the local run's access key from the environment; refuse one of a real account."""
    from infra.local.control.access_key import PREFIX, AccessKey

    key_id = os.environ.get("AWS_ACCESS_KEY_ID", "")
    secret = os.environ.get("AWS_SECRET_ACCESS_KEY", "")
    if not (key_id.startswith(PREFIX) and secret):
        raise DeploymentError(
            "AWS_ENDPOINT_URL is that of a local run, but AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY are not: paste the whole line `export AWS_ENDPOINT_URL=...` "
            "that `infra run` printed"
        )
    return AccessKey(key_id, secret)


def _check_region(session: "boto3.Session") -> None:
    """Raise DeploymentError for a Region that AWS does not have: moto answers it in no form."""
    partitions = session.get_available_partitions()
    if not any(
        session.region_name in session.get_available_regions("cloudformation", partition)
        for partition in partitions
    ):
        raise DeploymentError(
            f"the local run has no Region {session.region_name}: it has only the one in which "
            "`infra run` was started"
        )


def _tell_account(session: "boto3.Session") -> str:
    """Say in whose account was looked; nothing if AWS does not tell."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        return f" of account {session.client('sts').get_caller_identity()['Account']}"
    except (BotoCoreError, ClientError):
        return ""
