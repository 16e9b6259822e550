"""compression.py: what was compressed comes back, up to the limit, and nothing else does."""

import gzip
import zlib
from collections.abc import Callable
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols import compression
from protocols.compression import expand
from serving.errors import LimitError, RequestError

DATA = st.binary(max_size=200) | st.integers(0, 2000).map(bytes)


@pytest.mark.parametrize(
    ("encoding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)]
)
@given(data=DATA, piece=st.integers(1, 50), part=st.floats(0, 1, exclude_max=True))
def test_what_expands_to_the_limit_comes_back(
    data: bytes, piece: int, part: float, encoding: str, pack: Callable[[bytes], bytes]
) -> None:
    headers = {"content-encoding": encoding}
    packed = pack(data)

    with patch.object(compression, "_PIECE", piece):
        assert expand(packed, headers, len(data)) == data
        with pytest.raises(RequestError, match="ends too early"):
            expand(packed[: int(part * len(packed))], headers, len(data))
        with pytest.raises(RequestError, match="goes on after the end"):
            expand(packed + b"x", headers, len(data))
        if data:
            with pytest.raises(LimitError, match=f"more than {len(data) - 1} bytes"):
                expand(packed, headers, len(data) - 1)
