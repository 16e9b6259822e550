"""The files of a model: the graph, the contract and external data."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

from onnx import ModelProto, TensorProto
from onnx.external_data_helper import uses_external_data

from infra.model.errors import ModelError
from infra.model.graph.nodes import to_text, walk

GRAPH, CONTRACT = "model.onnx", "model.json"
BYTES = re.compile("[0-9]{1,19}")  # a number of bytes


def is_inside(name: str) -> bool:
    """Return whether a relative path stays in its folder, and is written in its shortest form."""
    path = PurePosixPath(name)
    is_plain = name.isprintable() and name == str(path) != "."
    return is_plain and not path.is_absolute() and ".." not in path.parts


def list_external_data(model: ModelProto) -> dict[str, list[Mapping[str, str]]]:
    """Return the entries that refer to each file with external data, by its path from the model.

    Source: onnx/onnx, docs/ExternalData.md.
    """
    asked: dict[str, list[Mapping[str, str]]] = {}
    for tensor in walk(model, TensorProto):
        if uses_external_data(tensor):
            entries = {to_text(one.key): to_text(one.value) for one in tensor.external_data}
            asked.setdefault(entries.get("location", ""), []).append(entries)
    return asked


def find_external_file(
    folder: Path, location: str, asked: Iterable[Mapping[str, str]]
) -> tuple[str, Path]:
    """Find a file with external data in `folder`; return `location` and its path.

    Raises ModelError unless it is a plain file that holds every range of `asked`.
    """
    if not is_inside(location):
        raise ModelError(
            f"external data '{location}': the path must stay in the model's folder and be plain"
        )
    if location in {GRAPH, CONTRACT}:
        raise ModelError(f"external data '{location}': the name is reserved, rename the file")
    found = folder / location
    try:
        if found.resolve() != found:
            raise ModelError(f"external data '{location}': links are not followed")
        if not found.is_file():
            raise ModelError(f"external data '{location}' is not next to the model")
        size = found.stat().st_size
    except OSError as error:
        raise ModelError(f"external data '{location}' cannot be read: {error.strerror}") from error
    for entries in asked:
        texts = [entries.get(key, "0") for key in ("offset", "length")]
        if not all(map(BYTES.fullmatch, texts)):
            raise ModelError(
                f"external data '{location}': offset and length must be numbers of bytes, got "
                f"'{texts[0]}' and '{texts[1]}'"
            )
        if sum(map(int, texts)) > size:
            raise ModelError(
                f"external data '{location}' is too short for what the model reads from it: "
                f"expected {sum(map(int, texts)):,} bytes, it has {size:,}"
            )
    return location, found
