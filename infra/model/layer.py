"""The folder of a model layer: model.json, model.onnx and the files with its external data."""

import contextlib
import hashlib
import json
import os
import shutil
from pathlib import Path

from infra.model.contract import Contract, describe
from infra.model.errors import ModelError
from infra.model.graph.files import CONTRACT, GRAPH, is_inside
from infra.model.graph.graph import Graph, read_graph
from infra.model.serialization import to_json


async def derive(source: Path, directory: Path) -> Contract:
    """Replace `directory` by the model `source`, its external data and a derived model.json.

    Returns the contract. Raises ModelError if the model cannot be served.
    """
    graph = await read_graph(source)
    if graph.problems:
        raise ModelError(*graph.problems)
    contract = describe(graph)
    unfinished = _begin(directory)
    write(graph, contract, unfinished)
    _swap(unfinished, directory)  # last: `source` may be in it
    return contract


def write(graph: Graph, contract: Contract, folder: Path) -> None:
    """Write the graph, its external data and model.json to `folder`; add digests to `contract`.

    Raises ModelError if a file cannot be copied.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        if graph.changed is not None:
            (folder / GRAPH).write_bytes(graph.changed)
        else:
            shutil.copyfile(graph.source, folder / GRAPH)
        for name, path in graph.external.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, folder / name)
    except OSError as error:
        raise ModelError(f"{graph.source.name} cannot be copied: {error.strerror}") from error
    contract["files"] = dict.fromkeys((GRAPH, *graph.external))
    seal(contract, folder)


def seal(contract: Contract, folder: Path) -> None:
    """Write model.json to `folder`, with the digest of each of its files."""
    contract["files"] = {name: digest(folder / name) for name in contract["files"]}
    (folder / CONTRACT).write_text(to_json(contract) + "\n")


def digest(path: Path) -> str:
    """Return the sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_contract(directory: Path) -> Contract:
    """Return the model.json of a layer, or {} if there is none.

    Raises ModelError if it is not JSON, or does not list the files of its model.
    """
    path = directory / CONTRACT
    try:
        contract = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise ModelError(f"{path} is not JSON: fix it or move it away") from error
    files = contract.get("files") if isinstance(contract, dict) else None
    if not isinstance(files, dict) or not all(map(is_inside, files)):
        raise ModelError(f"{path} does not list its model's files: fix it or move it away")
    return {"name": "", "version": "", **contract}


def install(package: Path, directory: Path) -> None:
    """Replace the model in `directory` by the one in `package`; other files stay as they are.

    The folder is copied, and the copy takes its place in one step, so nobody ever sees half a
    model. Raises ModelError if a file that belongs to no model is in the way.
    """
    directory = directory.resolve()
    old = read_contract(directory).get("files", {}).keys() | {CONTRACT}
    for path in package.rglob("*"):
        name = str(path.relative_to(package))
        place = directory / name
        if path.is_file() and name not in old and os.path.lexists(place):
            raise ModelError(f"{place} is in the way and belongs to no model: move it away")
        if place.resolve() != place:
            raise ModelError(f"{place} is reached by a link: a layer holds plain files")
    unfinished = _begin(directory)
    try:
        if directory.exists():
            shutil.copytree(
                directory, unfinished, symlinks=True, copy_function=os.link, dirs_exist_ok=True
            )
        for name in old:
            _remove(unfinished, unfinished / name)
        shutil.copytree(package, unfinished, dirs_exist_ok=True)
        _swap(unfinished, directory)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _remove(folder: Path, path: Path) -> None:
    """Remove a file, and the folders below `folder` that it leaves empty."""
    path.unlink(missing_ok=True)
    for parent in path.parents[: len(path.relative_to(folder).parts) - 1]:
        with contextlib.suppress(OSError):  # it is not empty
            parent.rmdir()


def _begin(directory: Path) -> Path:
    """Make an empty folder next to `directory`, on the same disk so that it can be renamed."""
    old, unfinished = _neighbours(directory)
    if old.exists() and not directory.exists():  # a swap was killed half-way
        old.rename(directory)
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    return unfinished


def _swap(unfinished: Path, directory: Path) -> None:
    """Rename `unfinished` to `directory`, and remove what was there."""
    old, _ = _neighbours(directory)
    shutil.rmtree(old, ignore_errors=True)
    if directory.exists():
        directory.rename(old)
    try:
        unfinished.rename(directory)
    except BaseException:
        if old.exists():
            old.rename(directory)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _neighbours(directory: Path) -> tuple[Path, Path]:
    name = directory.name
    return directory.with_name(f".{name}.old"), directory.with_name(f".{name}.new")
