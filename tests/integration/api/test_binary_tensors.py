"""The binary tensor extension and compressed bodies, through the handler."""

import base64
import gzip
import json
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.handlers import Loaded
from tests.onnx_models import identity, logistic

INFER = "/v2/models/tiny/infer"
LENGTH = "inference-header-content-length"
ROWS = np.array([[1, 2, 3, 4], [5, 6, 7, 8]], np.float32)

Send = Callable[..., tuple[dict[str, Any], Any, bytes]]


@pytest.fixture
def send(lambda_context: Any, http_event: Callable[..., dict[str, Any]]) -> Send:
    """Send bytes both ways, and return the answer, its JSON and the bytes behind it."""

    def exchange(api: Loaded, body: bytes, **headers: str) -> tuple[dict[str, Any], Any, bytes]:
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        event = http_event(
            "POST", INFER, base64.b64encode(body).decode(), isBase64Encoded=True, headers=headers
        )
        answer = api.handler(event, lambda_context)
        assert answer == api.application(event, lambda_context)
        raw = (
            base64.b64decode(answer["body"])
            if answer["isBase64Encoded"]
            else answer["body"].encode()
        )
        encoding = answer["headers"].get("content-encoding")
        plain = raw if encoding is None else zlib.decompress(raw, 32 + zlib.MAX_WBITS)
        length = int(answer["headers"].get(LENGTH, len(plain)))
        return answer, json.loads(plain[:length]), plain[length:]

    return exchange


def tensor(array: Any, **changes: Any) -> dict[str, Any]:
    return {
        "name": "features",
        "shape": list(array.shape),
        "datatype": "FP32",
        "parameters": {"binary_data_size": array.nbytes},
    } | changes


def body_of(request: dict[str, Any], *parts: bytes) -> tuple[bytes, str]:
    header = json.dumps(request).encode()
    return b"".join([header, *parts]), str(len(header))


@pytest.fixture
def api(load_handler: Callable[..., Loaded]) -> Loaded:
    return load_handler(logistic())


def test_bytes_in_and_json_out(api: Loaded, send: Send) -> None:
    body, length = body_of({"inputs": [tensor(ROWS)]}, ROWS.tobytes())

    answer, response, rest = send(api, body, inference_header_content_length=length)

    assert answer["headers"]["content-type"] == "application/json"
    assert LENGTH not in answer["headers"]
    assert response["outputs"][0]["data"] == [0.6899744272232056, 0.8581489324569702]
    assert rest == b""


@pytest.mark.parametrize(
    "wanted",
    [
        {"parameters": {"binary_data_output": True}},
        {"outputs": [{"name": "scores", "parameters": {"binary_data": True}}]},
        {
            "parameters": {"binary_data_output": False},
            "outputs": [{"name": "scores", "parameters": {"binary_data": True}}],
        },
    ],
)
def test_bytes_out_when_they_are_asked_for(api: Loaded, send: Send, wanted: dict[str, Any]) -> None:
    body, length = body_of({"inputs": [tensor(ROWS)], **wanted}, ROWS.tobytes())

    answer, response, rest = send(api, body, inference_header_content_length=length)

    assert answer["headers"]["content-type"] == "application/octet-stream"
    assert response["outputs"] == [
        {
            "name": "scores",
            "datatype": "FP32",
            "shape": [2, 1],
            "parameters": {"binary_data_size": 8},
        }
    ]
    assert np.frombuffer(rest, "<f4").tolist() == [0.6899744272232056, 0.8581489324569702]


def test_an_output_may_refuse_what_the_request_asks_for_all(api: Loaded, send: Send) -> None:
    outputs = [{"name": "scores", "parameters": {"binary_data": False}}]
    request = {
        "inputs": [tensor(ROWS)],
        "outputs": outputs,
        "parameters": {"binary_data_output": True},
    }
    body, length = body_of(request, ROWS.tobytes())

    _, response, rest = send(api, body, inference_header_content_length=length)

    assert len(response["outputs"][0]["data"]) == 2
    assert rest == b""


