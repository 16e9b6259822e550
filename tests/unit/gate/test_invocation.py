import base64
import json
from io import BytesIO
from types import SimpleNamespace
from typing import Any

import pytest

from gate.errors import RefusedError
from gate.invocation import Version

# As Lambda writes it: with tabs, and X-Ray's line behind it.
REPORT = (
    "2026-11-22T15:00:00.000Z some line with Duration: 99 ms\n"
    "END RequestId: 8f507cfc\n"
    "REPORT RequestId: 8f507cfc\tDuration: 12.34 ms\tBilled Duration: 13 ms\t"
    "Memory Size: 1769 MB\tMax Memory Used: 130 MB\t{}\n"
    "XRAY TraceId: 1-5\tSegmentId: 6\tSampled: true\n"
)


def answer(payload: Any, log: str = "", **fields: str) -> Version:
    """Return a version that always answers `payload`."""
    text = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    response = {"Payload": BytesIO(text), "LogResult": base64.b64encode(log.encode()), **fields}
    return Version(SimpleNamespace(invoke=lambda **_: response), "arn:function:shop", "7")


@pytest.mark.parametrize(
    ("log", "milliseconds"),
    [
        (REPORT.format(""), 12.34),
        (REPORT.format("Init Duration: 800.00 ms\t"), None),
        (REPORT.format("Restore Duration: 200.00 ms\tBilled Restore Duration: 200 ms"), None),
        ("REPORT RequestId: 1\tDuration: 1 ms\n" + REPORT.format(""), 12.34),
        ("no report", None),
        ("", None),
    ],
)
def test_reads_how_long_a_warm_version_took(log: str, milliseconds: float | None) -> None:
    assert answer({"statusCode": 200}, log).ask({}).milliseconds == milliseconds


def test_reads_text_and_base64() -> None:
    assert answer({"statusCode": 200, "body": "ü"}).ask({}).body == "ü".encode()
    packed = {"statusCode": 200, "body": "AAE=", "isBase64Encoded": True}
    assert answer(packed).ask({}).body == b"\x00\x01"


@pytest.mark.parametrize("payload", [b"null", b"{}", b"[", b'"text"', {"statusCode": "200"}])
def test_refuses_what_is_no_http_response(payload: Any) -> None:
    with pytest.raises(RefusedError, match="version 7 gave no HTTP response"):
        answer(payload).ask({})


@pytest.mark.parametrize(
    ("payload", "event", "reason"),
    [
        ({"errorType": "Kind", "errorMessage": "why"}, {}, "version 7 gave no answer: Kind: why$"),
        ({"errorType": "Kind", "errorMessage": "4.5"}, {"body": "4.5"}, "Kind; see its log"),
        ({"errorMessage": "Task timed out"}, {}, "the invocation failed: Task timed out"),
        (b"", {}, "version 7 gave no answer: the invocation failed$"),
    ],
)
def test_tells_why_there_is_no_answer_unless_that_may_quote_a_sample(
    payload: Any, event: dict[str, Any], reason: str
) -> None:
    with pytest.raises(RefusedError, match=reason):
        answer(payload, FunctionError="Unhandled").ask(event)
