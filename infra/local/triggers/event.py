"""HTTP <-> Lambda event and response, payload format 2.0 of HTTP APIs.

Sources: docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda
.html; where that page is silent, AWS's own emulator, whose tests compare it with the real service
(github.com/aws/aws-lambda-dotnet, Tools/LambdaTestTool-v2), and for the kinds of body that arrive
as text a measurement on AWS (github.com/ministackorg/ministack, pull request 766).
"""

import base64
import binascii
import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, unquote

from infra.local.identifiers import ACCOUNT_ID, API_ID

TEXT_TYPES = ("application/json", "application/xml", "application/javascript")
UNFORWARDED = {"cookie", "connection", "keep-alive", "transfer-encoding", "upgrade", "te"}
UNRETURNED = {"content-length", "connection", "keep-alive", "transfer-encoding"}


class ResponseError(Exception):
    """A function's answer is not a response; an HTTP API answers 500."""


@dataclass(frozen=True)
class Request:
    """An HTTP request; `target` is path and query as sent."""

    method: str
    target: str
    headers: Iterable[tuple[str, str]]
    body: bytes
    source_ip: str
    protocol: str = "HTTP/1.1"


class Response(NamedTuple):
    """An HTTP response; a header may come more than once."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


def is_text(content_type: str | None) -> bool:
    """Return whether a body of this type reaches the function as text; empty means no."""
    kind = (content_type or "").partition(";")[0].strip().lower()
    return kind.startswith("text/") or kind in TEXT_TYPES


def to_event(  # noqa: PLR0913 each is one field of the event
    request: Request,
    *,
    route_key: str,
    path_parameters: Mapping[str, str],
    stage: str,
    request_id: str,
    trace_id: str,
    api_id: str = API_ID,
) -> dict[str, Any]:
    """Make the event that an HTTP API would send to Lambda."""
    raw_path, _, query = request.target.partition("?")
    path = unquote(raw_path)
    headers = _joined((name.lower(), value) for name, value in request.headers)
    cookies = [part.strip() for part in headers.get("cookie", "").split(";") if part.strip()]
    host = headers.get("host", "")
    sent = {name: value for name, value in headers.items() if name not in UNFORWARDED}
    if request.body:
        sent["content-length"] = str(len(request.body))
    forwarded = {
        "x-amzn-trace-id": trace_id,
        "x-forwarded-for": request.source_ip,
        "x-forwarded-port": host.rpartition(":")[2] if ":" in host else "80",
        "x-forwarded-proto": "http",
    }
    now = time.time()
    optional = {
        "cookies": cookies,
        "queryStringParameters": _joined(parse_qsl(query, keep_blank_values=True)),
        "pathParameters": dict(path_parameters),
    }
    event: dict[str, Any] = {
        "version": "2.0",
        "routeKey": route_key,
        "rawPath": path,
        "rawQueryString": query,
        "headers": sent | forwarded,
        **{name: value for name, value in optional.items() if value},
        "requestContext": {
            "accountId": ACCOUNT_ID,
            "apiId": api_id,
            "domainName": host,
            "domainPrefix": host.partition(".")[0],
            "http": {
                "method": request.method,
                "path": path,
                "protocol": request.protocol,
                "sourceIp": request.source_ip,
                "userAgent": headers.get("user-agent", ""),
            },
            "requestId": request_id,
            "routeKey": route_key,
            "stage": stage,
            "time": time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(now)),
            "timeEpoch": int(now * 1000),
        },
        "isBase64Encoded": False,
    }
    if request.body and is_text(headers.get("content-type")):
        event["body"] = request.body.decode(errors="replace")
    elif request.body:
        event |= {"body": base64.b64encode(request.body).decode(), "isBase64Encoded": True}
    return event


def to_direct_event(request: Request) -> dict[str, Any]:
    """Make the event with which a function is asked past the API, as its default route would."""
    return to_event(
        request,
        route_key="ANY /{proxy+}",
        path_parameters={"proxy": request.target[1:]},
        stage="$default",
        request_id="",
        trace_id="",
    )


def to_response(payload: bytes) -> Response:
    """Read what a function returned.

    Without a `statusCode` the whole payload is the body of a 200. Raises ResponseError.
    """
    try:
        answer = json.loads(payload)
    except ValueError:
        answer = None
    if not isinstance(answer, dict) or "statusCode" not in answer:
        return Response(200, [("content-type", "application/json")], payload)
    status, body = answer["statusCode"], answer.get("body") or ""
    headers, cookies = answer.get("headers") or {}, answer.get("cookies") or []
    if (
        type(status) is not int
        or not 100 <= status <= 599  # noqa: PLR2004 the range of HTTP
        or not isinstance(body, str)
        or not isinstance(headers, dict)
        or not isinstance(cookies, list)
    ):
        raise ResponseError("not an HTTP API response")
    fields = [
        (str(name).lower(), value if isinstance(value, str) else json.dumps(value))
        for name, value in headers.items()
        if str(name).lower() not in UNRETURNED
    ]
    fields += [("set-cookie", str(cookie)) for cookie in cookies]
    if any(not name or set("\r\n\0") & {*name, *value} for name, value in fields):
        raise ResponseError("a header holds a line break")
    if all(name != "content-type" for name, _ in fields):
        fields.append(("content-type", "text/plain; charset=utf-8"))
    try:
        data = base64.b64decode(body) if answer.get("isBase64Encoded") else body.encode()
    except (binascii.Error, UnicodeEncodeError) as error:
        raise ResponseError("the body cannot be decoded") from error
    return Response(status, fields, data)


def message(status: int, text: str) -> Response:
    """Make one of the answers that an HTTP API gives by itself."""
    body = json.dumps({"message": text}, separators=(",", ":")).encode()
    return Response(status, [("content-type", "application/json")], body)


def _joined(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Join the values of a repeated name by commas."""
    joined: dict[str, str] = {}
    for name, value in pairs:
        joined[name] = f"{joined[name]},{value}" if name in joined else value
    return joined
