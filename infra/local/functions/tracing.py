"""Trace ids, and the functions that invoke themselves: Lambda stops these after a while.

Every invocation has a trace id, which AWS's libraries send along with each request that a function
makes. In it is how often the function has been invoked before on this way. Source:
docs.aws.amazon.com/lambda/latest/dg/invocation-recursion.html.
"""

import os
import re
import time
import zlib

from infra.local.errors import FunctionError

MOST_INVOCATIONS = 16  # in one chain
LINEAGE = re.compile(r"Lineage=([0-9a-f]{8}):(\d{1,4})((?:,[0-9a-f]{8}:\d{1,4}){0,32})")


class LoopError(FunctionError):
    """A function was invoked too often by what it did itself."""

    def __init__(self, name: str) -> None:
        super().__init__(
            "Lambda.RecursiveInvocation",
            f"{name} has caused {MOST_INVOCATIONS} invocations of itself: stopped",
        )


def create_trace_id() -> str:
    """Return a new trace id, as X-Ray writes them."""
    return f"Root=1-{int(time.time()):08x}-{os.urandom(12).hex()}"


def extend_lineage(trace_id: str, name: str) -> str:
    """Return a trace id, a new one if it is empty, with one more invocation of a function counted.

    Raises LoopError if there have been too many.
    """
    trace_id = trace_id or create_trace_id()
    key, counts = _name(name), _read_lineage(trace_id)
    counts[key] = counts.get(key, 0) + 1
    if counts[key] > MOST_INVOCATIONS:
        raise LoopError(name)
    lineage = ",".join(f"{one}:{count}" for one, count in counts.items())
    rest = ";".join(
        part for part in trace_id.split(";") if part and not part.startswith("Lineage=")
    )
    return f"{rest};Lineage={lineage}"


def count_invocations(trace_id: str, name: str) -> int:
    """Return how often a function has been invoked on the way that a trace id stands for."""
    return _read_lineage(trace_id).get(_name(name), 0)


def _name(function: str) -> str:
    return f"{zlib.crc32(function.encode()):08x}"


def _read_lineage(trace_id: str) -> dict[str, int]:
    found = LINEAGE.search(trace_id)
    if not found:
        return {}
    pairs = f"{found[1]}:{found[2]}{found[3]}".split(",")
    return {key: int(count) for key, _, count in (pair.partition(":") for pair in pairs)}
