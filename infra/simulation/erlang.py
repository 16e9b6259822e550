"""Erlang's loss formula: how often a request finds every environment busy.

It needs the mean time of a request alone, not how times are spread, and it counts the chance that
requests come together, which a plain rate x time leaves out.
"""

from array import array
from functools import lru_cache

NEVER = 1e-12  # a share that no day of traffic would notice
DIGITS = 3  # of the load, so that a day needs hundreds of tables, not tens of thousands


def find_blocked(environments: float, load: float) -> float:
    """Return the share of requests (0 to 1) that find all `environments` busy.

    `load` is requests per second x seconds per request. Between whole numbers it is a straight
    line.
    """
    table = _tabulate(float(f"{load:.{DIGITS}g}"))
    whole = int(environments)
    if whole + 1 >= len(table):
        return 0.0
    return table[whole] + (environments - whole) * (table[whole + 1] - table[whole])


def count_needed(load: float, share: float) -> int:
    """Return how many environments block no more than a share of the requests."""
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
