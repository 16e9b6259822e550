"""Published versions of the function: which there are, and what each says of itself."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError, HTTPClientError

from infra.local.triggers.event import Request, to_direct_event
from infra.release.errors import ReleaseError

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

MAX_ERROR = 200  # characters of what a crashed version says
HEADERS = {"host": "infra", "user-agent": "infra"}


@dataclass(frozen=True)
class PublishedVersion:
    """A published version; `layers` are the ARNs of its layers' versions."""

    number: str
    published: datetime
    layers: tuple[str, ...]
    has_snap_start: bool


@dataclass(frozen=True)
class Identity:
    """The model that a version serves or, in `error`, why that is unknown."""

    model: str = ""
    model_version: str = ""
    sha256: str = ""
    error: str = ""


def list_versions(functions: "LambdaClient", function: str) -> list[PublishedVersion]:
    """Return the published versions of a function, the oldest first."""
    pages = functions.get_paginator("list_versions_by_function").paginate(FunctionName=function)
    versions = [
        PublishedVersion(
            number=one["Version"],
            published=datetime.fromisoformat(one["LastModified"]),
            layers=tuple(layer["Arn"] for layer in one.get("Layers", [])),
            has_snap_start=one.get("SnapStart", {}).get("ApplyOn") == "PublishedVersions",
        )
        for page in pages
        for one in page["Versions"]
        if one["Version"] != "$LATEST"
    ]
    return sorted(versions, key=lambda version: int(version.number))


def identify(functions: "LambdaClient", function: str, version: str) -> Identity:
    """Ask a version which model it serves."""
    try:
        [name] = _get(functions, function, version, "/v2/models")["models"]
        metadata = _get(functions, function, version, f"/v2/models/{name}")
        [model_version], sha256 = metadata["versions"], metadata["properties"]["sha256"]
    except ReleaseError as error:
        return Identity(error=str(error))
    except (KeyError, TypeError, ValueError):
        return Identity(error=f"version {version} answers in another form than this project's")
    return Identity(name, model_version, sha256)


def check_ready(functions: "LambdaClient", function: str, version: str) -> None:
    """Raise ReleaseError unless the version exists and could predict now."""
    if _get(functions, function, version, "/v2/health/ready").get("ready") is not True:
        raise ReleaseError(f"version {version} is not ready: {_see_log(version)}")


def describe_failure(payload: bytes) -> str:
    """Say how an invocation failed, without the stack trace in Lambda's answer."""
    try:
        error = json.loads(payload)
        text = f"{error['errorType']}: {error.get('errorMessage', '')}"
    except (KeyError, TypeError, ValueError):
        return "the invocation failed"
    return " ".join(text.split())[:MAX_ERROR].removesuffix(":")


def _get(functions: "LambdaClient", function: str, version: str, path: str) -> Mapping[str, Any]:
    """Send a version a GET request past alias and API; raise ReleaseError unless it answers 200."""
    event = to_direct_event(Request("GET", path, HEADERS.items(), b"", "127.0.0.1"))
    event["requestContext"]["lane"] = "gate"  # as the gate's own questions, in no metric
    try:
        answer = functions.invoke(
            FunctionName=function, Qualifier=version, Payload=json.dumps(event)
        )
        payload = answer["Payload"].read()
    except functions.exceptions.ResourceNotFoundException as error:
        raise ReleaseError(
            f"there is no version {version} of {function}: `aws lambda list-versions-by-function "
            f"--function-name {function} --region {functions.meta.region_name}` shows which"
        ) from error
    except (ClientError, HTTPClientError) as error:
        raise ReleaseError(
            f"version {version} cannot be asked: {error} ({_see_log(version)})"
        ) from error
    if "FunctionError" in answer:
        why = f"{describe_failure(payload)} ({_see_log(version)})"
        raise ReleaseError(f"version {version} does not answer: {why}")
    try:
        response = json.loads(payload)
        status, body = response["statusCode"], json.loads(response["body"])
    except (KeyError, TypeError, ValueError) as error:
        raise ReleaseError(
            f"version {version} answers {path} in another form: {_see_log(version)}"
        ) from error
    if status != 200 or not isinstance(body, dict):  # noqa: PLR2004 as HTTP has it
        why = f"with status {status}: {_see_log(version)}"
        raise ReleaseError(f"version {version} answers {path} {why}")
    return body


def _see_log(version: str) -> str:
    return f"see `infra logs --errors --version {version}`"
