"""`infra run` as a person starts and stops it: one process, from a build to the last signal."""

import asyncio
import json
import os
import pty
import select
import shlex
import shutil
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from onnx import TensorProto, helper

from tests.hostile_files import nested_functions
from tests.onnx_models import normalizer

ROOT = Path(__file__).parents[4]
CONTRACT = {
    "name": "tiny",
    "inputs": [{"name": "features", "datatype": "FP32", "shape": [-1, 2]}],
    "golden": [{"inputs": {"features": [[7.5, 8.5]]}, "outputs": {}}],
    "example": {"features": [[1.5, 2.5]]},
}


@dataclass
class Command:
    """A running `infra run`, and what it has printed."""

    process: asyncio.subprocess.Process
    printed: list[str] = field(default_factory=list)

    async def line(self, start: str) -> str:
        """Wait for a line that starts so."""
        assert self.process.stdout is not None
        async with asyncio.timeout(120):
            async for data in self.process.stdout:
                self.printed.append(data.decode().rstrip("\n"))
                if self.printed[-1].lstrip().startswith(start):
                    return self.printed[-1].strip()
        raise AssertionError("\n".join(self.printed))

    async def end(self) -> tuple[int, list[str]]:
        """Wait for the end; return the exit code and all lines."""
        assert self.process.stdout is not None
        output = await asyncio.wait_for(self.process.stdout.read(), timeout=120)
        return await self.process.wait(), self.printed + output.decode().splitlines()

    def descendants(self) -> list[int]:
        """Open a descriptor of every process that it started and that still runs."""
        return [os.pidfd_open(pid) for pid in list_descendants(self.process.pid)]

    def commands(self) -> bytes:
        """Return the command lines of all that it started and that still runs."""
        lines = []
        for pid in list_descendants(self.process.pid):
            with suppress(OSError):
                lines.append(Path(f"/proc/{pid}/cmdline").read_bytes())
        return b"\n".join(lines)

    def names(self) -> list[str]:
        """Return the names of the programs that it started and that still run."""
        names = []
        for pid in list_descendants(self.process.pid):
            with suppress(OSError):
                names.append(Path(f"/proc/{pid}/comm").read_text())
        return names


def list_descendants(ancestor: int) -> set[int]:
    """Return the processes that one has started, and those that they have."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
    found, new = set[int](), {ancestor}
    while new:
        new = {pid for pid, parent in parents.items() if parent in new}
        found |= new
    return found


def find_processes(directory: Path) -> list[Path]:
    """Find the processes that work in `directory` or below."""
    found = []
    for link in Path("/proc").glob("[0-9]*/cwd"):
        try:
            found += [link] if link.readlink().is_relative_to(directory) else []
        except OSError:
            continue
    return found


async def check_ended(processes: list[int]) -> None:
    assert processes
    for process in processes:
        ended, _, _ = await asyncio.to_thread(select.select, [process], [], [], 30)
        assert ended == [process]
        os.close(process)


@pytest.fixture
def project(build: Path, managed_python: Path) -> Path:
    """Folder of a project: here the tiny stack's sources, with what `make` has prepared."""
    (build / "build").mkdir()
    (build / "build" / "managed-runtime").symlink_to(managed_python.parents[2])
    (build / "ModelLayer" / "model" / "model.json").write_text(json.dumps(CONTRACT))
    (build / "samconfig.toml").touch()
    return build


@pytest.fixture
def infra(run_command: Any) -> Any:
    """Start `infra` with these arguments in the project."""
    return partial(run_command, str(Path(sys.executable).parent / "infra"))


