"""`infra run`: build the stack, serve it, and say so."""

import asyncio
import fcntl
import json
import math
import os
import platform
import shlex
import signal
import socket
import sys
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import (
    AsyncExitStack,
    asynccontextmanager,
    suppress,
)
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infra.local.errors import FunctionError, LocalRunError
from infra.local.interruption import cancel_on_signals
from infra.local.managed_runtime import prepare
from infra.local.processes import end, start
from infra.terminal import Terminal

if TYPE_CHECKING:
    from infra.local.cloud_formation_api import Read
    from infra.local.serve import LocalStack
    from infra.local.stack import Stack

BUILD = Path(".aws-sam/build")
BUILD_LOG = Path("build/sam-build.log")
LOCK = Path("build/.lock")  # of the Makefile's builds, too
MODEL_LAYER = Path("build/model")
MODEL = Path("model/model.json")  # in a layer
STACK_NAME = "serverless-onnx"
SHOWN_LOG_LINES = 20
SHOWN_REQUEST = 2_000  # characters of JSON that a person still copies from a terminal


async def run(  # noqa: PLR0913, PLR0917 the command's options
    port: int,
    aws_port: int,
    model: Path | None,
    concurrency: int,
    metric_delay: float,
    console: Terminal,
) -> None:
    """Serve the stack on 127.0.0.1 until a signal ends it.

    Raises LocalRunError when it cannot be served.
    """
    cancel_on_signals()
    try:
        async with AsyncExitStack() as exits:
            listener = exits.enter_context(_reserve(port))
            directory = Path("build/local") / str(listener.getsockname()[1])
            async with alone(console):  # until the version has its own copy of what was built
                stack = await build_stack(model, console)
                # Imported late: moto takes seconds, and a failed build needs none of it.
                from infra.local.serve import serve

                ready = asyncio.Event()
                errors = Terminal(stderr=True)

                def show(version: str, line: str) -> None:
                    if ready.is_set():  # before that the one error below says it
                        lines = (f"[{version}] {part}" for part in line.split("\r"))
                        _print(errors, *lines, style="red")

                with console.progress("Starting the function"):
                    serving = serve(
                        stack,
                        python=await prepare(),
                        directory=directory,
                        listener=listener,
                        aws_port=aws_port,
                        concurrency=concurrency,
                        metric_delay=metric_delay,
                        on_error=show,
                        read=_reader(stack, model),
                    )
                    try:
                        local = await exits.enter_async_context(serving)
                    except FunctionError as error:
                        advice = (
                            " (after an interrupted build, `make clean` repairs it)"
                            if error.kind == "Runtime.ImportModuleError"
                            else ""
                        )
                        raise LocalRunError(
                            f"the function does not start: {error}{advice}"
                        ) from error
                    except OSError as error:
                        raise LocalRunError(f"cannot serve: {error}") from error
            _announce(console, stack, directory, local)
            ready.set()
            await asyncio.Event().wait()
    except asyncio.CancelledError:
        with suppress(OSError):  # the terminal may be gone
            console.print("Stopped.")


