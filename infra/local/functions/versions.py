"""A Lambda function on this machine: its versions, each with its own execution environments."""

import asyncio
import json
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TextIO

from infra.local.errors import BuildError, FunctionError, ThrottledError, UnknownFunctionError
from infra.local.functions.environment import Environment, Place
from infra.local.functions.logs import Logs, write_report, write_start
from infra.local.functions.runtime_api import Invocation, RuntimeApi
from infra.local.metrics import Dimensions, Metrics, platform_samples, read_emf
from infra.local.stack import Function

LATEST = "$LATEST"
LOUD = ("[ERROR]", "[CRITICAL]", "Traceback ")
# Of these the runtime client knows nothing, so the platform writes the line.
UNLOGGED = {"Function.ResponseSizeTooLarge", "Runtime.ExitError", "Sandbox.Timedout"}


@dataclass(frozen=True)
class Call:
    """One invocation: what was called, an alias, a version or neither; `lines` gets its log."""

    qualifier: str
    request_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    lines: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class HostedVersion:
    """A published version, or $LATEST: its settings, its files, its log and its environments."""

    function: Function
    place: Place
    log: TextIO
    idle: list[Environment] = field(default_factory=list)
    started: list[Environment] = field(default_factory=list)


class HostedFunction:
    """Invokes versions of one function, as Lambda would.

    `directory` receives the versions' files and logs, `python` is the managed runtime's, and
    `on_error` gets a version number and a line that a person at a terminal wants to see.
    """

    def __init__(  # noqa: PLR0913 each is one thing that a test or a command sets
        self,
        *,
        directory: Path,
        python: Path,
        api: RuntimeApi,
        metrics: Metrics,
        logs: Logs,
        concurrency: int,
        variables: Mapping[str, str],
        on_error: Callable[[str, str], None],
    ) -> None:
        self._directory = directory.resolve()
        self._python = python
        self._api = api
        self._metrics = metrics
        self._logs = logs
        self._most = self._concurrency = concurrency
        self._variables = variables
        self._on_error = on_error
        self._versions: dict[str, HostedVersion] = {}
        self._files: dict[str, TextIO] = {}  # the logs, by the version's number
        self._removed: list[HostedVersion] = []
        self._replaced: HostedVersion | None = None  # $LATEST before, if unpublished
        self._running = 0
        self._added = 0

    async def add(self, function: Function, opt: Path | None = None) -> HostedVersion:
        """Make another $LATEST, with copies of the code and the layers: a later build changes none.

        `opt` is a copy of its layers that there is already; its files are shared, so that layers
        that several functions have take up room once. Raises BuildError.
        """
        self._added += 1
        root = self.files / str(self._added)
        place = Place(LATEST, root / "task", root / "opt")
        try:
            await asyncio.to_thread(shutil.copytree, function.code, place.task, symlinks=True)
            if opt:
                await asyncio.to_thread(_share, opt, place.opt)
            else:
                await asyncio.to_thread(_merge, function.layers, place.opt)
        except OSError as error:
            await asyncio.to_thread(shutil.rmtree, root, ignore_errors=True)
            raise BuildError(error) from error
        return await self.put(HostedVersion(function, place, self._open_log(LATEST)))

    async def put(self, version: HostedVersion) -> HostedVersion:
        """Make $LATEST what it was when it was added.

        An unpublished one that it replaces keeps its files until the next: for a rollback.
        """
        replaced = self._versions.get(LATEST)
        self._versions[LATEST] = version
        if replaced and replaced is not version:
            await asyncio.gather(*(one.stop() for one in replaced.started))
            self._removed.extend([self._replaced] if self._replaced else [])
            published = {one.place.task for one in self._versions.values()}
            self._replaced = None if replaced.place.task in published else replaced
        await self._sweep()
        return version

    def publish(self, number: str) -> HostedVersion:
        """Give what is $LATEST now a number."""
        latest = self._versions[LATEST]
        place = replace(latest.place, version=number)
        self._versions[number] = HostedVersion(latest.function, place, self._open_log(number))
        return self._versions[number]

    def reserve(self, executions: int | None) -> None:
        """Let the function run at most so often at one time; None lifts that again."""
        self._concurrency = self._most if executions is None else min(self._most, executions)

    async def rest(self, number: str) -> None:
        """End the environments of a version that work on nothing; the next request starts one."""
        if version := self._versions.get(number):
            idle, version.idle[:] = list(version.idle), []
            await asyncio.gather(*(one.stop() for one in idle))

    async def remove(self, number: str) -> None:
        """End a version that was deleted, with what it is doing; $LATEST may keep its files."""
        version = self._versions.pop(number, None)
        if version is None:
            return
        await asyncio.gather(*(one.stop() for one in version.started))
        self._removed.append(version)
        await self._sweep()

    @property
    def latest(self) -> Function:
        """What $LATEST is now."""
        return self._versions[LATEST].function

    @property
    def files(self) -> Path:
        """Folder of the versions' code and layers."""
        return self._directory / "versions"

    def find(self, number: str) -> HostedVersion:
        """Return a version."""
        return self._versions[number]

    def __contains__(self, number: str) -> bool:
        """Return whether a version, or $LATEST, can be invoked."""
        return number in self._versions

    async def warm(self, number: str) -> None:
        """Start one environment; raise FunctionError if it cannot start."""
        version = self._versions[number]
        environment = self._create(version)
        await environment.start(self._api)
        version.idle.append(environment)

    def environments(self, number: str) -> list[Environment]:
        """Return the living environments of a version, in the order of their start."""
        return [one for one in self._versions[number].started if one.alive]

    async def invoke(self, number: str, event: bytes, call: Call, trace_id: str = "") -> bytes:
        """Invoke a version; raise UnknownFunctionError, FunctionError or ThrottledError."""
        version = self._versions.get(number)
        if version is None:
            raise UnknownFunctionError(f"version {number} was not published by the local run")
        function = version.function
        if self._running >= self._concurrency:
            self._record(version, call, {"Throttles": 1}, {})
            raise ThrottledError(f"{self._concurrency} executions are running")
        self._running += 1
        counts = {"Invocations": 1.0, "Errors": 1.0, "Throttles": 0.0}
        counts["ConcurrentExecutions"] = self._running
        environment = _take_idle(version) or self._create(version)
        environment.written = call.lines
        is_cold, failure, started = environment.init_milliseconds is None, "", time.perf_counter()
        request_id = call.request_id
        arn = f"{function.arn}:{call.qualifier}" if call.qualifier else function.arn
        try:
            if is_cold:
                await environment.start(self._api)
            self._write(version, environment, write_start(function, request_id, number))
            started = time.perf_counter()
            deadline_ms = int((time.time() + function.timeout_seconds) * 1e3)
            invocation = Invocation(request_id, event, deadline_ms, arn, trace_id)
            payload = await environment.invoke(invocation)
        except asyncio.CancelledError:
            await environment.stop()  # its handler is still at work on the event
            raise
        except FunctionError as error:
            failure = error.kind
            if error.kind in UNLOGGED:
                self._write(version, environment, f"{request_id} {error}")
                self._on_error(number, str(error))
            raise
        else:
            counts["Errors"] = 0
            return payload
        finally:
            self._running -= 1
            duration = (time.perf_counter() - started) * 1e3
            if environment.init_milliseconds is not None:
                report = write_report(
                    function,
                    request_id,
                    milliseconds=duration,
                    cold_milliseconds=environment.init_milliseconds if is_cold else None,
                    peak_memory_mb=environment.peak_memory_mb(),
                    error=failure,
                )
                self._write(version, environment, report)
                version.idle.extend([environment] if environment.alive else [])
            self._record(version, call, counts, {"Duration": duration})

    async def stop(self) -> None:
        """End every environment."""
        for version in (*self._versions.values(), *self._removed):
            await asyncio.gather(*(one.stop() for one in version.started))
        for file in self._files.values():
            file.close()

    async def _sweep(self) -> None:
        """Free the files of removed versions that no other version shares."""
        kept = (*self._versions.values(), *([self._replaced] if self._replaced else []))
        used = {one.place.task for one in kept}
        gone = [one for one in self._removed if one.place.task not in used]
        self._removed = [one for one in self._removed if one.place.task in used]
        for version in gone:
            await asyncio.to_thread(shutil.rmtree, version.place.task.parent, ignore_errors=True)

    def _open_log(self, number: str) -> TextIO:
        if number not in self._files:
            path = self._directory / "logs" / f"{number}.log"
            path.parent.mkdir(parents=True, exist_ok=True)
            self._files[number] = path.open("a", buffering=1)
        return self._files[number]

    def _create(self, version: HostedVersion) -> Environment:
        def on_line(line: str) -> None:
            self._write(version, environment, line)
            samples = read_emf(line)
            if samples is not None:
                self._metrics.add(samples)
            elif _is_loud(line):
                self._on_error(version.place.version, line)

        version.started[:] = [one for one in version.started if one.alive]
        # On Lambda the model is at /opt/model, where the function looks by default.
        variables = {**self._variables, "MODEL_DIR": str(version.place.opt / "model")}
        environment = Environment(version.function, version.place, self._python, variables, on_line)
        version.started.append(environment)
        return environment

    def _write(self, version: HostedVersion, environment: Environment, lines: str) -> None:
        if not version.log.closed:
            version.log.write(f"{lines}\n")
        for line in lines.split("\n"):
            self._logs.add(environment.log_stream, line)
            environment.written.append(line)

    def _record(
        self,
        version: HostedVersion,
        call: Call,
        counts: Mapping[str, float],
        milliseconds: Mapping[str, float],
    ) -> None:
        """Add the metrics of one invocation with the dimensions that they have on AWS.

        The version that ran is one of them only if an alias was called.

        Source: docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html.
        """
        function = version.function
        name = ("FunctionName", function.name)
        resource = ("Resource", ":".join(filter(None, (function.name, call.qualifier))))
        executed = ("ExecutedVersion", version.place.version)
        sets: tuple[Dimensions, ...] = ((name,), (name, resource))
        if call.qualifier not in {"", version.place.version}:
            sets = (*sets, (name, resource, executed))
        self._metrics.add(
            platform_samples(
                "AWS/Lambda", time.time(), sets, counts=counts, milliseconds=milliseconds
            )
        )


def _merge(layers: Iterable[Path], opt: Path) -> None:
    """Copy layers; as on Lambda a later layer's file replaces an earlier one's."""
    opt.mkdir(parents=True)
    for layer in layers:
        shutil.copytree(layer, opt, symlinks=True, dirs_exist_ok=True)


def _share(source: Path, target: Path) -> None:
    """Make another folder with the same files: removing one leaves the other."""
    shutil.copytree(source, target, symlinks=True, copy_function=_link)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # a file system without hard links
        shutil.copy2(source, target)


def _take_idle(version: HostedVersion) -> Environment | None:
    """Take the environment that was last in use, if one is free."""
    while version.idle:
        environment = version.idle.pop()
        if environment.alive:
            return environment
    return None


def _is_loud(line: str) -> bool:
    if line.startswith("{"):
        try:
            return json.loads(line).get("level") in {"ERROR", "CRITICAL", "FATAL"}
        except ValueError:
            return False
    return line.startswith(LOUD)
