"""A Lambda function's versions, each with its own execution environments."""

import asyncio
import json
import shutil
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from infra.local.environment import Environment, Place
from infra.local.errors import FunctionError, ThrottledError
from infra.local.logs import Logs, write_report, write_start
from infra.local.metrics import Metrics, platform_samples, read_emf
from infra.local.runtime_api import Invocation, RuntimeApi
from infra.local.stack import Function

LOUD = ("[ERROR]", "[CRITICAL]", "Traceback ")
# Of these the runtime client knows nothing, so the platform writes the line.
UNLOGGED = {"Function.ResponseSizeTooLarge", "Runtime.ExitError", "Sandbox.Timedout"}


@dataclass(frozen=True)
class Version:
    """One published version: its settings, its files, its log and its environments."""

    function: Function
    place: Place
    log: TextIO
    idle: list[Environment] = field(default_factory=list)
    started: list[Environment] = field(default_factory=list)


class Versions:
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
        self._concurrency = concurrency
        self._variables = variables
        self._on_error = on_error
        self._versions: dict[str, Version] = {}
        self._running = 0

    async def add(self, number: str, function: Function) -> None:
        """Copy the function's code and layers, so that a later build cannot change this version."""
        root = self._directory / "versions" / number
        place = Place(number, root / "task", root / "opt")
        await asyncio.to_thread(_install, function, place)
        log = self._directory / "logs" / f"{number}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        self._versions[number] = Version(function, place, log.open("a", buffering=1))

    async def warm(self, number: str) -> None:
        """Start one environment; raise FunctionError if it cannot start."""
        version = self._versions[number]
        environment = self._create(version)
        await environment.start(self._api)
        version.idle.append(environment)

    def environments(self, number: str) -> list[Environment]:
        """Return the living environments of a version, in the order of their start."""
        return [one for one in self._versions[number].started if one.alive]

    async def invoke(self, number: str, event: bytes, trace_id: str = "") -> bytes:
        """Invoke a version; raise FunctionError or ThrottledError."""
        version = self._versions.get(number)
        if version is None:
            raise FunctionError("", f"version {number} was not published by the local run")
        function = version.function
        if self._running >= self._concurrency:
            self._record(version, {"Throttles": 1}, {})
            raise ThrottledError(f"{self._concurrency} executions are running")
        self._running += 1
        counts = {"Invocations": 1.0, "Errors": 1.0, "Throttles": 0.0}
        counts["ConcurrentExecutions"] = self._running
        environment = _take_idle(version) or self._create(version)
        is_cold, failure, started = environment.init_milliseconds is None, "", time.perf_counter()
        request_id = str(uuid.uuid4())
        arn = f"{function.arn}:{function.alias}"
        try:
            if is_cold:
                await environment.start(self._api)
            self._write(version, environment, write_start(function, request_id, number))
            started = time.perf_counter()
            deadline_ms = int((time.time() + function.timeout_seconds) * 1e3)
            invocation = Invocation(request_id, event, deadline_ms, arn, trace_id)
            payload = await environment.invoke(invocation)
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
            self._record(version, counts, {"Duration": duration})

    async def stop(self) -> None:
        """End every environment."""
        for version in self._versions.values():
            await asyncio.gather(*(one.stop() for one in version.started))
            version.log.close()

    def _create(self, version: Version) -> Environment:
        def on_line(line: str) -> None:
            self._write(version, environment, line)
            samples = read_emf(line)
            if samples is not None:
                self._metrics.add(samples)
            elif _is_loud(line):
                self._on_error(version.place.version, line)

        version.started[:] = self.environments(version.place.version)
        # On Lambda the model is at /opt/model, where the function looks if it is not told.
        variables = {**self._variables, "MODEL_DIR": str(version.place.opt / "model")}
        environment = Environment(version.function, version.place, self._python, variables, on_line)
        version.started.append(environment)
        return environment

    def _write(self, version: Version, environment: Environment, lines: str) -> None:
        if not version.log.closed:
            version.log.write(f"{lines}\n")
        for line in lines.split("\n"):
            self._logs.add(environment.log_stream, line)

    def _record(
        self, version: Version, counts: Mapping[str, float], milliseconds: Mapping[str, float]
    ) -> None:
        """Add the metrics of one invocation with the dimensions that they have on AWS.

        Source: docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html.
        """
        function = version.function
        name = ("FunctionName", function.name)
        resource = ("Resource", f"{function.name}:{function.alias}")
        executed = ("ExecutedVersion", version.place.version)
        sets = ((name,), (name, resource), (name, resource, executed))
        self._metrics.add(
            platform_samples(
                "AWS/Lambda", time.time(), sets, counts=counts, milliseconds=milliseconds
            )
        )


def _install(function: Function, place: Place) -> None:
    """Copy code and layers; as on Lambda a later layer's file replaces an earlier one's."""
    shutil.copytree(function.code, place.task, symlinks=True)
    place.opt.mkdir()
    for layer in function.layers:
        shutil.copytree(layer, place.opt, symlinks=True, dirs_exist_ok=True)


def _take_idle(version: Version) -> Environment | None:
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