def _reserve(port: int) -> socket.socket:
    """Bind the port before the build: that takes too long to learn only then that it is busy."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
        listener.listen()  # two can bind a port to which nobody listens yet
    except OSError as error:
        listener.close()
        raise LocalRunError(
            f"port {port} of 127.0.0.1 cannot be used ({error.strerror}): "
            f"stop what holds it, or choose another: make run PORT={port + 1}"
        ) from error
    return listener


async def build_stack(model: Path | None, console: Terminal) -> "Stack":
    """Build the stack, with `model` in place of the built one if there is one."""
    if sys.platform != "linux":
        raise LocalRunError(
            f"the layers hold Linux binaries and this is {platform.system()}: "
            "run it on Linux, or where a container engine is, use `sam local start-api`"
        )
    if model:
        from infra.model.errors import ModelError
        from infra.model.layer import derive

        try:
            contract = await derive(model, MODEL_LAYER / MODEL.parent)
        except ModelError as error:
            raise LocalRunError(str(error)) from error
        for change in contract["provenance"].get("changes", ()):
            _print(console, f"Note: {change}")
    with console.progress("Building with sam build"):
        building = await _start_build()
        from infra.local.stack import read_stack  # takes a second, of which sam uses the other core

        await _wait_for_build(building, console)
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION", "us-east-1")
    stack = read_stack(BUILD, STACK_NAME, region)
    check_machine(stack.function.runtime, stack.function.architecture)
    if not model:
        return stack
    _warn_of_size(contract["files"], console)
    from infra.model.doctor import add_lengths

    with console.progress("Trying the model"):
        await add_lengths(MODEL_LAYER)
    return _use_model(stack)


def _warn_of_size(files: Iterable[str], console: Terminal) -> None:
    """Warn of a model that runs here and that Lambda would refuse."""
    from infra.model.doctor import check_size
    from infra.model.sizing import measure_size

    size = sum((MODEL_LAYER / MODEL.parent / name).stat().st_size for name in files)
    for problem in check_size(measure_size(size, BUILD)):
        _print(console, f"Warning: Lambda would refuse it: {problem}", style="yellow")


def _use_model(stack: "Stack") -> "Stack":
    """Put the model of `--model` in the place of the built one."""
    function = stack.function
    layers = [MODEL_LAYER if (layer / MODEL).exists() else layer for layer in function.layers]
    return replace(stack, function=replace(function, layers=tuple(layers)))


def _reader(stack: "Stack", model: Path | None) -> "Read":
    """Return what reads the build again, for a release.

    The model of `--model` stays in the place of the built one until that is another.
    """
    from infra.local.stack import read_stack

    def read_model(built: "Stack") -> list[bytes]:
        files = [layer / MODEL for layer in built.function.layers]
        return [file.read_bytes() for file in files if file.exists()]

    def read(body: str | None, parameters: Mapping[str, str]) -> "Stack":
        built = read_stack(BUILD, stack.name, stack.region, parameters, body)
        check_machine(built.function.runtime, built.function.architecture)
        return _use_model(built) if model and read_model(built) == replaced else built

    replaced = read_model(read_stack(BUILD, stack.name, stack.region))
    return read


def check_machine(runtime: str, architecture: str) -> None:
    """Raise LocalRunError unless a function for these runs here."""
    machine = {"aarch64": "arm64"}.get(platform.machine(), platform.machine())
    python = f"python{sys.version_info.major}.{sys.version_info.minor}"
    if (runtime, architecture) != (python, machine):
        raise LocalRunError(
            f"template.yaml builds the function for {runtime} on {architecture}, "
            f"this is {python} on {machine}"
        )


@asynccontextmanager
async def alone(console: Terminal) -> AsyncIterator[None]:
    """Wait until no other command of this checkout builds, or copies what was built."""
    LOCK.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(LOCK, os.O_WRONLY | os.O_CREAT), "w") as lock:
        waiting = False
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if not waiting:
                    console.print("Waiting for another build in this checkout ...")
                waiting = True
                await asyncio.sleep(0.2)
        yield


async def _start_build() -> asyncio.subprocess.Process:
    """Start `sam build`, whose output goes to a log."""
    BUILD_LOG.parent.mkdir(parents=True, exist_ok=True)
    tools = Path(sys.executable).parent
    variables = {
        **os.environ,
        "PATH": f"{tools}{os.pathsep}{os.environ.get('PATH', '')}",
        "SAM_CLI_TELEMETRY": "0",
    }
    log = os.open(BUILD_LOG, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    try:
        return await start(
            *(sys.executable, "-m", "samcli", "build"),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=variables,
        )
    finally:
        os.close(log)


async def _wait_for_build(process: asyncio.subprocess.Process, console: Terminal) -> None:
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
        _print(console, *_tail(BUILD_LOG))
        raise LocalRunError(f"sam build failed with exit status {status} (log: {BUILD_LOG})")


def _tail(log: Path) -> list[str]:
    return log.read_text(errors="replace").splitlines()[-SHOWN_LOG_LINES:]


def _announce(console: Terminal, stack: "Stack", directory: Path, local: "LocalStack") -> None:
    """Print where what is, and commands to copy."""
    layers = stack.function.layers
    [contract] = [layer / MODEL for layer in layers if (layer / MODEL).exists()]
    manifest = json.loads(contract.read_text())
    body = json.dumps(sample_request(manifest))
    if len(body) > SHOWN_REQUEST:
        file = directory / "request.json"
        file.write_text(body)
        body = f"@{file}"
    infer = f"{local.url}/v2/models/{manifest['name']}/infer"
    variables = " ".join(f"{key}={value}" for key, value in local.cloud.variables().items())
    _print(
        console,
        f"Ready: {manifest['name']} on {local.url} (Ctrl-C stops it)",
        f"  logs: {directory}/logs",
        "For boto3, the AWS CLI and `infra` in another terminal:",
        f"  export {variables}",
        "Try it:",
        f"  curl {infer} -H 'Content-Type: application/json' -d {shlex.quote(body)}",
    )


def _print(console: Terminal, *lines: str, style: str = "") -> None:
    """Print lines without folding them: a person may copy them."""
    console.print(*lines, sep="\n", style=style, soft_wrap=True)


def sample_request(manifest: dict[str, Any]) -> dict[str, Any]:
    """Make an Open Inference request for a model: its example, or zeros."""
    example = manifest.get("example", {})
    inputs = []
    for tensor in manifest["inputs"]:
        name, datatype = tensor["name"], tensor["datatype"]
        if name not in example and (example or tensor.get("optional")):
            continue
        shape = [abs(length) for length in tensor["shape"]]
        zero = {"BOOL": False, "BYTES": ""}.get(datatype, 0)
        [zero, *_] = tensor.get("categories", [zero])
        data = [zero] * math.prod(shape)
        if name in example:
            data, shape = example[name], _shape(example[name])
        data = data if isinstance(data, list) else [data]
        inputs.append({"name": name, "shape": shape, "datatype": datatype, "data": data})
    return {"inputs": inputs}


def _shape(data: Any) -> list[int]:
    return [len(data), *(_shape(data[0]) if data else [])] if isinstance(data, list) else []
