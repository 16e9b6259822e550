"""The local run, started as a user starts it."""

import os
import re
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

INFRA = Path(__file__).parents[1] / ".venv/bin/infra"


@dataclass(frozen=True)
class LocalRun:
    """What `infra run` printed when it was ready, and where it was started."""

    checkout: Path
    url: str
    variables: Mapping[str, str]  # for AWS's APIs
    curl: str


@contextmanager
def start_local_run(checkout: Path) -> Iterator[LocalRun]:
    """Start `infra run` in a checkout, which ends when it is told to."""
    process = subprocess.Popen(
        [INFRA, "run", "--port", "0", "--metric-delay", "0"],
        stdout=subprocess.PIPE,
        text=True,
        cwd=checkout,
        env=os.environ | {"AWS_DEFAULT_REGION": "eu-west-1"},
    )
    with process:
        try:
            yield _read_until_ready(process, checkout)
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate()
    assert process.returncode == 0


def _read_until_ready(process: "subprocess.Popen[str]", checkout: Path) -> LocalRun:
    assert process.stdout
    printed = ""
    for line in process.stdout:
        printed += line
        if line.lstrip().startswith("curl "):
            return LocalRun(
                checkout=checkout,
                url=_find(r"on (http://\S+)", printed),
                variables=dict(re.findall(r"(AWS_\w+)=(\S*)", printed)),
                curl=line,
            )
    raise AssertionError(f"the local run ended before it was ready: {printed}")


def _find(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    assert found, text
    return found[1]
