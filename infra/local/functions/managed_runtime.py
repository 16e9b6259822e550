"""The managed runtime's stand-in: a Python with AWS's runtime client and boto3, nothing else."""

import asyncio
import contextlib
import hashlib
import os
import shutil
import sys
from pathlib import Path

from infra.local.errors import ManagedRuntimeError
from infra.local.functions.processes import end, start

REQUIREMENTS = Path(__file__).with_name("requirements.txt")


async def prepare(directory: Path) -> Path:
    """Return the Python of the managed runtime in `directory`, made there when it is missing.

    It is found again by its locked requirements and this interpreter. Raises ManagedRuntimeError.
    """
    home = _name_home(directory)
    python = home / "bin" / "python"
    if python.exists():
        return python
    unfinished = home.with_name(f"{home.name}.{os.getpid()}")
    try:
        await _run(sys.executable, "-m", "venv", "--without-pip", unfinished)
        await _run(
            *(sys.executable, "-m", "pip", "--python", unfinished / "bin" / "python"),
            *("install", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:"),
            *("--require-hashes", "--requirement", REQUIREMENTS),
        )
        with contextlib.suppress(OSError):  # another run was faster
            unfinished.rename(home)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return python


def _name_home(directory: Path) -> Path:
    key = f"{sys.version} {sys.base_prefix}".encode() + REQUIREMENTS.read_bytes()
    return directory.resolve() / hashlib.sha256(key).hexdigest()[:12]


async def _run(*command: str | Path) -> None:
    process = await start(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        output, _ = await process.communicate()
    finally:
        await end(process)
    if process.returncode:
        lines = output.decode(errors="replace").strip().splitlines()
        raise ManagedRuntimeError(
            f"the managed runtime could not be made: {lines[-1] if lines else command[2]}"
        )
