"""One execution environment: an operating-system process that handles one request at a time."""

import asyncio
import contextlib
import json
import os
import signal
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from infra.local.errors import FunctionError
from infra.local.functions import processes
from infra.local.functions.runtime_api import Invocation, RuntimeApi
from infra.local.stack import Function

INIT_SECONDS = 10  # docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html
MEMORY_SECONDS = 0.1
BOOTSTRAP = Path(__file__).with_name("bootstrap.py")


@dataclass(frozen=True)
class Place:
    """Where the files of one version are, as Lambda lays them out: /var/task and /opt."""

    version: str
    task: Path
    opt: Path


class Environment:
    """A process from its start, through its initialisation and its requests, to its end.

    It is killed when it takes more memory than `limit_mb`, which is what the function has.
    `alive` turns false when the process ends or must not be used again; whatever it was doing
    then fails with FunctionError.
    """

    def __init__(
        self,
        function: Function,
        place: Place,
        python: Path,
        variables: Mapping[str, str],
        on_line: Callable[[str], None],
    ) -> None:
        self.alive = True
        self.limit_mb = function.memory_mb
        self.init_milliseconds: float | None = None
        self.written: list[str] = []  # what the log got since the last call began
        # docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-loggroups.html
        self.log_stream = time.strftime(
            f"%Y/%m/%d/{function.name}[{place.version}]{uuid.uuid4().hex}", time.gmtime()
        )
        self._function = function
        self._place = place
        self._python = python
        self._variables = variables
        self._on_line = on_line
        self._spawned = asyncio.Event()
        self._ready: asyncio.Future[None] = asyncio.Future()
        self._queue: asyncio.Queue[Invocation] = asyncio.Queue()
        self._current: Invocation | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._output = -1
        self._partial = b""
        self._peak_memory_mb = 0

    @property
    def pid(self) -> int:
        """Process id, which is also that of its process group."""
        assert self._process is not None  # noqa: S101 it has started
        return self._process.pid

    async def start(self, api: RuntimeApi) -> None:
        """Start the process and wait until the handler is imported.

        Raises FunctionError when that fails or takes longer than Lambda waits.
        """
        started = time.perf_counter()
        self._life = asyncio.create_task(self._live(api))
        try:
            async with asyncio.timeout(INIT_SECONDS):
                with self._limited_memory():
                    await self._ready
        except TimeoutError:
            await self.stop()
            raise FunctionError("Sandbox.Timedout", f"no init after {INIT_SECONDS} s") from None
        except FunctionError:
            await self.stop()
            raise
        self.init_milliseconds = (time.perf_counter() - started) * 1e3

    async def invoke(self, invocation: Invocation) -> bytes:
        """Let the handler work on an event; raise FunctionError if it fails or takes too long."""
        self._current = invocation
        self._queue.put_nowait(invocation)
        seconds = self._function.timeout_seconds
        try:
            async with asyncio.timeout(seconds):
                with self._limited_memory():
                    payload = await invocation.result
        except TimeoutError:
            await self.stop()
            text = f"Task timed out after {seconds:.2f} seconds"
            raise FunctionError("Sandbox.Timedout", text) from None
        finally:
            self._current = None
        if self._uses_too_much():  # however short that was, Lambda's kernel sees it
            await self.stop()
            text = "Runtime exited with error: signal: killed"
            raise FunctionError("Runtime.ExitError", text)
        return payload

    async def stop(self) -> None:
        """Kill the process and everything that it started, and wait for its end."""
        self.alive = False
        await self._spawned.wait()
        if not self._life.done():
            self._kill()
        await self._life

    async def next_invocation(self) -> Invocation:
        """Wait for work; the first call ends the initialisation."""
        if not self._ready.done():
            self._ready.set_result(None)
        return await self._queue.get()

    @property
    def invocation(self) -> Invocation | None:
        """The invocation whose answer is awaited, if there is one."""
        return self._current if self._current and not self._current.result.done() else None

    @property
    def is_initialising(self) -> bool:
        """Whether the runtime has not asked for work yet, nor failed."""
        return not self._ready.done()

    def succeed(self, payload: bytes) -> None:
        """Take what the handler returned."""
        self._read()
        if invocation := self.invocation:
            invocation.result.set_result(payload)

    def fail(self, error: FunctionError) -> None:
        """Take the error of the invocation, or of the initialisation before the first one."""
        self._read()
        if error.kind == "Function.ResponseSizeTooLarge":
            self.alive = False  # the runtime client ends when its answer is refused
        for future in (self._current and self._current.result, self._ready):
            if future and not future.done():
                future.set_exception(error)

    def peak_memory_mb(self) -> int:
        """Return the most memory that the process has had in use; 0 where that is not known.

        Lambda's limit is one that no process gets over.
        """
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
                if line.startswith("VmHWM:"):
                    self._peak_memory_mb = int(line.split()[1]) // 1024
        return min(self._peak_memory_mb, self.limit_mb)

    def _uses_too_much(self) -> bool:
        self.peak_memory_mb()
        return self._peak_memory_mb > self.limit_mb

    @contextlib.contextmanager
    def _limited_memory(self) -> Iterator[None]:
        """Kill the process as soon as it has used more memory than the function has."""
        loop = asyncio.get_running_loop()
        timer: asyncio.TimerHandle

        def look() -> None:
            nonlocal timer
            timer = loop.call_later(MEMORY_SECONDS, look)
            if self._spawned.is_set() and self._process and self._uses_too_much():
                self._kill()

        timer = loop.call_later(MEMORY_SECONDS, look)
        try:
            yield
        finally:
            timer.cancel()

    def _environment(self) -> dict[str, str]:
        """Return what Lambda sets, and what stands in for its sandbox.

        Source: docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html.
        """
        function, place = self._function, self._place
        task, opt = place.task, place.opt
        lambda_ = {
            "AWS_DEFAULT_REGION": function.region,
            "AWS_EXECUTION_ENV": f"AWS_Lambda_{function.runtime}",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory_mb),
            "AWS_LAMBDA_FUNCTION_NAME": function.name,
            "AWS_LAMBDA_FUNCTION_VERSION": place.version,
            "AWS_LAMBDA_INITIALIZATION_TYPE": "snap-start" if function.snap_start else "on-demand",
            "AWS_LAMBDA_LOG_FORMAT": function.log_format,
            "AWS_LAMBDA_LOG_GROUP_NAME": function.log_group,
            "AWS_LAMBDA_LOG_STREAM_NAME": self.log_stream,
            "AWS_LAMBDA_RUNTIME_API": self._address,
            "AWS_REGION": function.region,
            "HOME": self._directory,
            "LAMBDA_TASK_ROOT": str(task),
            "LANG": "en_US.UTF-8",
            "LC_CTYPE": "C.UTF-8",  # Python's own choice where LANG does not exist (PEP 538)
            "LOCPATH": os.devnull,  # so that it does not exist: Lambda has C and C.UTF-8 alone
            "LD_LIBRARY_PATH": f"{task}:{task}/lib:{opt}/lib",
            "PATH": f"{self._python.parent}:/usr/local/bin:/usr/bin:/bin:{opt}/bin",
            "PYTHONPATH": f"{task}:{opt}/python/lib/{function.runtime}/site-packages:{opt}/python",
            "TEMPLATE_VARIABLES": json.dumps(dict(function.environment)),
            "TMPDIR": self._directory,
            "TZ": ":UTC",
            "_HANDLER": function.handler,
        }
        if function.log_level:
            lambda_["AWS_LAMBDA_LOG_LEVEL"] = function.log_level
        return {**self._variables, **lambda_}

    async def _live(self, api: RuntimeApi) -> None:
        """Run the process to its end, fail what it was doing then, and tidy up."""
        try:
            self._address = await api.listen(self)
        except OSError as error:  # this machine has no descriptor left
            self.alive = False
            self._spawned.set()
            self.fail(FunctionError("Runtime.ExitError", str(error)))
            return
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as self._directory:
            try:
                cause = _name_end(await self._run())
            except (OSError, ValueError) as error:  # ValueError: NUL in a variable
                cause = str(error)
            self.alive = False
            self._spawned.set()
            self.fail(FunctionError("Runtime.ExitError", f"Runtime exited with error: {cause}"))
            if not self._ready.cancelled():
                self._ready.exception()  # seen, even if nobody waits any more
            self._queue.shutdown(immediate=True)
            if self._process:
                await processes.end(self._process)  # and what outlived it
            if self._output >= 0:
                asyncio.get_running_loop().remove_reader(self._output)
                os.close(self._output)
                self._output = -1
        await api.forget(self._address)

    async def _run(self) -> int:
        self._output, output = os.pipe()
        os.set_blocking(self._output, False)
        asyncio.get_running_loop().add_reader(self._output, self._read)
        try:
            # -B: Lambda's file system is read-only; -P: bootstrap.py's folder is not for import.
            self._process = await processes.start(
                *(self._python, "-B", "-P", BOOTSTRAP, self._function.handler),
                cwd=self._place.task,
                env=self._environment(),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        finally:
            os.close(output)
        self._spawned.set()
        return await self._process.wait()

    def _kill(self) -> None:
        if self._process:
            processes.kill(self._process)

    def _read(self) -> None:
        """Take the lines that the process has written by now."""
        if self._output < 0:
            return
        with contextlib.suppress(BlockingIOError):
            while chunk := os.read(self._output, 1 << 16):
                *lines, self._partial = (self._partial + chunk).split(b"\n")
                for line in lines:
                    self._on_line(line.decode(errors="replace"))
            asyncio.get_running_loop().remove_reader(self._output)  # the other end is closed


def _name_end(status: int) -> str:
    """Say how a process ended."""
    if status == -signal.SIGKILL:
        return "signal: killed"  # Lambda's words when memory runs out
    return f"exit status {status}" if status >= 0 else f"signal {-status}"
