"""Who gets into the local run: its user, and no web page that the user happens to look at."""

import asyncio
import hashlib
import http.client
import json
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from botocore import auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from moto.core.config import default_user_config

from infra.local.control.cloud import Cloud
from infra.local.functions.runtime_api import Invocation
from infra.local.platform import Platform
from tests import local_aws

REGION = "eu-west-1"
SERVICES = {  # one of each protocol, with a call that needs nothing
    "cloudformation": "list_stacks",
    "cloudwatch": "list_metrics",
    "codedeploy": "list_applications",
    "ec2": "describe_vpcs",
    "iam": "list_roles",
    "lambda": "list_functions",
    "logs": "describe_log_groups",
    "route53": "list_hosted_zones",
    "s3": "list_buckets",
    "sqs": "list_queues",
    "stepfunctions": "list_state_machines",
}


@dataclass(frozen=True)
class Reply:
    """What a listener answered."""

    status: int
    headers: Mapping[str, str]
    text: str


def send(
    address: str, method: str, path: str, headers: Mapping[str, str], body: bytes = b""
) -> Reply:
    """Send a request with exactly these headers, Host among them."""
    connection = http.client.HTTPConnection(address, timeout=30)
    connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    names = {name.lower(): value for name, value in answer.getheaders()}
    return Reply(answer.status, names, text)


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    """AWS on this machine."""
    cloud = Cloud(REGION)
    cloud.start(0)
    yield cloud
    cloud.stop()


def has_cors(reply: Reply) -> bool:
    return any(name.startswith("access-control-") for name in reply.headers)


# Pages of somebody else.


@pytest.fixture
async def listeners(local: Platform) -> Mapping[str, str]:
    """Address of every listener by its name."""
    async with httpx.AsyncClient() as client:
        environment = (await client.get(f"{local.url}/echo")).json()["environment"]
    return {
        "front door": urlsplit(local.url).netloc,
        "AWS": urlsplit(local.aws_endpoint_url).netloc,
        "Runtime API": environment["AWS_LAMBDA_RUNTIME_API"],
    }


PATHS = {"front door": "/echo", "AWS": "/", "Runtime API": "/2018-06-01/runtime/restore/next"}
HOSTILE = {
    "another origin": {"Origin": "https://evil.example"},
    "another port of this machine": {"Origin": "http://127.0.0.1:1"},
    "a sandboxed frame": {"Origin": "null"},
    "another scheme": {"Origin": "https://{address}"},
    "rebinding": {"Host": "evil.example"},
    "rebinding, with the port": {"Host": "evil.example:{port}"},
    "rebinding, as its own origin": {
        "Host": "evil.example:{port}",
        "Origin": "http://evil.example:{port}",
        "Sec-Fetch-Site": "same-origin",
    },
    "a name that begins alike": {"Host": "127.0.0.1.evil.example:{port}"},
    "another port in Host": {"Host": "127.0.0.1:1"},
    "no Host": {"Host": ""},
    "an image": {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"},
    "a form on another port": {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "navigate"},
}


@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
@pytest.mark.parametrize("hostile", HOSTILE)
async def test_every_listener_refuses_a_page_of_somebody_else(
    listeners: Mapping[str, str], hostile: str, method: str
) -> None:
    for name, address in listeners.items():
        port = address.rpartition(":")[2]
        headers = {"Host": address} | {
            key: value.format(address=address, port=port) for key, value in HOSTILE[hostile].items()
        }
        if method == "OPTIONS":
            headers["Access-Control-Request-Method"] = "POST"
            headers["Access-Control-Request-Private-Network"] = "true"
        # WHEN its request comes
        reply = await asyncio.to_thread(send, address, method, PATHS[name], headers)
        # THEN it is refused, in words, and the page may not even read that
        assert reply.status == 403, name
        assert "header" in reply.text, name
        assert "evil" not in reply.text
        assert not has_cors(reply), name


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LOCALHOST", "[::1]"])
async def test_the_front_door_s_own_pages_work(listeners: Mapping[str, str], host: str) -> None:
    address = listeners["front door"]
    netloc = f"{host}:{address.rpartition(':')[2]}"
    origin = {"Origin": f"http://{netloc}", "Sec-Fetch-Site": "same-origin"}
    for headers in ({}, {"Sec-Fetch-Site": "none"}, origin):
        sent = {"Host": netloc, **headers}
        reply = await asyncio.to_thread(send, address, "GET", "/echo", sent)
        assert reply.status == 200
        assert not has_cors(reply)


def test_a_signed_request_of_a_page_is_refused_too(cloud: Cloud) -> None:
    # GIVEN a key that leaked to a page
    request = sign(cloud, "GET", "/")
    for hostile in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "same-site"}):
        answer = httpx.get(request.url, headers=dict(request.headers) | hostile)
        assert (answer.status_code, "AccessDenied" in answer.text) == (403, True)


