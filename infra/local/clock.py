"""The local platform's time: that of its metrics, its alarms, its deployments and its retries.

It is this machine's, or a faster one: a rehearsal's ten minutes need not last as long.
"""

import asyncio
import time
from collections.abc import Callable

type Clock = Callable[[float], float]

LEAST, MOST = 0.01, 1.0  # seconds of this machine


def read(clock: Clock) -> float:
    """Return the time now, in seconds since 1970."""
    return clock(time.time())


def pause(clock: Clock, seconds: float) -> float:
    """Return how long to sleep until about `seconds` are over, never long: a clock may change."""
    now = time.time()
    rate = clock(now + 1) - clock(now)
    return min(max(seconds / rate, LEAST), MOST) if rate > 0 else MOST


async def sleep(clock: Clock, seconds: float) -> None:
    """Sleep until `seconds` of the clock are over."""
    end = read(clock) + seconds
    while (left := end - read(clock)) > 0:  # noqa: ASYNC110 a clock tells nobody
        await asyncio.sleep(pause(clock, left))