@pytest.fixture
async def run_command(project: Path, tmp_path: Path) -> AsyncIterator[Any]:
    """Start a command in the project."""
    commands: list[Command] = []
    tools = Path(sys.executable).parent

    async def start(*arguments: str) -> Command:
        process = await asyncio.create_subprocess_exec(
            *arguments,
            cwd=project,
            env={"PATH": f"{tools}:/usr/bin:/bin", "HOME": str(tmp_path)},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        commands.append(Command(process))
        return commands[-1]

    yield start
    for command in commands:
        if command.process.returncode is None:
            command.process.kill()
            await command.process.wait()


async def test_serves_until_it_is_interrupted(infra: Any) -> None:
    # GIVEN a project WHEN it is run
    command = await infra("run", "--port", "0")
    ready = await command.line("Ready: ")
    url = ready.split()[3]
    # THEN the request that it prints is answered by the function
    curl = shlex.split(await command.line("curl "))
    assert curl[1:4] == [f"{url}/v2/models/tiny/infer", "-H", "Content-Type: application/json"]
    async with httpx.AsyncClient() as client:
        headers = {"Content-Type": "application/json"}
        answer = (await client.post(curl[1], content=curl[5], headers=headers)).json()
    assert json.loads(answer["event"]["body"]) == {
        "inputs": [{"name": "features", "shape": [1, 2], "datatype": "FP32", "data": [[1.5, 2.5]]}]
    }
    # WHEN it is interrupted THEN it ends well, and so does everything that it started
    processes = command.descendants()
    command.process.send_signal(signal.SIGINT)
    code, lines = await command.end()
    assert (code, lines[-1]) == (0, "Stopped.")
    await check_ended(processes)


async def test_serves_another_model(infra: Any, project: Path) -> None:
    # GIVEN a model file
    value = helper.make_tensor_value_info("x", TensorProto.DOUBLE, ["N", 3])
    result = helper.make_tensor_value_info("y", TensorProto.DOUBLE, ["N", 3])
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [value], [result])
    (project / "My Model.onnx").write_bytes(helper.make_model(graph).SerializeToString())
    # WHEN it is run
    command = await infra("run", "--port", "0", "--model", "My Model.onnx")
    url = (await command.line("Ready: my-model ")).split()[3]
    # THEN the function sees it where its own model was, and that one is untouched
    async with httpx.AsyncClient() as client:
        directory = Path((await client.get(f"{url}/echo")).json()["environment"]["MODEL_DIR"])
    served = json.loads((directory / "model.json").read_text())
    tensor = {"name": "x", "datatype": "FP64", "shape": [-1, 3], "dimensions": ["N", None]}
    assert served["inputs"] == [tensor]
    assert (directory / "model.onnx").exists()
    assert json.loads((project / "ModelLayer/model/model.json").read_text()) == CONTRACT
    # WHEN its process is killed THEN what it started ends too
    processes = command.descendants()
    command.process.kill()
    await check_ended(processes)


async def test_serves_a_model_that_lambda_would_refuse_with_a_warning(
    infra: Any, project: Path
) -> None:
    # GIVEN a model that is too large for Lambda, and whose text has a locale that may be missing
    model = normalizer()
    weight = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1])
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value="w.bin")
    model.graph.initializer.append(weight)
    with (project / "w.bin").open("wb") as file:
        file.truncate(250 * 2**20)
    (project / "large.onnx").write_bytes(model.SerializeToString())
    # WHEN it is run THEN both is said
    command = await infra("run", "--port", "0", "--model", "large.onnx")
    assert "replaced by C.UTF-8" in await command.line("Note: StringNormalizer asks for ")
    warning = await command.line("Warning: Lambda would refuse it: the model is 250.0 MB, ")
    assert "over the budget of 245 MB (Lambda's limit is 250 MB)" in warning
    # AND it is served all the same
    await command.line("Ready: large on ")


SPAWN = "import subprocess\nRELEASE = str(subprocess.Popen(['sleep', '600']).pid)"
SIGNALS = [signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGKILL]


@pytest.fixture
def spawning(project: Path) -> None:
    """Let the function start a process of its own."""
    handler = project / "InferenceFunction" / "app.py"
    handler.write_text(handler.read_text().replace('RELEASE = "one"', SPAWN))


@pytest.fixture
def makefile(project: Path) -> None:
    """Let `make run` work in the project."""
    for name in ("Makefile", "requirements-dev.txt", ".python-version", ".ci/uv.txt"):
        (project / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, project / name)
    (project / ".venv").mkdir()
    (project / ".venv/bin").symlink_to(Path(sys.executable).parent)
    for name in (".uv", ".venv"):
        (project / name).mkdir(exist_ok=True)
        (project / name / ".ready").touch()


@pytest.mark.usefixtures("spawning")
@pytest.mark.parametrize("number", SIGNALS)
async def test_any_signal_ends_everything(infra: Any, number: signal.Signals) -> None:
    # GIVEN a function that has started a process of its own
    command = await infra("run", "--port", "0")
    await command.line("Ready: ")
    processes = command.descendants()
    assert len(processes) >= 2  # an environment, and what that has started
    # WHEN the run is ended THEN so is all of it
    command.process.send_signal(number)
    code, lines = await command.end()
    await check_ended(processes)
    if number != signal.SIGKILL:
        assert (code, lines[-1]) == (0, "Stopped.")


@pytest.mark.usefixtures("spawning", "makefile")
@pytest.mark.parametrize("number", SIGNALS)
async def test_any_signal_to_make_ends_everything(run_command: Any, number: signal.Signals) -> None:
    # GIVEN `make run` WHEN make alone gets a signal, which it does not hand on
    command = await run_command("make", "run", "PORT=0")
    await command.line("Ready: ")
    processes = command.descendants()
    assert len(processes) >= 3
    command.process.send_signal(number)
    # THEN nothing is left
    await check_ended(processes)