# The access key.


def sign(
    cloud: Cloud,
    method: str,
    path: str,
    *,
    service: str = "s3",
    body: bytes = b"",
    headers: Mapping[str, str] | None = None,
    signer: type[auth.SigV4Auth] = auth.S3SigV4Auth,
) -> Any:
    """Sign a request as botocore does."""
    credentials = Credentials(cloud.key.id, cloud.key.secret)
    url = cloud.variables()["AWS_ENDPOINT_URL"] + path
    request = AWSRequest(method, url, headers or {}, body)
    signer(credentials, service, REGION).add_auth(request)
    return request.prepare()


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({}, ""),
        ({"AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE"}, "InvalidClientTokenId"),
        ({"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local"}, "InvalidClientTokenId"),
        ({"AWS_SECRET_ACCESS_KEY": "another"}, "SignatureDoesNotMatch"),
    ],
)
@pytest.mark.parametrize("service", SERVICES)
def test_every_service_asks_for_the_run_s_key(
    cloud: Cloud, service: str, changed: Mapping[str, str], code: str
) -> None:
    client = local_aws.connect({**cloud.variables(), **changed}, service)
    call = getattr(client, SERVICES[service])
    if not code:
        call()
        return
    with pytest.raises(ClientError) as raised:
        call()
    answer = raised.value.response
    assert answer["Error"]["Code"] == code
    assert "paste the whole line `export AWS_ENDPOINT_URL=...` that" in answer["Error"]["Message"]
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 403


def test_no_two_runs_have_the_same_key() -> None:
    keys = {Cloud(REGION).key for _ in range(2)}
    assert len({key.id for key in keys}) == len({key.secret for key in keys}) == 2
    assert not any(key.secret in repr(key) for key in keys)


