"""`infra run`: build the stack, serve it, and say so."""

import asyncio
import socket
from contextlib import AbstractAsyncContextManager, AsyncExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from infra.build import alone
from infra.local.errors import FunctionError, LocalRunError
from infra.local.functions.interruption import cancel_on_signals
from infra.local.functions.managed_runtime import prepare
from infra.project import Project
from infra.run.announcement import announce
from infra.run.stack import build_stack, read_again
from infra.terminal import Terminal

if TYPE_CHECKING:
    from infra.local.platform import Platform
    from infra.local.stack import BuiltStack


@dataclass(frozen=True)
class RunOptions:
    """How to serve; a port of 0 is any free one.

    `model` is an ONNX file to serve instead of the built model. `concurrency` executions run at a
    time, and metrics are seen `metric_delay` seconds late.
    """

    port: int
    aws_port: int
    model: Path | None
    concurrency: int
    metric_delay: float


async def run(project: Project, options: RunOptions, console: Terminal) -> None:
    """Serve the stack on 127.0.0.1 until a signal ends it.

    Raises LocalRunError when it cannot be served.
    """
    cancel_on_signals()
    ready = asyncio.Event()
    try:
        async with AsyncExitStack() as exits:
            listener = exits.enter_context(_reserve(options.port))
            async with alone(project, console):  # until the version has a copy of the build
                stack = await build_stack(project, options.model, console)
                with console.progress("Starting the function"):
                    serving = await _serve(project, options, stack, listener, ready)
                    platform = await _start(exits, serving)
            announce(console, stack, _directory(project, listener), platform)
            ready.set()
            await asyncio.Event().wait()
    except asyncio.CancelledError:
        with suppress(OSError):  # the terminal may be gone
            console.print("Stopped.")


async def _serve(
    project: Project,
    options: RunOptions,
    stack: "BuiltStack",
    listener: socket.socket,
    ready: asyncio.Event,
) -> AbstractAsyncContextManager["Platform"]:
    """Return the platform of a stack, which is still to be started."""
    # Imported late: moto takes seconds, and a failed build needs none of it.
    from infra.local.platform import serve

    errors = Terminal(stderr=True)

    def show(version: str, line: str) -> None:
        if ready.is_set():  # before, the one error of the command says it
            lines = (f"[{version}] {part}" for part in line.split("\r"))
            errors.print_lines(*lines, style="red")

    return serve(
        stack,
        python=await prepare(project.managed_runtime),
        directory=_directory(project, listener),
        listener=listener,
        aws_port=options.aws_port,
        concurrency=options.concurrency,
        metric_delay=options.metric_delay,
        on_error=show,
        read=read_again(project, stack, options.model),
    )


async def _start(
    exits: AsyncExitStack, serving: AbstractAsyncContextManager["Platform"]
) -> "Platform":
    """Start the platform until `exits` close; raise LocalRunError if that fails."""
    try:
        return await exits.enter_async_context(serving)
    except FunctionError as error:
        is_broken = error.kind == "Runtime.ImportModuleError"
        advice = (
            " (after an interrupted build, delete .aws-sam and build again)" if is_broken else ""
        )
        raise LocalRunError(f"the function does not start: {error}{advice}") from error
    except OSError as error:
        raise LocalRunError(f"cannot serve: {error}") from error


def _directory(project: Project, listener: socket.socket) -> Path:
    """Return the folder of a run, which is its port's."""
    return project.local_run / str(listener.getsockname()[1])


def _reserve(port: int) -> socket.socket:
    """Bind the port before the build: afterwards is late to learn that it is in use."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
        listener.listen()  # until it listens, another can bind the same port
    except OSError as error:
        listener.close()
        raise LocalRunError(
            f"port {port} of 127.0.0.1 cannot be used ({error.strerror}): "
            f"stop what holds it, or choose another: --port {port + 1} (make run PORT={port + 1})"
        ) from error
    return listener
