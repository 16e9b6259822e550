"""Runs a model as Lambda would: with the built function and runtime layer.

Each model runs in an execution environment of the local platform, which is a process of its own. If
the model crashes onnxruntime, that is reported and does not crash this process.
"""

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
from infra.local.functions.runtime_api import Invocation, RuntimeApi
from infra.local.metrics import Sample, read_emf
from infra.local.stack import Function, read_stack
from infra.model.errors import AnswerError, ModelError, SlowError
from infra.model.isolation import spare_memory_mb
from infra.model.sizing import MOST_MB
from infra.model.tensor import Array
from infra.model.trial.open_inference import decode, encode
from infra.project import LOCAL_STACK, Project

REGION = "us-east-1"
KINDS = {"Function.ResponseSizeTooLarge": AnswerError, "Sandbox.Timedout": SlowError}
# Parts of onnxruntime's messages that say nothing about the model: code, paths, source lines.
NOISE = re.compile(
    r"^.*\[ONNXRuntimeError\] : \d+ : \w+ : |Load model from \S+ failed:"
    r"|/onnxruntime_src/\S+:\d+ .*?\) (?=[A-Z])|^\w+: onnxruntime cannot load model.onnx: "
)


@dataclass(frozen=True)
class Bench:
    """The built function and runtime layer, which models are tried with.

    `directory` is a temporary folder for the layers to try. It is removed with the bench.
    """

    directory: Path
    function: Function
    python: Path
    runtime: Path
    api: RuntimeApi
    exits: AsyncExitStack

    async def load(self, layer: Path, model: str) -> "Trial":
        """Return a trial that has loaded the model in `layer`/model.

        Raises ModelError if it cannot be loaded.
        """
        trial = Trial(self, layer / "model", model)
        self.exits.push_async_callback(trial.stop)
        await trial.load()
        return trial


class Trial:
    """A model that is tried in an execution environment of its own."""

    def __init__(self, bench: Bench, directory: Path, model: str) -> None:
        self._bench = bench
        self._model = model
        self._samples: list[Sample] = []
        self._create = partial(
            Environment,
            bench.function,
            Place("1", bench.function.code, bench.runtime),
            bench.python,
            {"MODEL_DIR": str(directory.resolve())},  # absolute: it runs in another folder
            self._read,
        )
        self._environment: Environment | None = None

    @property
    def environment(self) -> Environment:
        """The environment that loaded the model last."""
        assert self._environment is not None  # noqa: S101 Bench.load has loaded it
        return self._environment

    async def load(self) -> None:
        """Load the model into a new environment; raise ModelError if that fails."""
        await self.stop()
        self._environment = self._create()
        # Its need is to be measured, so it gets what Lambda allows and this machine can spare.
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
        """Return every output for one request.

        Raises AnswerError if the answer is an error, SlowError if it takes longer than the
        function's timeout, and ModelError if the model crashes.
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
        """Return the values of a metric that the function has reported, oldest first."""
        return [
            value
            for (_, name, _, dimensions), _, values in self._samples
            for value in values
            if name == metric
            and len(dimensions) == 1  # each value is reported for two sets of dimensions
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
    """Open a bench on what `sam build` made.

    Raises LocalRunError if nothing was built, or for another processor or Python.
    """
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


def read_onnxruntime_version(project: Project) -> str:
    """Return the version of onnxruntime that the runtime layer is locked to."""
    locked = project.runtime_requirements.read_text()
    found = re.search(r"^onnxruntime==(\S+)", locked, re.MULTILINE)
    return found[1] if found else ""
