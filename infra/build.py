"""`sam build` of the project, one at a time, and whether what it made runs on this machine."""

import asyncio
import fcntl
import os
import platform
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from infra.local.errors import LocalRunError
from infra.local.functions.processes import end, start
from infra.project import Project
from infra.terminal import Terminal

MODEL = Path("model/model.json")  # in a layer
SHOWN_LOG_LINES = 20


def check_machine(runtime: str, architecture: str) -> None:
    """Raise LocalRunError unless a function for this runtime and processor runs here."""
    machine = {"aarch64": "arm64"}.get(platform.machine(), platform.machine())
    python = f"python{sys.version_info.major}.{sys.version_info.minor}"
    if (runtime, architecture) != (python, machine):
        raise LocalRunError(
            f"template.yaml builds the function for {runtime} on {architecture}, "
            f"this is {python} on {machine}"
        )


@asynccontextmanager
async def alone(project: Project, console: Terminal) -> AsyncIterator[None]:
    """Wait until no other command in this project builds, or copies what was built."""
    project.build_lock.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(project.build_lock, os.O_WRONLY | os.O_CREAT), "w") as lock:
        waiting = False
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if not waiting:
                    console.print("Waiting for another build in this project ...")
                waiting = True
                await asyncio.sleep(0.2)
        yield


async def start_build(project: Project) -> asyncio.subprocess.Process:
    """Start `sam build`, whose output goes to a log."""
    project.build_log.parent.mkdir(parents=True, exist_ok=True)
    tools = Path(sys.executable).parent
    variables = {
        **os.environ,
        "PATH": f"{tools}{os.pathsep}{os.environ.get('PATH', '')}",
        "SAM_CLI_TELEMETRY": "0",
    }
    log = os.open(project.build_log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    try:
        return await start(
            *(sys.executable, "-m", "samcli", "build"),
            cwd=project.root,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=variables,
        )
    finally:
        os.close(log)


async def wait_for_build(
    process: asyncio.subprocess.Process, project: Project, console: Terminal
) -> None:
    """Wait for `sam build`; the end of its log is shown if it fails."""
    try:
        status = await process.wait()
    except asyncio.CancelledError:
        os.killpg(process.pid, signal.SIGTERM)
        await process.wait()
        raise
    finally:
        await end(process)
    if status:
        console.print_lines(*_tail(project.build_log))
        raise LocalRunError(
            f"sam build failed with exit status {status} (log: {project.build_log})"
        )


def _tail(log: Path) -> list[str]:
    return log.read_text(errors="replace").splitlines()[-SHOWN_LOG_LINES:]
