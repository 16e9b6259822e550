"""moto's interpreter of state machines as a caller of this local run's own AWS.

It signs as `ak`, and calls the address that a server started by moto's own command would have.
"""

from types import SimpleNamespace
from typing import Any

import boto3

from infra.local.control.access_key import AccessKey


def sign_tasks(key: AccessKey, endpoint_url: str) -> Any:
    """Return what stands for boto3 there: its clients call `endpoint_url` with the run's key."""

    def client(**arguments: Any) -> Any:
        own = {
            "endpoint_url": endpoint_url,
            "aws_access_key_id": key.id,
            "aws_secret_access_key": key.secret,
        }
        return boto3.client(**arguments | own)

    return SimpleNamespace(client=client)
