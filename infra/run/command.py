"""`infra run`: build the stack, serve it, and say so."""

import asyncio
import socket
from contextlib import AsyncExitStack, suppress
from pathlib import Path

from infra.build import alone
from infra.local.errors import FunctionError, LocalRunError
from infra.local.functions.interruption import cancel_on_signals
from infra.local.functions.managed_runtime import prepare
from infra.project import Project
from infra.run.announcement import announce
from infra.run.stack import build_stack, read_again
from infra.terminal import Terminal


async def run(  # noqa: PLR0913, PLR0917 the command's options
    project: Project,
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
            directory = project.local_run / str(listener.getsockname()[1])
            async with alone(
                project, console
            ):  # until the version has its own copy of what was built
                stack = await build_stack(project, model, console)
                # Imported late: moto takes seconds, and a failed build needs none of it.
                from infra.local.platform import serve

                ready = asyncio.Event()
                errors = Terminal(stderr=True)

                def show(version: str, line: str) -> None:
                    if ready.is_set():  # before that the one error below says it
                        lines = (f"[{version}] {part}" for part in line.split("\r"))
                        errors.print_lines(*lines, style="red")

                with console.progress("Starting the function"):
                    serving = serve(
                        stack,
                        python=await prepare(project.managed_runtime),
                        directory=directory,
                        listener=listener,
                        aws_port=aws_port,
                        concurrency=concurrency,
                        metric_delay=metric_delay,
                        on_error=show,
                        read=read_again(project, stack, model),
                    )
                    try:
                        local = await exits.enter_async_context(serving)
                    except FunctionError as error:
                        advice = (
                            " (after an interrupted build, delete .aws-sam and build again)"
                            if error.kind == "Runtime.ImportModuleError"
                            else ""
                        )
                        raise LocalRunError(
                            f"the function does not start: {error}{advice}"
                        ) from error
                    except OSError as error:
                        raise LocalRunError(f"cannot serve: {error}") from error
            announce(console, stack, directory, local)
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
            f"stop what holds it, or choose another: --port {port + 1} (make run PORT={port + 1})"
        ) from error
    return listener
