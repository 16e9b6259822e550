"""What a function receives for a request, and what a client gets for its answer."""

import base64
import json
from typing import Any

import pytest

from infra.local.triggers.event import (
    Request,
    ResponseError,
    is_text,
    message,
    to_event,
    to_response,
)


def make_event(
    target: str = "/v2/models",
    headers: tuple[tuple[str, str], ...] = (),
    body: bytes = b"",
    **options: Any,
) -> dict[str, Any]:
    request = Request("POST", target, (("Host", "shop.example:8000"), *headers), body, "10.0.0.7")
    given = {"route_key": "ANY /{proxy+}", "path_parameters": {}, "stage": "$default"} | options
    return to_event(request, request_id="abc=", trace_id="Root=1-2-3", **given)


def test_event_has_the_fields_of_payload_format_2() -> None:
    # GIVEN a request with a query, a repeated header and cookies
    headers = (
        ("Accept", "text/html"),
        ("ACCEPT", "application/json"),
        ("Cookie", "session=abc; theme=dark"),
        ("User-Agent", "test"),
        ("Connection", "keep-alive"),
    )
    # WHEN it becomes an event
    event = make_event("/a%20b?x=1&x=2&y=%2B%20c&z=", headers, path_parameters={"proxy": "a b"})
    # THEN names are lower case, repeated values are joined, and only the raw query stays encoded
    assert event["version"] == "2.0"
    assert event["routeKey"] == event["requestContext"]["routeKey"] == "ANY /{proxy+}"
    assert event["rawPath"] == event["requestContext"]["http"]["path"] == "/a b"
    assert event["rawQueryString"] == "x=1&x=2&y=%2B%20c&z="
    assert event["queryStringParameters"] == {"x": "1,2", "y": "+ c", "z": ""}
    assert event["cookies"] == ["session=abc", "theme=dark"]
    assert event["pathParameters"] == {"proxy": "a b"}
    assert event["headers"] == {
        "host": "shop.example:8000",
        "accept": "text/html,application/json",
        "user-agent": "test",
        "x-amzn-trace-id": "Root=1-2-3",
        "x-forwarded-for": "10.0.0.7",
        "x-forwarded-port": "8000",
        "x-forwarded-proto": "http",
    }
    context = event["requestContext"]
    assert context["http"] == {
        "method": "POST",
        "path": "/a b",
        "protocol": "HTTP/1.1",
        "sourceIp": "10.0.0.7",
        "userAgent": "test",
    }
    assert (context["stage"], context["requestId"]) == ("$default", "abc=")
    assert {"accountId", "apiId", "domainName", "domainPrefix", "time", "timeEpoch"} <= set(context)


def test_event_leaves_out_what_the_request_has_not() -> None:
    event = make_event()
    absent = {"body", "cookies", "queryStringParameters", "pathParameters", "stageVariables"}
    assert absent.isdisjoint(event)
    assert event["isBase64Encoded"] is False
    assert event["rawQueryString"] == ""


@pytest.mark.parametrize(
    ("content_type", "expected"),
    [
        ("application/json", True),
        ("Application/JSON; charset=utf-8", True),
        ("application/xml", True),
        ("application/javascript", True),
        ("text/csv", True),
        ("application/octet-stream", False),
        ("application/problem+json", False),
        ("application/x-www-form-urlencoded", False),
        ("image/png", False),
        ("", False),
        (None, False),
    ],
)
def test_body_is_text_by_the_rule_of_http_apis(content_type: str | None, expected: bool) -> None:
    assert is_text(content_type) is expected


def test_binary_body_is_base64_and_text_is_not() -> None:
    data = bytes(range(256))
    event = make_event(body=data)
    assert (base64.b64decode(event["body"]), event["isBase64Encoded"]) == (data, True)
    assert event["headers"]["content-length"] == "256"
    event = make_event(headers=(("Content-Type", "application/json"),), body='{"ü": 1}'.encode())
    assert (event["body"], event["isBase64Encoded"]) == ('{"ü": 1}', False)


def answer(**fields: Any) -> bytes:
    return json.dumps(fields).encode()


def test_answer_with_a_status_is_taken_as_it_is() -> None:
    # GIVEN every field that an answer may have
    payload = answer(
        statusCode=201,
        headers={"X-Model": "a", "Content-Length": "999", "X-Rows": 3},
        cookies=["a=1; Secure", "b=2"],
        body=base64.b64encode(b"\0\1").decode(),
        isBase64Encoded=True,
    )
    # WHEN it is read
    response = to_response(payload)
    # THEN the body is decoded, and a missing type is plain text
    assert response.status == 201
    assert response.body == b"\0\1"
    assert response.headers == [
        ("x-model", "a"),
        ("x-rows", "3"),
        ("set-cookie", "a=1; Secure"),
        ("set-cookie", "b=2"),
        ("content-type", "text/plain; charset=utf-8"),
    ]


def test_answer_without_a_body_is_empty() -> None:
    assert to_response(answer(statusCode=204)).body == b""
    assert to_response(answer(statusCode=200, body=None, headers=None)).body == b""


@pytest.mark.parametrize("payload", [b'{"a": 1}', b'"text"', b"[1, 2]", b"null", b'{"unfinished'])
def test_answer_without_a_status_is_the_body_of_a_200(payload: bytes) -> None:
    assert to_response(payload) == (200, [("content-type", "application/json")], payload)


@pytest.mark.parametrize(
    "fields",
    [
        {"statusCode": "200"},
        {"statusCode": None},
        {"statusCode": True},
        {"statusCode": 0},
        {"statusCode": 200, "body": {"not": "text"}},
        {"statusCode": 200, "headers": ["a"]},
        {"statusCode": 200, "cookies": "a=1"},
        {"statusCode": 200, "headers": {"a": "b\r\nset-cookie: c"}},
        {"statusCode": 200, "body": "not base64!", "isBase64Encoded": True},
    ],
)
def test_answer_of_another_form_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ResponseError):
        to_response(answer(**fields))


def test_own_messages_have_the_form_of_api_gateway() -> None:
    response = message(404, "Not Found")
    assert response == (404, [("content-type", "application/json")], b'{"message":"Not Found"}')
