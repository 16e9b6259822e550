"""Runs models as Lambda would: the built function and runtime layer, and a model that is on trial.

Each has an execution environment of the local run, a process of its own: a model that brings
onnxruntime down is reported, not suffered.
"""

import asyncio
import re
import signal
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from infra.build import MODEL, check_machine
from infra.local.errors import FunctionError
from infra.local.functions.environment import Environment, Place
from infra.local.functions.managed_runtime import prepare
from infra.local.functions.processes import end, start
from infra.local.functions.runtime_api import Invocation, RuntimeApi
from infra.local.metrics import Sample, read_emf
from infra.local.stack import Function, read_stack
from infra.model.errors import AnswerError, ModelError, SlowError
from infra.model.isolation import Limits, spare_memory_mb
from infra.model.samples.samples import Array
from infra.model.sizing import MOST_MB
from infra.model.trial.open_inference import decode, encode
from infra.project import LOCAL_STACK, Project

REGION = "us-east-1"
KINDS = {"Function.ResponseSizeTooLarge": AnswerError, "Sandbox.Timedout": SlowError}
SIMPLIFY_SECONDS, SIMPLIFIED_MB = 60, 4096  # at most
# What onnxruntime's messages say of itself: code, temporary path, place in its source.
NOISE = re.compile(
    r"^.*\[ONNXRuntimeError\] : \d+ : \w+ : |Load model from \S+ failed:"
    r"|/onnxruntime_src/\S+:\d+ .*?\) (?=[A-Z])|^\w+: onnxruntime cannot load model.onnx: "
)


@dataclass(frozen=True)
class Bench:
    """What models are tried on: the built function and runtime layer.

    `directory` is for what is tried, and there as long as the bench is.
    """

    directory: Path
    function: Function
    python: Path
    runtime: Path
    api: RuntimeApi
    exits: AsyncExitStack

    async def load(self, layer: Path, model: str) -> "Trial":
        """Load the model in `layer`/model; raise ModelError if that fails."""
        trial = Trial(self, layer / "model", model)
        self.exits.push_async_callback(trial.stop)
        await trial.load()
        return trial

    async def simplify(self, source: Path, target: Path) -> None:
        """Let onnxruntime write the graph that it would make of `source` at each start."""
        process = await start(
            *(self.python, "-B", "-P", "-m", "serving.simplify", source, target),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            env={"PYTHONPATH": f"{self.function.code}:{self.runtime / 'python'}"},
        )
        Limits(SIMPLIFY_SECONDS, spare_memory_mb(), SIMPLIFIED_MB).impose(process.pid)
        try:
            async with asyncio.timeout(SIMPLIFY_SECONDS):
                status = await process.wait()
        except TimeoutError:
            raise ModelError(
                f"onnxruntime takes over {SIMPLIFY_SECONDS} s to simplify it"
            ) from None
        finally:
            await end(process)
        if status:
            raise ModelError(f"onnxruntime cannot simplify the graph (exit status {status})")


class Trial:
    """A model in an execution environment of its own."""

    def __init__(self, bench: Bench, directory: Path, model: str) -> None:
        self._bench = bench
        self._model = model
        self._samples: list[Sample] = []
        self._create = partial(
            Environment,
            bench.function,
            Place("1", bench.function.code, bench.runtime),
            bench.python,
            {"MODEL_DIR": str(directory.resolve())},  # it runs in a folder of its own
            self._read,
        )
        self._environment: Environment | None = None

    @property
    def environment(self) -> Environment:
        """The environment in which the model was loaded last."""
        assert self._environment is not None  # noqa: S101 it has been loaded
        return self._environment

    async def load(self) -> None:
        """Load the model into a new environment; raise ModelError if that fails."""
        await self.stop()
        self._environment = self._create()
        # How much it needs is what is to be found out, but not what this machine cannot spare.
        self._environment.limit_mb = min(MOST_MB, spare_memory_mb())
        try:
            await self.environment.start(self._bench.api)
        except FunctionError as error:
            raise ModelError(self._explain(error, "loading")) from error

    async def stop(self) -> None:
        """End the environment."""
        if self._environment:
            await self._environment.stop()

    async def ask(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Return every output.

        Raises AnswerError if the answer is an error, SlowError, and ModelError after a crash.
        """
        if not self.environment.alive:
            await self.load()
        event = encode(self._model, inputs)
        deadline_ms = int((time.time() + self._bench.function.timeout_seconds) * 1e3)
        invocation = Invocation(str(uuid.uuid4()), event, deadline_ms, self._bench.function.arn, "")
        try:
            payload = await self.environment.invoke(invocation)
        except FunctionError as error:
            kind = KINDS.get(error.kind, ModelError)
            raise kind(self._explain(error, "answering")) from error
        return decode(payload)

    def read(self, metric: str) -> list[float]:
        """Return what the function has reported of a metric, oldest first."""
        return [
            value
            for (_, name, _, dimensions), _, values in self._samples
            for value in values
            if name == metric and len(dimensions) == 1  # each is there for two dimension sets
        ]

    def _read(self, line: str) -> None:
        self._samples += read_emf(line) or []

    def _explain(self, error: FunctionError, doing: str) -> str:
        text = " ".join(str(error).split())
        if text.endswith("signal: killed"):
            return f"{doing} takes more than {self.environment.limit_mb:,} MB of memory"
        if crash := re.search(r"signal (\d+)$", text):
            return f"onnxruntime crashed (signal: {signal.strsignal(int(crash[1]))}) while {doing}"
        if error.kind == "Sandbox.Timedout":
            return f"{doing} takes too long: {text.partition(': ')[2]}"
        if "onnxruntime cannot load" in text:
            return f"onnxruntime cannot load it: {NOISE.sub('', text)}"
        return f"{doing} fails: {text}"


@asynccontextmanager
async def open_bench(project: Project) -> AsyncIterator[Bench]:
    """Prepare what `sam build` made; raise LocalRunError if it is missing or not for here."""
    function = read_stack(project.build, LOCAL_STACK, REGION).function
    check_machine(function.runtime, function.architecture)
    [runtime] = [layer for layer in function.layers if not (layer / MODEL).exists()]
    python = await prepare(project.managed_runtime)
    async with AsyncExitStack() as exits:
        name = exits.enter_context(
            tempfile.TemporaryDirectory(dir=project.scratch, prefix="trial-")
        )
        api = RuntimeApi()
        await api.start()
        exits.push_async_callback(api.stop)
        yield Bench(Path(name), function, python, runtime, api, exits)
