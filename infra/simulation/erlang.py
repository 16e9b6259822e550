"""Erlang's loss formula: how often a request finds every environment busy.

It needs only the mean time of a request, not the distribution, and it accounts for requests that
happen to arrive together, which a plain rate x time does not.
"""

from array import array
from functools import lru_cache

NEVER = 1e-12  # a share too small to matter in a day of traffic
DIGITS = 3  # to which loads are rounded: a day then needs hundreds of tables, not tens of thousands


def find_blocked(environments: float, load: float) -> float:
    """Return the share of requests (0 to 1) that find all `environments` busy.

    `load` is requests per second x seconds per request. Between whole numbers of environments the
    share is interpolated.
    """
    table = _tabulate(float(f"{load:.{DIGITS}g}"))
    whole = int(environments)
    if whole + 1 >= len(table):
        return 0.0
    return table[whole] + (environments - whole) * (table[whole + 1] - table[whole])


def count_needed(load: float, share: float) -> int:
    """Return the fewest environments that block at most a share (0 to 1) of the requests."""
    table = _tabulate(float(f"{load:.{DIGITS}g}"))
    low, high = 0, len(table) - 1
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if table[middle] <= share else (middle + 1, high)
    return low


@lru_cache(maxsize=512)
def _tabulate(load: float) -> "array[float]":
    """Return the shares for 0, 1, 2, ... environments, down to NEVER.

    The recursion is Erlang's own: B(n) = load B(n-1) / (n + load B(n-1)).
    """
    table = array("d", [1.0 if load else 0.0])
    while table[-1] > NEVER:
        offered = load * table[-1]
        table.append(offered / (len(table) + offered))
    return table
