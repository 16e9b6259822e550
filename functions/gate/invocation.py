"""One version of the inference function, asked as the HTTP API asks it."""

import base64
import re
from typing import Any

import msgspec

from gate.errors import RefusedError

REPORT = re.compile(rb"^REPORT .*?\bDuration: ([\d.]+) ms.*$", re.MULTILINE)
COLD = re.compile(rb"\b(Init|Restore) Duration")
LONGEST = 200  # characters of what a function says
OK = 200


class HttpResponse(msgspec.Struct, frozen=True):
    """What a function returns to an HTTP API (payload format 2.0)."""

    statusCode: int  # noqa: N815 the format's own name
    body: str = ""
    isBase64Encoded: bool = False  # noqa: N815 the format's own name


class Answer(msgspec.Struct, frozen=True):
    """A version's answer; `milliseconds` is how long a warm one took by Lambda's own clock."""

    status: int
    body: bytes
    milliseconds: float | None

    @property
    def error(self) -> str:
        """What the answer says is wrong, if it is an error of the protocol's form."""
        try:
            return msgspec.json.decode(self.body, type=dict[str, str])["error"][:LONGEST]
        except (msgspec.DecodeError, UnicodeDecodeError, KeyError):
            return ""

    def read[T](self, form: type[T], what: str) -> T:
        """Decode a successful answer as `form`; raise RefusedError, which names `what`."""
        if self.status != OK:
            because = f": {self.error}" if self.error else ""
            raise RefusedError(f"{what}: status {self.status}, expected {OK}{because}")
        try:
            return msgspec.json.decode(self.body, type=form)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise RefusedError(f"{what}: the answer is not of the protocol's form") from error


class Version(msgspec.Struct, frozen=True):
    """A published version; `function` is the ARN without it, `client` boto3's for Lambda."""

    client: Any
    function: str
    number: str

    def ask(self, event: dict[str, Any]) -> Answer:
        """Return the answer to an HTTP API's event.

        Raises RefusedError when there is none: a crash, a timeout, a start that failed.
        """
        response = self.client.invoke(
            FunctionName=self.function,
            Qualifier=self.number,
            Payload=msgspec.json.encode(event),
            LogType="Tail",
        )
        payload = response["Payload"].read()
        if "FunctionError" in response:
            raise RefusedError(f"version {self.number} gave no answer: {_explain(payload, event)}")
        try:
            http = msgspec.json.decode(payload, type=HttpResponse)
        except msgspec.DecodeError as error:
            raise RefusedError(f"version {self.number} gave no HTTP response") from error
        body = base64.b64decode(http.body) if http.isBase64Encoded else http.body.encode()
        return Answer(http.statusCode, body, _milliseconds(response.get("LogResult", "")))


def _explain(payload: bytes, event: dict[str, Any]) -> str:
    """Say how a function failed, in its own words only if these cannot quote a sample."""
    try:
        error = msgspec.json.decode(payload, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError):
        return "the invocation failed"
    kind = str(error.get("errorType", "the invocation failed"))[:LONGEST]
    if "body" in event:
        return f"{kind}; see its log"
    return f"{kind}: {error.get('errorMessage', '')}"[: LONGEST + len(kind)]


def _milliseconds(tail: str) -> float | None:
    """Read the duration from the end of an invocation's log; that of a cold start says little."""
    reports = list(REPORT.finditer(base64.b64decode(tail)))
    if not reports or COLD.search(reports[-1][0]):
        return None
    return float(reports[-1][1])
