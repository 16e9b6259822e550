"""gzip and deflate for bodies (RFC 9110, section 8.4.1), with a cap on what they expand to."""

import io
import zlib
from collections.abc import Mapping

from serving.errors import EncodingError, LimitError, RequestError

# Below this, what is saved on the wire is less than what compressing costs in billed time.
WORTH_COMPRESSING = 1400  # bytes: one network packet
FASTEST = 1
_PIECE = 2**20  # bytes that are expanded at one go, and so held twice
_WINDOW_BITS = {"gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}
_REFUSALS = {"q=0", "q=0.0", "q=0.00", "q=0.000"}


def expand(body: bytes, headers: Mapping[str, str], limit: int) -> bytes:
    """Undo the request's Content-Encoding.

    API Gateway hands a body of type application/json over as text, which a compressed one is not.

    Raises EncodingError for an unknown one, RequestError for a broken body, and LimitError when it
    would be larger than `limit` bytes: no more than that is ever expanded.
    """
    encoding = headers.get("content-encoding", "identity").strip().lower()
    if encoding == "identity":
        return body
    if encoding not in _WINDOW_BITS:
        raise EncodingError("content-encoding: expected gzip, deflate or identity")
    stream = zlib.decompressobj(_WINDOW_BITS[encoding])
    expanded = io.BytesIO()
    rest = body
    try:
        while not stream.eof:
            piece = stream.decompress(rest, min(_PIECE, limit + 1 - expanded.tell()))
            rest = stream.unconsumed_tail
            if not (piece or rest or stream.eof):
                raise RequestError(f"the body's {encoding} data ends too early")
            expanded.write(piece)
            if expanded.tell() > limit:
                raise LimitError(f"the body expands to more than {limit} bytes")
    except zlib.error as error:
        raise RequestError(
            f"the body is not {encoding}, as its content-encoding says; of type application/json "
            "or text/csv it would be spoiled on its way, send JSON as application/octet-stream"
        ) from error
    if stream.unused_data:
        raise RequestError(f"the body goes on after the end of its {encoding} data")
    return expanded.getvalue()  # not a copy


def compress(body: bytes, headers: Mapping[str, str]) -> tuple[bytes, dict[str, str]]:
    """Encode an answer if the caller accepts that and it is worth the time; return its headers."""
    encoding = _choose(headers) if len(body) >= WORTH_COMPRESSING else None
    if encoding is None:
        return body, {}
    stream = zlib.compressobj(FASTEST, wbits=_WINDOW_BITS[encoding])
    compressed = stream.compress(body) + stream.flush()
    return compressed, {"content-encoding": encoding, "vary": "accept-encoding"}


def _choose(headers: Mapping[str, str]) -> str | None:
    offers = headers.get("accept-encoding", "").lower().split(",")
    parts = (offer.partition(";") for offer in offers)
    wanted = {name.strip() for name, _, quality in parts if quality.strip() not in _REFUSALS}
    return next((encoding for encoding in _WINDOW_BITS if encoding in wanted), None)
