"""A candidate: the build of `sam build`, with another model in it."""

import shutil
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from infra.build import MODEL
from infra.local.stack import BuiltStack
from infra.model.contract import Contract
from infra.model.layer import read_contract
from infra.model.package import Added, AddOptions, add
from infra.project import Project


def find_model(stack: BuiltStack) -> Path:
    """Return the built layer that holds the stack's model."""
    [layer] = [layer for layer in stack.function.layers if (layer / MODEL).exists()]
    return layer


def read_model(stack: BuiltStack) -> Contract:
    """Return the contract of the stack's model; raise ModelError if it cannot be read."""
    return read_contract(find_model(stack) / MODEL.parent)


def copy_build(build: Path, to: Path, changed: Collection[str]) -> None:
    """Make a build in `to` like `build`: copies of the parts in `changed`, links to the others."""
    to.mkdir(parents=True)
    for part in build.iterdir():
        if part.name in changed:
            shutil.copytree(part, to / part.name, symlinks=True)
        else:
            (to / part.name).symlink_to(part.resolve())


async def package(
    project: Project, source: Path, options: AddOptions, current: BuiltStack, to: Path
) -> Added:
    """Package a model as the next version of the current one, into a build of its own.

    `to` is that build's folder. Raises ModelError if the model cannot be served.
    """
    layer = find_model(current).name
    copy_build(current.build, to, {layer})
    options = replace(options, name=read_model(current)["name"])
    return await add(project, source, to / layer / MODEL.parent, options)
