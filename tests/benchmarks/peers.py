"""Other servers from PyPI with the same model, each in a virtual environment of its own."""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from tests.benchmarks.load import Load, LoadError, ask_in_turns
from tests.benchmarks.sample import AnswerError, Sample
from tests.benchmarks.spread import Spread, summarize

SERVICES = Path(__file__).with_name("services")
HOMES = Path("build/bench")
CLIENTS = (1, 8)
START_SECONDS = 60


class PeerError(Exception):
    """Raised when a peer cannot be installed, or does not answer."""


@dataclass(frozen=True)
class Peer:
    """A package of PyPI, the command that starts it, and its environment variables for a port."""

    name: str
    version: str
    command: Sequence[str]
    variables: Callable[[int, Sample], dict[str, str]]


@dataclass(frozen=True)
class Result:
    """What a peer does over HTTP; if it could not be measured, only `reason` is set."""

    name: str
    reason: str = ""
    first_answer_ms: Spread | None = None
    rest_mb: float = 0.0  # of all of its processes
    loads: Sequence[Load] = ()


PEERS = (
    Peer(
        "mlserver",
        "1.7.1",
        ("bin/mlserver", "start", "."),
        lambda port, _: {
            "MLSERVER_HOST": "127.0.0.1",
            "MLSERVER_HTTP_PORT": str(port),
            "MLSERVER_GRPC_PORT": str(find_port()),
            "MLSERVER_METRICS_PORT": str(find_port()),
            "MLSERVER_PARALLEL_WORKERS": "0",
        },
    ),
    Peer(
        "bentoml",
        "1.4.39",
        ("bin/bentoml", "serve", "bentoml_service:Onnx"),
        lambda port, sample: {
            "BENTOML_DO_NOT_TRACK": "True",
            "BENTOML_HOST": "127.0.0.1",
            "BENTOML_PORT": str(port),
            "INFER_PATH": sample.path,
        },
    ),
)


async def measure_peers(
    model: Path, sample: Sample, starts: int, requests: int, seconds: float
) -> list[Result]:
    """Serve `model` with every peer in turn; the result of one that fails has the reason."""
    results = []
    for peer in PEERS:
        try:
            home = install(peer)
            results.append(await _measure(peer, home, model, sample, starts, requests, seconds))
        except (AnswerError, LoadError, PeerError) as error:
            results.append(Result(f"{peer.name} {peer.version}", reason=str(error)))
    return results


def install(peer: Peer) -> Path:
    """Install a peer and our own onnxruntime and numpy in an environment; raise PeerError."""
    home = (HOMES / f"{peer.name}-{peer.version}").resolve()
    if home.exists():
        return home
    unfinished = home.with_suffix(".unfinished")
    locked = [
        line.partition(" ")[0]
        for line in Path("layers/runtime/requirements.txt").read_text().splitlines()
        if line.startswith(("numpy==", "onnxruntime=="))
    ]
    make = ("uv", "venv", "--quiet", "--clear", "--relocatable", "--python", sys.executable)
    fill = ("uv", "pip", "install", "--quiet", "--only-binary", ":all:", "--python", unfinished)
    packages = (f"{peer.name}=={peer.version}", *locked)
    try:
        subprocess.run((*make, unfinished), stderr=subprocess.PIPE, text=True, check=True)
        subprocess.run((*fill, *packages), stderr=subprocess.PIPE, text=True, check=True)
    except (subprocess.CalledProcessError, FileNotFoundError) as error:
        text = getattr(error, "stderr", "") or str(error)
        raise PeerError(f"not installed: {' '.join(text.split())}") from error
    unfinished.rename(home)
    return home


async def _measure(
    peer: Peer, home: Path, model: Path, sample: Sample, starts: int, requests: int, seconds: float
) -> Result:
    firsts: list[float] = []
    for turn in range(starts + 1):
        started = time.perf_counter()
        async with _serve(peer, home, model, sample) as (process, url):
            await _wait_for_answer(url, sample, process)
            if turn:  # the first one fills the page cache and writes .pyc files
                firsts.append((time.perf_counter() - started) * 1e3)
            if turn < starts:
                continue
            loads = await ask_in_turns(url, model, CLIENTS, requests, seconds)
            rest_mb = add_up_memory(process.pid)
    name = f"{peer.name} {peer.version}"
    return Result(name, "", summarize(firsts), rest_mb, loads)


@asynccontextmanager
async def _serve(
    peer: Peer, home: Path, model: Path, sample: Sample
) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    port = find_port()
    folder = HOMES / f"{peer.name}-service"
    shutil.copytree(SERVICES, folder, dirs_exist_ok=True)
    settings = {"name": sample.path.split("/")[3], "implementation": "mlserver_runtime.Onnx"}
    (folder / "model-settings.json").write_text(json.dumps(settings))
    log = os.open(folder / "log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    process = await asyncio.create_subprocess_exec(
        home / peer.command[0],
        *peer.command[1:],
        cwd=folder,
        env={
            "HOME": str(folder.resolve()),
            "PATH": f"{home}/bin:{os.defpath}",
            "PYTHONPATH": str(folder.resolve()),
            "MODEL_DIR": str(model),
            "ORT_DISABLE_TELEMETRY": "1",
            **peer.variables(port, sample),
        },
        stdin=asyncio.subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        start_new_session=True,
    )
    os.close(log)
    try:
        yield process, f"http://127.0.0.1:{port}"
    finally:
        for pid in list_family(process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        await process.wait()


async def _wait_for_answer(url: str, sample: Sample, process: asyncio.subprocess.Process) -> None:
    """Send requests until the first correct answer; raise PeerError if there is none."""
    deadline = time.perf_counter() + START_SECONDS
    headers = {"content-type": "application/json"}
    async with aiohttp.ClientSession(url, headers=headers) as session:
        while process.returncode is None and time.perf_counter() < deadline:
            try:
                async with session.post(sample.path, data=sample.body) as response:
                    sample.check(response.status, await response.read())
            except (aiohttp.ClientError, AnswerError):
                await asyncio.sleep(0.01)  # a server does not announce that it is ready
            else:
                return
    state = "ended" if process.returncode is not None else f"not ready after {START_SECONDS} s"
    raise PeerError(f"{state} (log: {HOMES}/*-service/log)")


def list_family(pid: int) -> list[int]:
    """Return a process and all its descendants, which may be in other process groups."""
    parents = {int(path.name): int(_stat(path)[1]) for path in Path("/proc").glob("[0-9]*")}
    family = [pid]
    for one in family:  # the list grows
        family += [child for child, parent in parents.items() if parent == one]
    return family


def add_up_memory(pid: int) -> float:
    """Return the resident memory of a process and all its descendants, in MB."""
    pages = sum(int(_stat(Path(f"/proc/{one}"))[21]) for one in list_family(pid))
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def _stat(process: Path) -> list[str]:
    """Return the fields of proc_pid_stat(5) after the name; zeros if the process has ended."""
    try:
        return (process / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ["0"] * 22


def find_port() -> int:
    """Return a port of 127.0.0.1 that is free now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port
