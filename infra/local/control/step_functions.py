"""moto's interpreter of state machines as a caller of this local run's own AWS.

It signs as `ak`, and calls the address that a server started by moto's own command would have.
"""

from contextlib import AbstractContextManager
from types import SimpleNamespace
from typing import Any

import boto3
from moto.stepfunctions.parser.asl.utils import boto_client

from infra.local.control.access_key import AccessKey
from infra.local.control.patches import patched


def sign_tasks(key: AccessKey, endpoint_url: str) -> AbstractContextManager[None]:
    """Let the tasks of state machines call `endpoint_url` with the run's access key."""

    def client(**arguments: Any) -> Any:
        own = {
            "endpoint_url": endpoint_url,
            "aws_access_key_id": key.id,
            "aws_secret_access_key": key.secret,
        }
        return boto3.client(**arguments | own)

    return patched(boto_client, boto3=SimpleNamespace(client=client))
