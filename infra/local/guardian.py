"""Kills process groups once the command that started them is gone, however that ended.

A program of its own: whatever kills the command, and be it SIGKILL, closes this one's standard
input, on which come lines such as +123 and -123 for a group that has begun and that has ended.
"""

import os
import signal
import sys
from contextlib import suppress

for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM):
    signal.signal(number, signal.SIG_IGN)  # it ends last
os.chdir("/")  # whatever folder the command works in may be removed
groups = set[int]()
for line in sys.stdin:
    change = groups.add if line[0] == "+" else groups.discard
    change(int(line[1:]))
for group in groups:
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)
