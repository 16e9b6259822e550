"""What moto's interpreter of state machines signs with, and whom it calls."""

from typing import Any

from moto.stepfunctions.parser.asl.utils import boto_client
from moto.stepfunctions.parser.asl.utils.boto_client import boto_client_for

from infra.local.control.access_key import create_access_key
from infra.local.control.patches import patched
from infra.local.control.step_functions import sign_tasks


def connect() -> tuple[str, str, str]:
    """Make a client as a task does; return its access key and its endpoint."""
    client: Any = boto_client_for("eu-west-1", "lambda")
    credentials = client._request_signer._credentials  # noqa: SLF001 nobody tells
    return credentials.access_key, credentials.secret_key, client.meta.endpoint_url


def test_tasks_have_the_run_s_key_and_address_as_long_as_it_lasts() -> None:
    # GIVEN moto as it is; when this fails, infra/local/step_functions.py is no longer needed
    plain = ("ak", "sk", "http://localhost:5000")
    assert connect() == plain
    key = create_access_key()
    with patched(boto_client, boto3=sign_tasks(key, "http://127.0.0.1:7")):
        assert connect() == (key.id, key.secret, "http://127.0.0.1:7")
    assert connect() == plain
