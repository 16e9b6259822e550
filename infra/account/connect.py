"""Opens a session, and with it the account that AWS_ENDPOINT_URL chooses."""

import os
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from infra.account.account import Account
from infra.account.aws import AwsAccount
from infra.account.errors import AccountError, explained
from infra.account.local import LocalAccount
from infra.project import Project

if TYPE_CHECKING:
    import boto3

    from infra.local.control.access_key import AccessKey


def connect(project: Project, region: str | None = None, env: str = "default") -> Account:
    """Open a session in a Region: on AWS by default samconfig.toml's, or the shell's.

    The local run has the Region it was started in. Raises AccountError rather than let the local
    run see an access key that is not its own.
    """
    with explained():
        if is_local():
            return LocalAccount(project, env, _open_local_session(region))
        region = region or project.read_region(env)
        return AwsAccount(project, env, _open_session(attempts=3, region_name=region))


def is_local() -> bool:
    """Tell whether AWS is the local run's, by AWS_ENDPOINT_URL.

    Raises AccountError if that is no URL, where boto3 would raise a ValueError.
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
        raise AccountError(
            f"AWS_ENDPOINT_URL is not a URL: {endpoint!r}, expected what `infra run` prints, such "
            "as http://127.0.0.1:5000"
        )
    return parts.hostname in {"127.0.0.1", "::1", "localhost"}


def read_local_region() -> str:
    """Return the Region in which a local run is started, and in which its stack is found."""
    return os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION", "us-east-1")


def _open_session(attempts: int, **options: str | None) -> "boto3.Session":
    import boto3
    import botocore.session
    from botocore.config import Config

    inner = botocore.session.get_session()
    inner.set_default_client_config(
        Config(retries={"mode": "standard", "total_max_attempts": attempts}, connect_timeout=5)
    )
    return boto3.Session(botocore_session=inner, **options)


def _open_local_session(region: str | None) -> "boto3.Session":
    key = _read_local_key()
    session = _open_session(
        attempts=1,
        region_name=region or read_local_region(),
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
        raise AccountError(
            "AWS_ENDPOINT_URL is that of a local run, but AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY are not: paste the whole line `export AWS_ENDPOINT_URL=...` "
            "that `infra run` printed"
        )
    return AccessKey(key_id, secret)


def _check_region(session: "boto3.Session") -> None:
    """Raise AccountError for a Region that AWS does not have: moto's reply cannot be parsed."""
    partitions = session.get_available_partitions()
    if not any(
        session.region_name in session.get_available_regions("cloudformation", partition)
        for partition in partitions
    ):
        raise AccountError(
            f"the local run has no Region {session.region_name}: it has only the one in which "
            "`infra run` was started"
        )
