"""Entry point of an execution environment, in the place of Lambda's /var/runtime/bootstrap.py.

Runs on the managed runtime's Python: nothing of this project can be imported here.
"""

import ctypes
import json
import os
import runpy
import signal

PR_SET_PDEATHSIG = 1  # <sys/prctl.h>: the signal that this process gets when its parent dies

ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
# Only now, so that none of them has changed how this process started.
os.environ.update(json.loads(os.environ.pop("TEMPLATE_VARIABLES")))
runpy.run_module("awslambdaric", run_name="__main__", alter_sys=True)