@pytest.mark.parametrize(
    "path",
    [
        *("/", "/favicon.ico", "/bucket/key", "/latest/meta-data/iam/security-credentials/"),
        *("/moto-api/", "/moto-api/reset", "/moto-api/data.json", "/moto-api/config"),
        *("/moto-api/recorder/start-recording", "/moto-api/proxy/passthrough"),
        *("/cloudformation_eu-west-1/cfnresponse", "/eu-west-1_a/.well-known/jwks.json"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_nothing_is_done_without_a_signature(cloud: Cloud, path: str, method: str) -> None:
    answer = httpx.request(method, cloud.variables()["AWS_ENDPOINT_URL"] + path)
    assert (answer.status_code, "MissingAuthenticationToken" in answer.text) == (403, True)


@pytest.mark.parametrize(
    ("target", "body"),
    [
        ("AWSCognitoIdentityService.GetId", "{}"),  # AWS itself answers these unsigned
        ("", "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=r&WebIdentityToken=t"),
    ],
)
def test_nor_what_aws_answers_without_one(cloud: Cloud, target: str, body: str) -> None:
    kind = "application/x-amz-json-1.1" if target else "application/x-www-form-urlencoded"
    headers = {"Content-Type": kind} | ({"X-Amz-Target": target} if target else {})
    answer = httpx.post(cloud.variables()["AWS_ENDPOINT_URL"], content=body, headers=headers)
    assert (answer.status_code, "MissingAuthenticationToken" in answer.text) == (403, True)


@pytest.mark.parametrize("path", ["/moto-api/", "/moto-api/reset", "/moto-api/data.json"])
def test_moto_s_own_api_is_closed_to_the_key_as_well(cloud: Cloud, path: str) -> None:
    local_aws.connect(cloud.variables(), "sqs").create_queue(QueueName="kept")
    request = sign(cloud, "POST", path)
    answer = httpx.post(request.url, headers=dict(request.headers))
    assert (answer.status_code, "AccessDenied" in answer.text) == (403, True)
    assert local_aws.connect(cloud.variables(), "sqs").list_queues()["QueueUrls"]


@pytest.mark.parametrize(
    "change",
    [
        {"method": "DELETE"},
        {"path": "/bucket/other"},
        {"path": "/bucket/key?acl"},
        {"body": b"changed"},
        {"Host": "localhost:{port}"},
        {"X-Amz-Meta-Owner": "somebody else"},
    ],
)
def test_whatever_is_signed_cannot_be_changed(cloud: Cloud, change: dict[str, Any]) -> None:
    # GIVEN a request that works
    s3 = local_aws.connect(cloud.variables(), "s3")
    with suppress(s3.exceptions.BucketAlreadyOwnedByYou):
        s3.create_bucket(Bucket="bucket", CreateBucketConfiguration={"LocationConstraint": REGION})
    owner = {"X-Amz-Meta-Owner": "me"}
    request = sign(cloud, "PUT", "/bucket/key", body=b"sent", headers=owner)
    parts = urlsplit(request.url)
    headers = {"Host": parts.netloc, **dict(request.headers)}
    sent: dict[str, Any] = {"method": "PUT", "path": parts.path, "body": b"sent"}
    reply = send(parts.netloc, **sent, headers=headers)
    assert reply.status == 200
    # WHEN anything in it is another THEN it is refused
    for key, value in change.items():
        if key in sent:
            sent[key] = value
        else:
            headers[key] = value.format(port=parts.port)
    reply = send(parts.netloc, **sent, headers=headers)
    assert (reply.status, "SignatureDoesNotMatch" in reply.text) == (403, True)


@pytest.mark.parametrize(
    "authorization",
    [
        "AWS4-HMAC-SHA256",
        "AWS4-HMAC-SHA256 Credential=, SignedHeaders=, Signature=",
        "AWS4-HMAC-SHA256 Credential=a/b/c, SignedHeaders=host, Signature=0",
        "AWS4-HMAC-SHA256 Credential={key}/20261127/r/s3/aws4_request, SignedHeaders=host",
        "AWS4-HMAC-SHA256 Credential={key}/20261127/r/s3/aws4_request, SignedHeaders=, Signature=ä",
        "AWS4-ECDSA-P256-SHA256 Credential={key}/r/aws4_request, SignedHeaders=a, Signature=",
        "AWS {key}:signature",
        "Basic bG9jYWw6bG9jYWw=",
        "Bearer {key}",
        "\x00\xff",
    ],
)
def test_refuses_what_is_no_signature(cloud: Cloud, authorization: str) -> None:
    netloc = urlsplit(cloud.variables()["AWS_ENDPOINT_URL"]).netloc
    headers = {"Authorization": authorization.format(key=cloud.key.id), "Host": netloc}
    reply = send(netloc, "GET", "/", headers)
    assert (reply.status, "IncompleteSignature" in reply.text) == (403, True)


def test_a_signature_that_leaves_the_host_out_is_refused(cloud: Cloud) -> None:
    class WithoutHost(auth.SigV4Auth):
        def headers_to_sign(self, request: Any) -> Any:
            headers = super().headers_to_sign(request)
            del headers["host"]
            return headers

    request = sign(cloud, "GET", "/", service="lambda", signer=WithoutHost)
    answer = httpx.get(request.url, headers=dict(request.headers))
    assert (answer.status_code, "SignatureDoesNotMatch" in answer.text) == (403, True)


def set_clock(monkeypatch: pytest.MonkeyPatch, ahead: timedelta) -> None:
    """Put the endpoint's clock ahead."""

    class Clock(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            return datetime.now(tz) + ahead

    monkeypatch.setattr("infra.local.control.aws_endpoint.datetime", Clock)


@pytest.mark.parametrize(
    ("service", "minutes", "holds"),
    [
        *(("sts", -4, True), ("sts", 4, True), ("sts", -6, False), ("sts", 6, False)),
        *(("s3", -14, True), ("s3", 14, True), ("s3", -16, False), ("s3", 16, False)),
    ],
)
def test_a_signature_holds_for_minutes(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, service: str, minutes: int, holds: bool
) -> None:
    set_clock(monkeypatch, timedelta(minutes=minutes))
    client = local_aws.connect(cloud.variables(), service)
    call = client.list_buckets if service == "s3" else client.get_caller_identity
    if holds:
        call()
        return
    with pytest.raises(ClientError, match="RequestExpired"):
        call()


def test_a_session_token_of_somebody_s_real_credentials_is_refused(cloud: Cloud) -> None:
    credentials = Credentials(cloud.key.id, cloud.key.secret, "token")
    request = AWSRequest("GET", cloud.variables()["AWS_ENDPOINT_URL"] + "/")
    auth.S3SigV4Auth(credentials, "s3", REGION).add_auth(request)
    answer = httpx.get(str(request.url), headers=dict(request.headers))
    assert (answer.status_code, "InvalidClientTokenId" in answer.text) == (403, True)


def test_objects_of_any_name_come_and_go(cloud: Cloud) -> None:
    s3 = local_aws.connect(cloud.variables(), "s3")
    s3.create_bucket(Bucket="names", CreateBucketConfiguration={"LocationConstraint": REGION})
    for key in ("a/b c+d.csv", "ü/x", "a//b", "../up", "~x", "k=1&2", "%2F"):
        s3.put_object(Bucket="names", Key=key, Body=key.encode(), Metadata={"a_b": "x  y"})
        assert s3.get_object(Bucket="names", Key=key)["Body"].read() == key.encode()
    assert s3.list_objects_v2(Bucket="names", Prefix="a/b c", Delimiter="/")["KeyCount"] == 1


def test_presigned_urls_work_until_they_expire(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3 = local_aws.connect(cloud.variables(), "s3", Config(signature_version="s3v4"))
    s3.create_bucket(Bucket="signed", CreateBucketConfiguration={"LocationConstraint": REGION})
    where = {"Bucket": "signed", "Key": "a b/ü.csv"}
    # GIVEN a URL for anybody WHEN it is used THEN it does what it says, and nothing else
    assert httpx.put(s3.generate_presigned_url("put_object", where), content=b"1,2").is_success
    url = s3.generate_presigned_url("get_object", where, ExpiresIn=60)
    assert httpx.get(url).content == b"1,2"
    assert httpx.delete(url).status_code == 403
    assert httpx.get(url.replace("X-Amz-Expires=60", "X-Amz-Expires=600")).status_code == 403
    assert httpx.get(url.replace("%20", "+")).status_code == 403
    # AND not for longer
    answer = httpx.get(s3.generate_presigned_url("get_object", where, ExpiresIn=604_801))
    assert (answer.status_code, "IncompleteSignature" in answer.text) == (403, True)
    set_clock(monkeypatch, timedelta(seconds=61))
    assert "RequestExpired" in httpx.get(url).text


def test_signature_version_2_is_reported(cloud: Cloud) -> None:
    s3 = local_aws.connect(cloud.variables(), "s3", Config(signature_version="s3"))
    url = s3.generate_presigned_url("get_object", {"Bucket": "b", "Key": "k"})
    answer = httpx.get(url)
    assert answer.status_code == 403
    assert "Signature Version 2, expected AWS4-HMAC-SHA256" in answer.text


@pytest.mark.parametrize(
    ("service", "stated", "holds"),
    [
        ("s3", "UNSIGNED-PAYLOAD", True),
        ("s3", hashlib.sha256(b"another").hexdigest(), False),
        ("sqs", "UNSIGNED-PAYLOAD", False),
    ],
)
def test_only_s3_lets_a_payload_be_unsigned(
    cloud: Cloud, service: str, stated: str, holds: bool
) -> None:
    headers = {"X-Amz-Content-SHA256": stated}
    request = sign(
        cloud, "GET", "/", service=service, headers=headers, signer=auth.SigV4Auth, body=b""
    )
    answer = httpx.get(request.url, headers=dict(request.headers))
    assert (answer.status_code != 403) == holds


def test_the_rules_of_a_bucket_open_nothing(cloud: Cloud) -> None:
    s3 = local_aws.connect(cloud.variables(), "s3", Config(signature_version="s3v4"))
    s3.create_bucket(Bucket="open", CreateBucketConfiguration={"LocationConstraint": REGION})
    rule = {"AllowedOrigins": ["*"], "AllowedMethods": ["GET", "PUT"], "AllowedHeaders": ["*"]}
    s3.put_bucket_cors(Bucket="open", CORSConfiguration={"CORSRules": [rule]})
    url = s3.generate_presigned_url("list_objects_v2", {"Bucket": "open"})
    answer = httpx.get(url)
    assert answer.is_success
    assert not any(name.startswith("access-control-") for name in answer.headers)


# The Runtime API.

RUNTIME = "/2018-06-01/runtime"


@pytest.fixture
async def open_invocation(
    local: Platform, client: httpx.AsyncClient, gate: Any
) -> AsyncIterator[tuple[str, Invocation, asyncio.Task[httpx.Response], Any]]:
    """An environment that works: its address, its invocation, the caller's request, its end."""
    request = asyncio.create_task(client.get(gate.path))
    waiting = await gate.arrival()
    [environment] = local.function.environments("1")
    assert environment.invocation
    yield environment._address, environment.invocation, request, waiting  # noqa: SLF001 nobody tells
    waiting.close()
    await request


async def post(address: str, path: str, body: bytes, invocation_id: str = "") -> int:
    headers = {"Host": address, "Lambda-Runtime-Invocation-Id": invocation_id}
    reply = await asyncio.to_thread(send, address, "POST", RUNTIME + path, headers, body)
    return reply.status


async def test_the_runtime_api_is_where_nobody_looks(local: Platform) -> None:
    await local.function.warm("1")
    addresses = [one._address for one in local.function.environments("1")]  # noqa: SLF001 nobody tells
    hosts = {address.partition(":")[0] for address in addresses}
    assert len(hosts) == 2
    assert "127.0.0.1" not in hosts


@pytest.mark.parametrize("kind", ["response", "error"])
async def test_the_runtime_api_takes_an_answer_only_from_whom_it_asked(
    local: Platform, open_invocation: Any, kind: str
) -> None:
    address, invocation, request, waiting = open_invocation
    body = b'{"errorType": "Stolen", "errorMessage": "stolen"}'
    path = f"/invocation/{invocation.request_id}/{kind}"
    # GIVEN another environment, which works on nothing
    await local.function.warm("1")
    other = local.function.environments("1")[1]._address  # noqa: SLF001 nobody tells
    # WHEN somebody answers for another invocation, without its id, or by way of another environment
    assert await post(address, f"/invocation/other/{kind}", body, invocation.id) == 400
    assert await post(address, path, body) == 400
    assert await post(address, path, body, "guessed") == 400
    assert await post(address, path, body, "\xff") == 400
    assert await post(other, path, body, invocation.id) == 400
    assert await post(address, "/init/error", body) == 403
    # THEN the caller gets the handler's own answer
    waiting.close()
    answer = await request
    assert answer.status_code == 200
    assert answer.json()["request_id"] == invocation.request_id
    # AND nobody can answer a second time
    assert await post(address, path, body, invocation.id) == 400


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"{", b"[]", b"null", b'"text"', b"\xff\xfe", b"{}", b'{"errorType": 1}'),
        *(b"[" * 200_000, b'{"errorType": "x", "errorMessage": null}'),
    ],
)
async def test_a_malformed_error_is_refused_and_the_invocation_goes_on(
    open_invocation: Any, body: bytes
) -> None:
    address, invocation, request, waiting = open_invocation
    path = f"/invocation/{invocation.request_id}/error"
    assert await post(address, path, body, invocation.id) == 400
    assert await post(address, "/init/error", body) == 400
    waiting.close()
    assert (await request).status_code == 200


async def test_an_answer_that_is_too_large_is_refused_only_if_it_is_asked_for(
    open_invocation: Any,
) -> None:
    address, _, request, waiting = open_invocation
    large = b"x" * (7 << 20)
    assert await post(address, "/invocation/other/response", large) == 400
    waiting.close()
    assert (await request).status_code == 200


# State machines.


async def test_a_task_of_a_state_machine_invokes_the_function(
    local: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    # GIVEN a state machine that moto interprets
    monkeypatch.setitem(default_user_config, "stepfunctions", {"execute_state_machine": True})
    states = local_aws.connect(local.cloud.variables(), "stepfunctions")
    task = {
        "Type": "Task",
        "Resource": "arn:aws:states:::lambda:invoke",
        "Parameters": {"FunctionName": "shop-InferenceFunction:live", "Payload.$": "$"},
        "End": True,
    }
    definition = {"StartAt": "Ask", "States": {"Ask": task}}
    machine = await asyncio.to_thread(
        states.create_state_machine,
        name="ask",
        definition=json.dumps(definition),
        roleArn="arn:aws:iam::123456789012:role/states",
    )
    # WHEN it is started
    event = {"rawPath": "/echo", "queryStringParameters": None}
    started = await asyncio.to_thread(
        states.start_execution,
        stateMachineArn=machine["stateMachineArn"],
        input=json.dumps(event),
    )
    async with asyncio.timeout(60):
        while True:
            told = await asyncio.to_thread(
                states.describe_execution, executionArn=started["executionArn"]
            )
            if told["status"] != "RUNNING":
                break
            await asyncio.sleep(0.1)
    # THEN the function has answered
    assert told["status"] == "SUCCEEDED", told
    answer = json.loads(json.loads(told["output"])["Payload"]["body"])
    assert answer["event"] == event
