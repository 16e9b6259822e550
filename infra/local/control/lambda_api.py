"""Lambda's Invoke in the place of moto's, which would run functions in containers.

A version that is deleted goes here as well. Source: docs.aws.amazon.com/lambda/latest/api/, the
pages API_Invoke and API_DeleteFunction.
"""

import asyncio
import base64
import json
import uuid
from collections.abc import Coroutine, Mapping
from typing import Any
from urllib.parse import parse_qs, unquote

from moto.awslambda.exceptions import (
    InvalidParameterValueException,
    LambdaClientError,
    UnknownFunctionException,
)
from moto.awslambda.models import LambdaFunction
from moto.awslambda.responses import LambdaResponse
from moto.core.common_types import TYPE_RESPONSE

from infra.local.errors import FunctionError, ThrottledError, UnknownFunctionError
from infra.local.functions.asynchronous import (
    MAX_EVENT_BYTES,
    AsynchronousInvocations,
    explain_failure,
)
from infra.local.functions.invoker import Invoker, Target, read_target
from infra.local.functions.tracing import extend_lineage
from infra.local.functions.versions import Call

TAIL_BYTES = 4096

_delete_plain_function = LambdaResponse.delete_function


class RequestTooLargeError(LambdaClientError):
    """The payload of an asynchronous invocation is too large."""

    code = 413

    def __init__(self, size: int) -> None:
        text = f"{size} byte payload is too large for the Event invocation type"
        super().__init__("RequestTooLargeException", f"{text} (limit {MAX_EVENT_BYTES} bytes)")


class TooManyRequestsError(LambdaClientError):
    """As many executions run as the function may have."""

    code = 429

    def __init__(self) -> None:
        super().__init__("TooManyRequestsException", "Rate Exceeded.")


class LambdaApi:
    """Answers Invoke and DeleteFunction in any thread, on the loop on which it was made."""

    def __init__(self, invoker: Invoker, asynchronous: AsynchronousInvocations) -> None:
        self._invoker = invoker
        self._asynchronous = asynchronous
        self._loop = asyncio.get_running_loop()

    def methods(self) -> Mapping[str, Any]:
        """Return what takes the place of the methods of moto's LambdaResponse."""

        def invoke(response: LambdaResponse) -> TYPE_RESPONSE:
            return self._answer_invoke(response)

        def delete_function(response: LambdaResponse) -> TYPE_RESPONSE:
            return self._answer_delete(response)

        return {"invoke": invoke, "delete_function": delete_function}

    def function_methods(self) -> Mapping[str, Any]:
        """Return what takes the place of the method by which moto's topics and buckets invoke."""

        def invoke(function: LambdaFunction, body: str, *_headers: Any) -> bytes:
            target = read_target(function.function_arn)
            self._wait(self._accept(target, body.encode(), ""))
            return b""

        return {"invoke": invoke}

    def _answer_invoke(self, response: LambdaResponse) -> TYPE_RESPONSE:
        target = _read_target(response, unquote(response.path.rsplit("/", 2)[-2]))
        kind = response.headers.get("X-Amz-Invocation-Type", "RequestResponse")
        payload = _read_payload(response)
        trace_id = response.headers.get("X-Amzn-Trace-Id", "")
        try:
            match kind:
                case "RequestResponse":
                    is_logged = response.headers.get("X-Amz-Log-Type") == "Tail"
                    return self._wait(self._invoke(target, payload, trace_id, is_logged=is_logged))
                case "Event":
                    return self._wait(self._accept(target, payload, trace_id))
                case "DryRun":
                    self._invoker.pick(target)
                    return 204, {"status": 204}, b""  # moto takes the one in the headers
        except UnknownFunctionError:
            raise UnknownFunctionException(target.arn(response.region)) from None
        except ThrottledError:
            raise TooManyRequestsError from None
        raise InvalidParameterValueException(f"there is no invocation type {kind[:64]!r}")

    async def _invoke(
        self, target: Target, payload: bytes, trace_id: str, *, is_logged: bool
    ) -> TYPE_RESPONSE:
        version = self._invoker.pick(target)
        call = Call(target.qualifier)
        headers = {"content-type": "application/json", "x-amz-executed-version": version}
        try:
            if trace_id:
                trace_id = extend_lineage(trace_id, target.name)
            hosted = self._invoker.hosted[target.name]
            payload = await hosted.invoke(version, payload, call, trace_id)
        except UnknownFunctionError:
            raise
        except FunctionError as error:
            payload = json.dumps(explain_failure(error, call.request_id)).encode()
            headers["x-amz-function-error"] = "Unhandled"
        if is_logged:
            tail = "".join(f"{line}\n" for line in call.lines).encode()[-TAIL_BYTES:]
            headers["x-amz-log-result"] = base64.b64encode(tail).decode()
        return 200, headers, payload

    async def _accept(self, target: Target, payload: bytes, trace_id: str) -> TYPE_RESPONSE:
        if len(payload) > MAX_EVENT_BYTES:
            raise RequestTooLargeError(len(payload))
        request_id = str(uuid.uuid4())
        self._asynchronous.accept(target, payload, request_id, trace_id)
        return 202, {"status": 202, "x-amzn-requestid": request_id}, b""

    def _answer_delete(self, response: LambdaResponse) -> TYPE_RESPONSE:
        target = _read_target(response, unquote(response.path.rsplit("/", 1)[-1]))
        answer = _delete_plain_function(response)
        hosted = self._invoker.hosted.get(target.name)
        if hosted and target.qualifier:
            self._wait(hosted.remove(target.qualifier))
        return answer

    def _wait[T](self, running: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(running, self._loop).result()


def _read_target(response: LambdaResponse, text: str) -> Target:
    """Read the target of a request from what stands in its path, and its qualifier if any."""
    return read_target(text, parse_qs(response.parsed_url.query).get("Qualifier", [""])[0])


def _read_payload(response: LambdaResponse) -> bytes:
    payload: bytes = response.raw_body or b"{}"
    try:
        json.loads(payload)
    except ValueError as error:
        text = f"Could not parse request body into json: {error}"
        raise LambdaClientError("InvalidRequestContentException", text) from error
    return payload
