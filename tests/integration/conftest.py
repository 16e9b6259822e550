"""The tiny stack and its local run, and versions of the function in this process."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest

from infra.local.platform import Platform
from tests.lambda_versions import Versions
from tests.sam_template import ARTIFACTS
from tests.tiny_stack import Gate, Starter, write_build


@pytest.fixture
def build(tmp_path: Path) -> Path:
    """Folder that holds a built stack: an echoing function, and two layers."""
    return write_build(tmp_path / "build")


@pytest.fixture
async def start(build: Path, tmp_path: Path, managed_python: Path) -> AsyncIterator[Starter]:
    """Start the local run of `build`; it is stopped when the test ends."""
    async with AsyncExitStack() as exits:
        yield Starter(build, tmp_path / "local", managed_python, exits)


@pytest.fixture
async def gate() -> AsyncIterator[Gate]:
    """Gate that opens for all when the test ends."""
    arrivals: asyncio.Queue[asyncio.StreamWriter] = asyncio.Queue()
    writers = []

    def arrive(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        arrivals.put_nowait(writer)

    server = await asyncio.start_server(arrive, "127.0.0.1", 0)
    yield Gate(f"/wait?port={server.sockets[0].getsockname()[1]}", arrivals)
    for writer in writers:
        writer.close()
    server.close()


@pytest.fixture
async def local(start: Starter) -> Platform:
    """Local run of the tiny stack."""
    return await start()


@pytest.fixture
async def client(local: Platform) -> AsyncIterator[httpx.AsyncClient]:
    """HTTP client of the tiny stack's API."""
    async with httpx.AsyncClient(base_url=local.url, timeout=30) as http:
        yield http


@pytest.fixture
def built(tmp_path: Path) -> dict[str, Path]:
    """A folder with one file for everything that `sam build` builds."""
    folders = {name: tmp_path / name for name in ARTIFACTS}
    for name, folder in folders.items():
        folder.mkdir()
        (folder / "content").write_text(f"{name} 1")
    return folders


@pytest.fixture
def versions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Versions]:
    loop = asyncio.new_event_loop()  # Lambda's main thread has one for Mangum, which does not run
    asyncio.set_event_loop(loop)
    yield Versions(tmp_path, monkeypatch)
    asyncio.set_event_loop(None)
    loop.close()
