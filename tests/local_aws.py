"""A caller of AWS on this machine, who has its access key."""

from collections.abc import Mapping
from typing import Any

import boto3
from botocore.config import Config


def connect(variables: Mapping[str, str], service: str, config: Config | None = None) -> Any:
    """Return a client of whoever has set these environment variables."""
    return boto3.client(  # type: ignore[call-overload]  # the service is not a literal here
        service,
        endpoint_url=variables["AWS_ENDPOINT_URL"],
        region_name=variables["AWS_REGION"],
        aws_access_key_id=variables["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=variables["AWS_SECRET_ACCESS_KEY"],
        config=config,
    )
