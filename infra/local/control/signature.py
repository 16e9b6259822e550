"""Checks who signed a request to AWS's APIs: Signature Version 4, in a header or in the query.

Sources: docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html; of S3,
docs.aws.amazon.com/AmazonS3/latest/API/, the pages sig-v4-header-based-auth.html,
sigv4-query-string-auth.html and sigv4-streaming.html.
"""

import hashlib
import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import reduce
from urllib.parse import quote, unquote

from botocore.utils import normalize_url_path

from infra.local.control.access_key import AccessKey

ALGORITHM = "AWS4-HMAC-SHA256"
AUTHORIZATION = re.compile(
    rf"{ALGORITHM} Credential=([^,\s]+),\s*SignedHeaders=([^,\s]+),\s*Signature=([^,\s]+)"
)
TIME_FORMAT = "%Y%m%dT%H%M%SZ"
SKEW, SKEW_OF_S3 = timedelta(minutes=5), timedelta(minutes=15)
MOST_SECONDS = 604_800  # for which a URL may be signed
UNRESERVED = "-_.~"
# With these S3 lets the signature be of the headers alone; the last is that of a URL.
UNSIGNED_PAYLOADS = {
    "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
    "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
    "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
    "UNSIGNED-PAYLOAD",
}
PASTE = "paste the whole line `export AWS_ENDPOINT_URL=...` that `infra run` printed"


class SignatureError(Exception):
    """A request that AWS would refuse, too; `code` is AWS's name for why."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


@dataclass(frozen=True)
class Request:
    """What of a request is signed, as it was sent; `header` returns a value by its name, or ""."""

    method: str
    path: str
    query: str
    header: Callable[[str], str]


@dataclass(frozen=True)
class Claim:
    """What a request says about its signature; `expires` is None unless it is in the query."""

    key_id: str
    date: str
    region: str
    service: str
    token: str
    time: str
    signed_headers: tuple[str, ...]
    signature: str
    expires: str | None

    @property
    def scope(self) -> str:
        """Say what the signature is for."""
        return f"{self.date}/{self.region}/{self.service}/aws4_request"


def read_claim(request: Request) -> Claim:
    """Read who claims to have signed a request; raise SignatureError if nobody does."""
    query = {unquote(key): unquote(value) for key, value in _split(request.query)}
    if authorization := request.header("authorization"):
        found = AUTHORIZATION.fullmatch(authorization)
        if not found:
            raise SignatureError(
                "IncompleteSignature",
                f"the Authorization header must be {ALGORITHM} Credential=..., SignedHeaders=..., "
                "Signature=...",
            )
        credential, headers, signature = found.groups()
        time, token = request.header("x-amz-date"), request.header("x-amz-security-token")
        expires = None
    elif query.get("X-Amz-Algorithm") == ALGORITHM:
        fields = ("Credential", "SignedHeaders", "Signature", "Date", "Security-Token", "Expires")
        credential, headers, signature, time, token, expires = (
            query.get(f"X-Amz-{field}", "") for field in fields
        )
    elif "AWSAccessKeyId" in query:
        raise SignatureError(
            "InvalidRequest",
            f"the URL is signed by Signature Version 2, expected {ALGORITHM}: with boto3 by "
            'Config(signature_version="s3v4")',
        )
    else:
        raise SignatureError(
            "MissingAuthenticationToken", f"the request is not signed by an access key: {PASTE}"
        )
    match credential.rsplit("/", 4):
        case [key_id, date, region, service, "aws4_request"]:
            signed = tuple(headers.split(";"))
            return Claim(key_id, date, region, service, token, time, signed, signature, expires)
    raise SignatureError(
        "IncompleteSignature", "Credential must be key/date/Region/service/aws4_request"
    )


def check_claim(claim: Claim, key: AccessKey, now: datetime) -> None:
    """Raise SignatureError unless a claim is that of `key`, and of this time."""
    if not hmac.compare_digest(claim.key_id.encode(), key.id.encode()) or claim.token:
        raise SignatureError(
            "InvalidClientTokenId", f"the access key is not that of this local run: {PASTE}"
        )
    try:
        time = datetime.strptime(claim.time, TIME_FORMAT).replace(tzinfo=UTC)
        seconds = 0 if claim.expires is None else int(claim.expires)
    except ValueError:
        raise SignatureError(
            "IncompleteSignature", "X-Amz-Date must be a time such as 20261127T083000Z"
        ) from None
    if not 0 <= seconds <= MOST_SECONDS or not claim.time.startswith(claim.date):
        raise SignatureError(
            "IncompleteSignature",
            f"X-Amz-Expires must be 0 to {MOST_SECONDS}, and X-Amz-Date on the day of Credential",
        )
    skew = SKEW_OF_S3 if claim.service == "s3" else SKEW
    latest = time + (skew if claim.expires is None else timedelta(seconds=seconds))
    if not time - skew <= now <= latest:
        raise SignatureError(
            "RequestExpired", f"the signature holds until {latest:%H:%M:%S}, it is {now:%H:%M:%S}"
        )


def check_signature(request: Request, claim: Claim, key: AccessKey, body: bytes) -> None:
    """Raise SignatureError unless `key` has signed the request."""
    digest = hashlib.sha256(body).hexdigest()
    stated = request.header("x-amz-content-sha256")
    if claim.service == "s3" and not stated and claim.expires is not None:
        digest = "UNSIGNED-PAYLOAD"
    elif claim.service == "s3" and stated in UNSIGNED_PAYLOADS:
        digest = stated
    canonical = "\n".join(
        (
            request.method,
            request.path
            if claim.service == "s3"
            else quote(normalize_url_path(request.path), "/~"),
            _order(request.query),
            *(f"{name}:{' '.join(request.header(name).split())}" for name in claim.signed_headers),
            "",
            ";".join(claim.signed_headers),
            digest,
        )
    )
    text = "\n".join((ALGORITHM, claim.time, claim.scope, _hash(canonical)))
    derived = reduce(_sign, claim.scope.split("/"), f"AWS4{key.secret}".encode())
    expected = _sign(derived, text).hex()
    is_host_signed = "host" in claim.signed_headers
    if not (is_host_signed and hmac.compare_digest(expected.encode(), claim.signature.encode())):
        raise SignatureError(
            "SignatureDoesNotMatch",
            f"the signature is not that of this local run's secret access key: {PASTE}",
        )


def _hash(text: str) -> str:
    """Return the digest of a text whose characters are the bytes of a request."""
    return hashlib.sha256(text.encode("latin-1", "replace")).hexdigest()


def _sign(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")


def _order(query: str) -> str:
    """Write a query in the one way that is signed, without the signature itself."""
    encoded = (
        (quote(unquote(key), safe=UNRESERVED), quote(unquote(value), safe=UNRESERVED))
        for key, value in _split(query)
    )
    return "&".join(f"{key}={value}" for key, value in sorted(encoded) if key != "X-Amz-Signature")


def _split(query: str) -> list[tuple[str, str]]:
    pairs = (pair.partition("=") for pair in query.split("&") if pair)
    return [(key, value) for key, _, value in pairs]