@pytest.mark.usefixtures("spawning", "makefile")
async def test_closing_the_terminal_ends_everything(project: Path) -> None:
    # GIVEN `make run` in a terminal
    tools = Path(sys.executable).parent
    master, slave = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        *("setsid", "--ctty", "--wait", "make", "run", "PORT=0"),
        cwd=project,
        env={"PATH": f"{tools}:/usr/bin:/bin", "HOME": str(project)},
        stdin=slave,
        stdout=slave,
        stderr=slave,
    )
    os.close(slave)
    shown = b""
    while b"Try it" not in shown:
        shown += await asyncio.wait_for(asyncio.to_thread(os.read, master, 4096), 120)
    processes = [os.pidfd_open(one) for one in list_descendants(process.pid)]
    # WHEN its window is closed THEN nothing is left
    os.close(master)
    await check_ended(processes)
    await process.wait()


@pytest.mark.parametrize("number", SIGNALS)
async def test_any_signal_ends_a_build(infra: Any, project: Path, number: signal.Signals) -> None:
    # GIVEN a build that takes its time
    template = project / "template.yaml"
    metadata = "Type: AWS::Serverless::Function\n    Metadata: {BuildMethod: makefile}"
    template.write_text(template.read_text().replace("Type: AWS::Serverless::Function", metadata))
    makefile = project / "InferenceFunction" / "Makefile"
    makefile.write_text("build-InferenceFunction:\n\ttouch $(CURDIR)/begun; sleep 600\n")
    command = await infra("run", "--port", "0")
    await command.line("Building ")
    async with asyncio.timeout(60):
        while not any("sleep" in name for name in command.names()):  # noqa: ASYNC110 nobody tells
            await asyncio.sleep(0.05)
    processes = command.descendants()
    # WHEN the run is ended THEN so is the build
    command.process.send_signal(number)
    await check_ended(processes)


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize(
    "arguments", [("run", "--port", "0", "--model"), ("model", "check"), ("model", "add")]
)
async def test_any_signal_ends_the_reading_of_a_model(
    infra: Any, project: Path, arguments: tuple[str, ...], number: signal.Signals
) -> None:
    # GIVEN a command that reads a model, which takes forever and by its size may take two minutes
    model = nested_functions()
    model.doc_string = " " * 20 * 2**20
    (project / "slow.onnx").write_bytes(model.SerializeToString())
    command = await infra(*arguments, "slow.onnx")
    async with asyncio.timeout(60):
        while b"infra.model.isolation" not in command.commands():  # noqa: ASYNC110 nobody tells
            await asyncio.sleep(0.05)
    processes = [os.pidfd_open(command.process.pid), *command.descendants()]
    # WHEN it gets a signal THEN both end at once
    command.process.send_signal(number)
    async with asyncio.timeout(20):
        await check_ended(processes)


async def test_stops_in_the_middle_of_a_build(infra: Any, project: Path) -> None:
    command = await infra("run", "--port", "0")
    await command.line("Building ")
    command.process.terminate()
    assert await command.end() == (0, [*command.printed, "Stopped."])
    assert find_processes(project) == []


async def test_busy_port_is_reported_before_the_build(infra: Any, project: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        code, [line] = await (await infra("run", "--port", str(port))).end()
    assert code == 1
    assert line.startswith(f"Error: port {port} of 127.0.0.1 cannot be used (Address already in")
    assert not (project / ".aws-sam").exists()


async def test_busy_port_for_aws_is_reported(infra: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
        code, lines = await (await infra("run", "--port", "0", "--aws-port", port)).end()
    assert code == 1
    assert lines[-1].startswith("Error: cannot serve: [Errno 98] Address already in use")


async def test_file_without_a_model_is_reported_before_the_build(infra: Any, project: Path) -> None:
    (project / "notes.onnx").write_text("not a model")
    command = await infra("run", "--port", "0", "--model", "notes.onnx")
    assert await command.end() == (1, ["Error: notes.onnx is not an ONNX model"])
    assert not (project / ".aws-sam").exists()


async def test_failed_build_shows_the_end_of_its_log(infra: Any, project: Path) -> None:
    (project / "template.yaml").write_text("Resources: {A: {Type: AWS::Serverless::Function}}")
    code, lines = await (await infra("run", "--port", "0")).end()
    assert code == 1
    assert lines[0].startswith("Building ")
    assert lines[-1] == "Error: sam build failed with exit status 1 (log: build/sam-build.log)"
    assert len(lines) > 2


async def test_function_that_cannot_start_is_one_line(infra: Any, project: Path) -> None:
    (project / "RuntimeLayer" / "python" / "greeting.py").unlink()
    code, lines = await (await infra("run", "--port", "0")).end()
    assert code == 1
    assert [line.partition(" ")[0] for line in lines] == ["Building", "Starting", "Error:"]
    assert lines[-1] == (
        "Error: the function does not start: Runtime.ImportModuleError: "
        "Unable to import module 'app': No module named 'greeting' "
        "(after an interrupted build, delete .aws-sam and build again)"
    )
