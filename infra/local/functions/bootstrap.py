"""Entry point of an execution environment, in the place of Lambda's /var/runtime/bootstrap.py.

Runs on the managed runtime's Python: nothing of this project can be imported here.
"""

import contextlib
import ctypes
import json
import os
import runpy
import signal
from pathlib import Path

PR_SET_PDEATHSIG = 1  # <sys/prctl.h>: the signal that this process gets when its parent dies
LOCALES = "/usr/lib/locale"
LIBC = ctypes.CDLL(None)


def hide_locales() -> None:
    """Mount empty folders over those of locales, which glibc finds whatever LOCPATH says.

    Raises OSError where the machine has such folders (Fedora), but lets nobody mount anything.
    """
    folders = [one.path for one in os.scandir(LOCALES) if one.is_dir() and one.name[:2] != "C."]
    if not folders:
        return
    user, group = os.getuid(), os.getgid()
    os.unshare(os.CLONE_NEWUSER | os.CLONE_NEWNS)
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
    Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    for folder in folders:
        LIBC.mount(b"none", folder.encode(), b"tmpfs", 0, None)


with contextlib.suppress(OSError):
    hide_locales()
LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
# Only now, so that none of them has changed how this process started.
os.environ.update(json.loads(os.environ.pop("TEMPLATE_VARIABLES")))
runpy.run_module("awslambdaric", run_name="__main__", alter_sys=True)
