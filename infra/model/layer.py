"""The folder of a model layer: model.json, model.onnx and the files with its external data."""

import contextlib
import hashlib
import json
import os
import shutil
from pathlib import Path

from infra.model.contract import Contract, describe, to_json
from infra.model.errors import ModelError
from infra.model.graph.graph import CONTRACT, GRAPH, Graph, is_inside, read_graph


async def derive(source: Path, directory: Path) -> Contract:
    """Put the model `source`, its external data and a derived model.json into `directory`.

    Whatever was in `directory` is replaced. Returns the contract; raises ModelError.
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
    """Put the graph, its external data and model.json into `folder`, digests into `contract`.

    Raises ModelError if there is no room.
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
    """Write model.json, with the digest of each of its files."""
    contract["files"] = {name: digest(folder / name) for name in contract["files"]}
    (folder / CONTRACT).write_text(to_json(contract) + "\n")


def digest(path: Path) -> str:
    """Return the sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_contract(directory: Path) -> Contract:
    """Read the model.json of a layer; it is empty where there is none.

    Raises ModelError if it is not one whose files can be told from others.
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
    """Let the model in `package` take the place of the one in `directory`, whose other files stay.

    A copy of the folder is made and takes its place at once, so that nobody ever sees half of it.
    Raises ModelError if a file is in the way that belongs to no model.
    """
    directory = directory.resolve()
    old = read_contract(directory).get("files", {}).keys() | {CONTRACT}
    for path in package.rglob("*"):
        name = str(path.relative_to(package))
        place = directory / name
        if path.is_file() and name not in old and os.path.lexists(place):
            raise ModelError(f"{place} is in the way and belongs to no model: move it away")
        if place.resolve() != place:
            raise ModelError(f"{place} leads elsewhere: a layer holds plain files")
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
    """Remove a file, and the folders up to `folder` that are empty without it."""
    path.unlink(missing_ok=True)
    for parent in path.parents[: len(path.relative_to(folder).parts) - 1]:
        with contextlib.suppress(OSError):  # it is not empty
            parent.rmdir()


def _begin(directory: Path) -> Path:
    """Make an empty folder beside `directory`: only there can it be renamed to it."""
    old, unfinished = _neighbours(directory)
    if old.exists() and not directory.exists():  # a swap was killed half-way
        old.rename(directory)
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    return unfinished


def _swap(unfinished: Path, directory: Path) -> None:
    """Rename `unfinished` to `directory`; only then is what was there gone."""
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
