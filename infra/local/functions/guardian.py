"""Kills process groups once the command that started them is gone, however that ended.

A program of its own: the end of the command, even by SIGKILL, closes this one's standard input.
On that come lines such as +123 and -123, for a group that has begun and one that has ended.
"""

import os
import signal
import sys
from contextlib import suppress

for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM):
    signal.signal(number, signal.SIG_IGN)  # it ends last
os.chdir("/")  # noqa: TID251 the folder in which the command works may be removed
groups = set[int]()
for line in sys.stdin:
    change = groups.add if line[0] == "+" else groups.discard
    change(int(line[1:]))
for group in groups:
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)
