"""The structure of a JSON text: which of its commas, colons and brackets are not in a string."""

from collections.abc import Iterator

import numpy as np

_BLOCK = 2**16  # bytes


def count_outside_strings(text: memoryview, mark: bytes) -> int:
    """Count the character `mark`, at a nanosecond a byte and without memory to speak of."""
    found = 0
    is_inside = np.False_
    for block in _without_escapes(text):
        codes = np.frombuffer(block, np.uint8)
        inside = np.logical_xor.accumulate(codes == ord('"')) ^ is_inside
        found += int(np.count_nonzero((codes == ord(mark)) & ~inside))
        is_inside = inside[-1] if len(inside) else is_inside
    return found


def _without_escapes(text: memoryview) -> Iterator[bytes]:
    """Yield `text` in blocks, without the escapes that look like the end of a string."""
    start = 0
    while start < len(text):
        block = bytes(text[start : start + _BLOCK])
        backslashes = len(block) - len(block.rstrip(b"\\"))
        if backslashes % 2:  # the last one's escape is cut in two
            block = bytes(text[start : start + _BLOCK + 1])
        start += len(block)
        yield block.replace(b"\\\\", b"").replace(b'\\"', b"") if b"\\" in block else block
