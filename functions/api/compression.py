"""gzip and deflate for bodies (RFC 9110, section 8.4.1), with a cap on what they expand to."""

import zlib
from collections.abc import Mapping

from serving.errors import EncodingError, LimitError, RequestError

# Below this, what is saved on the wire is less than what compressing costs in billed time.
WORTH_COMPRESSING = 1400  # bytes: one network packet
FASTEST = 1
_WINDOW_BITS = {"gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}
_REFUSALS = {"q=0", "q=0.0", "q=0.00", "q=0.000"}


def expand(body: bytes, headers: Mapping[str, str], limit: int) -> bytes:
    """Undo the request's Content-Encoding.

    Raises EncodingError for an unknown one, RequestError for a broken body, and LimitError when it
    would be larger than `limit` bytes, of which no more than that is ever expanded.
    """
    encoding = headers.get("content-encoding", "identity").strip().lower()
    if encoding == "identity":
        return body
    if encoding not in _WINDOW_BITS:
        raise EncodingError("content-encoding: expected gzip, deflate or identity")
    stream = zlib.decompressobj(_WINDOW_BITS[encoding])
    try:
        expanded = stream.decompress(body, limit + 1)
    except zlib.error as error:
        raise RequestError(f"the body is not {encoding}, as its content-encoding says") from error
    if len(expanded) > limit:
        raise LimitError(f"the body expands to more than {limit} bytes")
    if not stream.eof:
        raise RequestError(f"the body's {encoding} data ends too early")
    return expanded


def choose(headers: Mapping[str, str], size: int) -> str | None:
    """Return the encoding that the caller accepts and that is worth its time, if there is one."""
    accepted = headers.get("accept-encoding", "")
    if size < WORTH_COMPRESSING or not accepted:
        return None
    offers = (offer.partition(";") for offer in accepted.lower().split(","))
    wanted = {name.strip() for name, _, quality in offers if quality.strip() not in _REFUSALS}
    return next((encoding for encoding in _WINDOW_BITS if encoding in wanted), None)


def compress(body: bytes, encoding: str) -> bytes:
    """Apply a Content-Encoding."""
    stream = zlib.compressobj(FASTEST, wbits=_WINDOW_BITS[encoding])
    return stream.compress(body) + stream.flush()