def test_a_raw_request_is_nothing_but_the_bytes_of_the_only_input(api: Loaded, send: Send) -> None:
    _, response, rest = send(api, ROWS.tobytes(), inference_header_content_length="0")

    assert response["outputs"][0]["shape"] == [2, 1]
    assert len(rest) == 8


@pytest.mark.parametrize(
    ("datatype", "array"),
    [
        ("BF16", np.array([0x3F80, 0xC000], np.uint16)),
        ("FP16", np.array([1.5, -2], np.float16)),
        ("UINT64", np.array([2**64 - 1, 0], np.uint64)),
        ("BOOL", np.array([True, False])),
    ],
)
def test_any_datatype_comes_back_as_it_went(
    load_handler: Callable[..., Loaded], send: Send, datatype: str, array: Any
) -> None:
    api = load_handler(identity(datatype, [None]))
    request = {
        "inputs": [tensor(array, name="x", datatype=datatype)],
        "parameters": {"binary_data_output": True},
    }
    body, length = body_of(request, array.tobytes())

    _, response, rest = send(api, body, inference_header_content_length=length)

    assert response["outputs"][0]["datatype"] == datatype
    assert rest == array.tobytes()


def test_strings_come_back_as_they_went(load_handler: Callable[..., Loaded], send: Send) -> None:
    api = load_handler(identity("BYTES", [None]))
    data = b"\x05\0\0\0gr\xc3\xbcn\0\0\0\0"
    parameters = {"binary_data_size": len(data)}
    request = {
        "inputs": [{"name": "x", "shape": [2], "datatype": "BYTES", "parameters": parameters}],
        "parameters": {"binary_data_output": True},
    }
    body, length = body_of(request, data)

    assert send(api, body, inference_header_content_length=length)[2] == data


def test_a_raw_request_of_text_is_one_string_without_its_length(
    load_handler: Callable[..., Loaded], send: Send
) -> None:
    api = load_handler(identity("BYTES", [None]))

    _, _, rest = send(api, b"hello", inference_header_content_length="0")

    assert rest == b"\x05\0\0\0hello"


def test_a_raw_request_is_not_json(api: Loaded, send: Send) -> None:
    headers = {"content_type": "application/json", "inference_header_content_length": "0"}

    answer, response, _ = send(api, ROWS.tobytes(), **headers)

    assert answer["statusCode"] == 400
    assert "Expected the JSON's length, got 0" in response["error"]


@pytest.mark.parametrize(
    ("changes", "parts", "length", "message"),
    [
        ({}, [ROWS.tobytes()[:-1]], None, "is 32, the body has 31 bytes left"),
        ({}, [ROWS.tobytes(), b"xx"], None, "2 bytes of binary data belong to no input"),
        ({"parameters": {"binary_data_size": 28}}, [ROWS.tobytes()], None, "Expected 32 bytes"),
        ({"parameters": {"binary_data_size": -1}}, [ROWS.tobytes()], None, "Expected `int` >= 0"),
        ({"parameters": {"binary_data_size": 2**62}}, [ROWS.tobytes()], None, "bytes left"),
        ({"data": [1]}, [ROWS.tobytes()], None, "either `data` or `binary_data_size`"),
        ({"parameters": {}}, [], None, "`data` is missing"),
        ({}, [ROWS.tobytes()], "-1", "inference-header-content-length: Expected 0 to"),
        ({}, [ROWS.tobytes()], "99999", "inference-header-content-length: Expected 0 to"),
        ({}, [ROWS.tobytes()], "1" * 5000, "inference-header-content-length: Expected 0 to"),
        ({}, [ROWS.tobytes()], "ten", "inference-header-content-length: Expected 0 to"),
        ({}, [ROWS.tobytes()], "5", "body: "),
        ({}, [ROWS.tobytes()], "0", "Expected"),
    ],
)
def test_sizes_that_lie_are_refused(
    api: Loaded,
    send: Send,
    changes: dict[str, Any],
    parts: list[bytes],
    length: str | None,
    message: str,
) -> None:
    body, true_length = body_of({"inputs": [tensor(ROWS, **changes)]}, *parts)

    answer, response, _ = send(api, body, inference_header_content_length=length or true_length)

    assert answer["statusCode"] == 400
    assert message in response["error"]


