"""Answer bodies with the inference function, each in a fork of its own, and say what each took.

Runs as a script, with hostile_bodies.py's name for valid and for hostile bodies, and the size of
these. Prints a line of JSON for each: form, name, status and the megabytes of memory that the
request added at most. A fork has the loaded model and none of what an earlier request left behind.
"""

import base64
import json
import os
import re
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tests import hostile_bodies
from tests.hostile_bodies import Body

CONTEXT: Any = SimpleNamespace(
    function_name="inference",
    memory_limit_in_mb=512,
    invoked_function_arn="arn:aws:lambda:eu-west-1:123456789012:function:inference:live",
    aws_request_id="8f507cfc-xmpl-4697-b07a-ac58fc914c95",
)


def main(kind: str, size: int) -> None:
    """Print what every body of a kind takes; what the handler prints goes nowhere."""
    lines = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    handler = load_handler()
    valid = getattr(hostile_bodies, f"valid_{kind}")
    hostile = getattr(hostile_bodies, f"hostile_{kind}")
    bodies = (valid() if kind == "bodies" else valid(size)).values()
    for body in (*bodies, *(body.compressed() for body in hostile(size))):
        lines.write(json.dumps([body.form, body.name, *answer(handler, body)]) + "\n")


def load_handler() -> Any:
    """Import the function, and what any form needs later."""
    import csv  # noqa: F401 for its effect

    import numpy.lib.format  # noqa: F401 for its effect

    from api import handler
    from protocols import scoring, structure  # noqa: F401 for their effect

    return handler.handler


def answer(handler: Any, body: Body) -> tuple[int, float]:
    """Return the status, and how far the peak of memory rose; status 0 if the process died."""
    event = {
        "rawPath": body.path,
        "headers": dict(body.headers),
        "requestContext": {"stage": "$default", "http": {"method": "POST"}},
        "body": base64.b64encode(body.content).decode(),
        "isBase64Encoded": True,
    }
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        before = read_peak()
        status = handler(event, CONTEXT)["statusCode"]
        os.write(writer, json.dumps([status, read_peak() - before]).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        told = pipe.read()
    os.waitpid(child, 0)
    status, megabytes = json.loads(told or "[0, 0]")
    return status, megabytes


def read_peak() -> float:
    """Read the most megabytes of memory that this process has had."""
    found = re.search(r"VmHWM:\s*(\d+)", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) / 1024


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
