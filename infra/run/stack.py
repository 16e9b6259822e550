"""The stack that a local run serves: what `sam build` makes, with the model of `--model` if any."""

import platform
import sys
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from infra.account.connect import read_local_region
from infra.build import MODEL, check_machine, start_build, wait_for_build
from infra.local.errors import LocalRunError
from infra.project import LOCAL_STACK, Project
from infra.terminal import Terminal

if TYPE_CHECKING:
    from infra.local.control.cloud_formation_api import Read
    from infra.local.stack import BuiltStack


async def build_stack(project: Project, model: Path | None, console: Terminal) -> "BuiltStack":
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
            contract = await derive(model, project.local_model_layer / MODEL.parent)
        except ModelError as error:
            raise LocalRunError(str(error)) from error
        for change in contract["provenance"].get("changes", ()):
            console.print_lines(f"Note: {change}")
    with console.progress("Building with sam build"):
        building = await start_build(project)
        from infra.local.stack import read_stack  # takes a second, of which sam uses the other core

        await wait_for_build(building, project, console)
    stack = read_stack(project.build, LOCAL_STACK, read_local_region())
    check_machine(stack.function.runtime, stack.function.architecture)
    if not model:
        return stack
    _warn_of_size(project, contract["files"], console)
    from infra.model.doctor import add_lengths

    with console.progress("Trying the model"):
        await add_lengths(project, project.local_model_layer)
    return _use_model(stack, project.local_model_layer)


def _use_model(stack: "BuiltStack", own: Path) -> "BuiltStack":
    """Let the layer `own`, with the model of `--model`, replace the one with the built model."""
    function = stack.function
    layers = [own if (layer / MODEL).exists() else layer for layer in function.layers]
    return stack.with_function(replace(function, layers=tuple(layers)))


def read_again(project: Project, stack: "BuiltStack", model: Path | None) -> "Read":
    """Return the function that reads the build again for a release.

    The model of `--model` goes on replacing the built one until another is built.
    """
    from infra.local.stack import read_stack

    def read_model(built: "BuiltStack") -> list[bytes]:
        files = [layer / MODEL for layer in built.function.layers]
        return [file.read_bytes() for file in files if file.exists()]

    def read(body: str | None, parameters: Mapping[str, str]) -> "BuiltStack":
        built = read_stack(project.build, stack.name, stack.region, parameters, body)
        check_machine(built.function.runtime, built.function.architecture)
        if model and read_model(built) == replaced:
            return _use_model(built, project.local_model_layer)
        return built

    replaced = read_model(read_stack(project.build, stack.name, stack.region))
    return read


def _warn_of_size(project: Project, files: Iterable[str], console: Terminal) -> None:
    """Warn of a model that runs here and that Lambda would refuse."""
    from infra.model.sizing import check_size, measure_size

    folder = project.local_model_layer / MODEL.parent
    size = sum((folder / name).stat().st_size for name in files)
    for problem in check_size(measure_size(size, project.build)):
        console.print_lines(f"Warning: Lambda would refuse it: {problem}", style="yellow")
