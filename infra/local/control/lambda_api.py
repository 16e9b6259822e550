"""Lambda's Invoke in the place of moto's, which would run functions in containers.

A version that is deleted goes here as well. Source: docs.aws.amazon.com/lambda/latest/api/, the
pages API_Invoke and API_DeleteFunction.
"""

import asyncio
import base64
import json
import random
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any
from urllib.parse import parse_qs, unquote

from moto.awslambda.exceptions import (
    InvalidParameterValueException,
    LambdaClientError,
    UnknownFunctionException,
)
from moto.awslambda.responses import LambdaResponse
from moto.core.common_types import TYPE_RESPONSE

from infra.local.control.patches import patched
from infra.local.errors import FunctionError, ThrottledError
from infra.local.functions.versions import LATEST, Call, HostedFunction
from infra.local.identifiers import ACCOUNT_ID

TAIL_BYTES = 4096

_delete_plain_function = LambdaResponse.delete_function

type Weights = Callable[[str, str], Mapping[str, float]]


class TooManyRequestsError(LambdaClientError):
    """As many executions run as the function may have."""

    code = 429

    def __init__(self) -> None:
        super().__init__("TooManyRequestsException", "Rate Exceeded.")


def answer_invoke(
    functions: Mapping[str, HostedFunction], weights: Weights, rng: random.Random
) -> AbstractContextManager[None]:
    """Let moto's server run these functions in their environments, on the loop that runs now.

    `weights` tells the shares of a function's versions behind an alias.
    """
    loop = asyncio.get_running_loop()

    def invoke(response: LambdaResponse) -> TYPE_RESPONSE:
        kind = response.headers.get("X-Amz-Invocation-Type", "RequestResponse")
        if kind != "RequestResponse":
            raise InvalidParameterValueException(f"the local run has no invocation type {kind}")
        name, qualifier = _read_target(response, unquote(response.path.rsplit("/", 2)[-2]))
        versions = functions.get(name)
        version = _pick(name, qualifier, weights, rng)
        if versions is None or version not in versions:
            parts = ("arn:aws:lambda", response.region, ACCOUNT_ID, "function", name, qualifier)
            raise UnknownFunctionException(":".join(filter(None, parts)))
        call = Call(qualifier)
        running = versions.invoke(version, _read_payload(response), call=call)
        try:
            payload = asyncio.run_coroutine_threadsafe(running, loop).result()
        except ThrottledError:
            raise TooManyRequestsError from None
        except FunctionError as error:
            payload = json.dumps(_explain(error, call.request_id)).encode()
            headers = {"x-amz-function-error": "Unhandled"}
        else:
            headers = {}
        headers["content-type"] = "application/json"
        headers["x-amz-executed-version"] = version
        if response.headers.get("X-Amz-Log-Type") == "Tail":
            tail = "".join(f"{line}\n" for line in call.lines).encode()[-TAIL_BYTES:]
            headers["x-amz-log-result"] = base64.b64encode(tail).decode()
        return 200, headers, payload

    def delete_function(response: LambdaResponse) -> TYPE_RESPONSE:
        name, version = _read_target(response, unquote(response.path.rsplit("/", 1)[-1]))
        answer = _delete_plain_function(response)
        if name in functions and version:
            asyncio.run_coroutine_threadsafe(functions[name].remove(version), loop).result()
        return answer

    return patched(LambdaResponse, invoke=invoke, delete_function=delete_function)


def _read_target(response: LambdaResponse, target: str) -> tuple[str, str]:
    """Take a function's name and a qualifier, or "", from what can stand in their place."""
    name, _, named = target.rpartition("function:")[2].partition(":")
    return name, parse_qs(response.parsed_url.query).get("Qualifier", [named])[0]


def _pick(name: str, qualifier: str, weights: Weights, rng: random.Random) -> str:
    """Return the version that answers; a qualifier that is none is an alias."""
    if not qualifier:
        return LATEST
    if qualifier == LATEST or qualifier.isdecimal():
        return qualifier
    try:
        shares = weights(name, qualifier)
    except FunctionError:
        return ""
    return rng.choices(list(shares), list(shares.values()))[0]


def _read_payload(response: LambdaResponse) -> bytes:
    payload: bytes = response.raw_body or b"{}"
    try:
        json.loads(payload)
    except ValueError as error:
        text = f"Could not parse request body into json: {error}"
        raise LambdaClientError("InvalidRequestContentException", text) from error
    return payload


def _explain(error: FunctionError, request_id: str) -> Mapping[str, Any]:
    """Return the runtime client's own words or, where it is gone, Lambda's."""
    text = f"RequestId: {request_id} Error: {error.text}"
    return error.payload or {"errorType": error.kind, "errorMessage": text}