COMPRESS: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.compress, "deflate": zlib.compress}


@pytest.mark.parametrize("encoding", COMPRESS)
def test_a_compressed_request_is_the_same_request(api: Loaded, send: Send, encoding: str) -> None:
    # GIVEN a length that counts the JSON as it is before compression
    body, length = body_of({"inputs": [tensor(ROWS)]}, ROWS.tobytes())

    answer, _, _ = send(
        api,
        COMPRESS[encoding](body),
        content_encoding=encoding,
        inference_header_content_length=length,
    )

    assert answer["statusCode"] == 200


@pytest.mark.parametrize(
    ("body", "encoding", "status", "message"),
    [
        (b"{}", "gzip", 400, "the body is not gzip"),
        (gzip.compress(b"{}" * 999)[:-9], "gzip", 400, "the body's gzip data ends too early"),
        (gzip.compress(b"{}") + b"more", "gzip", 400, "goes on after the end of its gzip data"),
        (b"{}", "br", 415, "content-encoding: expected gzip, deflate or identity"),
        (gzip.compress(b" " * 30_000_000), "gzip", 413, "expands to more than 2524288 bytes"),
    ],
    ids=["no gzip", "too short", "too long", "brotli", "too large"],
)
def test_a_body_that_does_not_expand_is_refused(
    api: Loaded, send: Send, body: bytes, encoding: str, status: int, message: str
) -> None:
    answer, response, _ = send(api, body, content_encoding=encoding)

    assert answer["statusCode"] == status
    assert message in response["error"]


@pytest.mark.parametrize(
    ("accepted", "encoding"),
    [
        ("gzip, deflate, br", "gzip"),
        ("deflate", "deflate"),
        ("br;q=1.0, gzip;q=0.5", "gzip"),
        ("gzip;q=0, deflate", "deflate"),
        ("br", None),
        ("identity", None),
    ],
)
@pytest.mark.parametrize("binary", [True, False])
def test_a_large_answer_is_compressed_when_the_caller_accepts_it(
    api: Loaded, send: Send, accepted: str, encoding: str | None, binary: bool
) -> None:
    rows = np.resize(ROWS, (1000, 4))
    body, length = body_of(
        {"inputs": [tensor(rows)], "parameters": {"binary_data_output": binary}}, rows.tobytes()
    )

    answer, response, rest = send(
        api, body, accept_encoding=accepted, inference_header_content_length=length
    )

    assert answer["headers"].get("content-encoding") == encoding
    assert response["outputs"][0]["shape"] == [1000, 1]
    assert len(rest) == (4000 if binary else 0)


@pytest.mark.parametrize(("accepted", "status"), [("identity", 413), ("gzip", 200)])
def test_an_answer_that_lambda_could_not_return_is_the_callers_error(
    load_handler: Callable[..., Loaded], send: Send, accepted: str, status: int
) -> None:
    # GIVEN a megabyte of numbers as bytes, which are many more as text
    api = load_handler(identity("FP16", [None]), limits={"rows": 2_000_000, "elements": 2_000_000})
    halves = np.full(2_000_000, 1.5, np.float16)
    body, length = body_of(
        {"inputs": [tensor(halves, name="x", datatype="FP16")]}, halves.tobytes()
    )

    answer, response, _ = send(
        api, body, inference_header_content_length=length, accept_encoding=accepted
    )

    assert answer["statusCode"] == status
    if status == 413:
        assert "larger than the 6 MB" in response["error"]


def test_a_small_answer_is_not_worth_compressing(api: Loaded, send: Send) -> None:
    body, length = body_of({"inputs": [tensor(ROWS)]}, ROWS.tobytes())

    answer, _, _ = send(api, body, accept_encoding="gzip", inference_header_content_length=length)

    assert "content-encoding" not in answer["headers"]
