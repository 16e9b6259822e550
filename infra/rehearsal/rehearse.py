"""A whole rehearsal: build, package the candidate, serve the current model, release."""

import asyncio
import shutil
import time
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from infra.build import MODEL, alone
from infra.local.control.code_deploy import ReleaseEvent
from infra.local.errors import FunctionError
from infra.local.functions.interruption import cancel_on_signals
from infra.local.functions.managed_runtime import prepare
from infra.local.stack import BuiltStack, read_stack
from infra.model.errors import ModelError, OptionError
from infra.model.graph.files import GRAPH
from infra.model.layer import digest, read_contract
from infra.model.package import AddOptions
from infra.model.quality.quality import WorseError
from infra.model.samples.file import read_samples
from infra.project import Project
from infra.rehearsal.canary import run_canary, serve_stack
from infra.rehearsal.candidate import package, read_model
from infra.rehearsal.plan import RehearsalPlan, format_release_command
from infra.rehearsal.quality import read_quality
from infra.rehearsal.requests import RehearsalError, Requests, make_requests
from infra.rehearsal.result import Caught, Colour, RehearsalResult
from infra.run.stack import build_stack
from infra.terminal import Terminal


async def run_rehearsal(
    project: Project, plan: RehearsalPlan, console: Terminal, show: Callable[[ReleaseEvent], None]
) -> RehearsalResult:
    """Rehearse the release of `plan.source` as the next version of the model that is built.

    Leaves nothing behind but the logs in the project's folder for rehearsals. Raises ModelError if
    the samples cannot be read, and LocalRunError if nothing can be served.
    """
    cancel_on_signals()
    if not plan.source.is_file():
        raise RehearsalError(f"{plan.source} is not a file: expected an ONNX model")
    if _is_current(project, plan.source):
        console.print(
            f"{plan.source} is the current model, rehearsed against itself; to rehearse another: "
            "infra rehearse path/to/any.onnx",
            soft_wrap=True,
        )
    directory = project.rehearsal
    async with AsyncExitStack() as exits:
        await exits.enter_async_context(
            alone(project, console)
        )  # a build would disturb the measurements
        exits.push_async_callback(_end_copies, directory)
        built = await build_stack(project, None, console)
        current = read_stack(project.build, built.name, built.region, plan.parameters)
        requests = await _read_requests(plan.options, current)
        directory.parent.mkdir(parents=True, exist_ok=True)
        folder = TemporaryDirectory(dir=directory.parent, prefix="candidate-")
        to = Path(exits.enter_context(folder)) / "build"
        try:
            with console.progress("Packaging the candidate"):
                candidate = await package(project, plan.source, plan.options, current, to)
        except OptionError:
            raise
        except ModelError as error:
            quality = error.quality if isinstance(error, WorseError) else None
            refused = _refuse(str(error), plan.minute, show)
            return replace(refused, findings=read_quality(quality, is_refused=True))
        python = await prepare(project.managed_runtime)
        opening = serve_stack(current, python=python, directory=directory, minute=plan.minute)
        try:
            with console.progress("Starting the function"):
                served = await exits.enter_async_context(opening)
        except FunctionError as error:
            raise RehearsalError(f"the current function does not start: {error}") from error
        released = read_stack(to, current.name, current.region, plan.parameters)
        for note in candidate.notes:
            console.print(f"Note: {note}", soft_wrap=True)
        done = await run_canary(served, released, requests, rate=plan.rate, show=show)
    done = replace(done, findings=[*read_quality(candidate.quality), *done.findings])
    if done.verdict is not Colour.RED:
        return replace(done, next=format_release_command(plan, candidate.name))
    return done


def _is_current(project: Project, source: Path) -> bool:
    """Return whether a file is the graph in the layer that is built."""
    with suppress(ModelError):
        files = read_contract(project.layers / MODEL.parent).get("files", {})
        return bool(files.get(GRAPH) == digest(source))
    return False


async def _end_copies(directory: Path) -> None:
    """Wait for threads that still copy the build after a cancellation, and remove the copies."""
    await asyncio.get_running_loop().shutdown_default_executor()
    _remove_versions(directory)


def _remove_versions(directory: Path) -> None:
    for folder in [*directory.glob("**/versions")]:
        shutil.rmtree(folder, ignore_errors=True)


async def _read_requests(options: AddOptions, current: BuiltStack) -> Requests:
    """Return the requests of the load, with the columns that the current model takes."""
    contract = read_model(current)
    if options.samples is None:
        return make_requests(contract)
    samples = await read_samples(
        options.samples, contract["inputs"], options.features, options.target
    )
    return make_requests(contract, samples)


def _refuse(reason: str, minute: float, show: Callable[[ReleaseEvent], None]) -> RehearsalResult:
    """Return the result of a rehearsal whose model was refused before it became a version."""
    now = time.time()
    event = ReleaseEvent(now, "package-refused", reason, 0)
    show(event)
    return RehearsalResult(
        caught=Caught.PACKAGE,
        reason=reason,
        old="1",
        new="",
        events=[event],
        sent=0,
        answers=[],
        started=now,
        ended=now,
        minute=minute,
    )
