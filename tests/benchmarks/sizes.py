"""Sizes of what is deployed, unzipped and zipped, by package."""

import io
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from infra.artifacts import name_part, read_function_packages


@dataclass(frozen=True)
class Size:
    """Bytes of a package, or of a whole artifact."""

    unzipped: int
    zipped: int
    bytecode: int  # unzipped .pyc files


def measure_sizes(folder: Path) -> dict[str, dict[str, Size]]:
    """Zip the inference function and its layers, built in `folder`, as `sam deploy` does.

    Returns the packages of each, largest first.
    """
    [package] = [
        one for one in read_function_packages(folder) if one.function == "InferenceFunction"
    ]
    return {artifact.name: _measure(artifact.path) for artifact in package.artifacts}


def add_up(sizes: Mapping[str, Size]) -> Size:
    """Return the size of all of the packages."""
    return Size(
        sum(size.unzipped for size in sizes.values()),
        sum(size.zipped for size in sizes.values()),
        sum(size.bytecode for size in sizes.values()),
    )


def _measure(folder: Path) -> dict[str, Size]:
    unzipped, zipped, bytecode = Counter[str](), Counter[str](), Counter[str]()
    for path, size in _zip(folder):
        part = name_part(path)
        whole = (folder / path).stat().st_size
        unzipped[part] += whole
        zipped[part] += size
        bytecode[part] += whole if path.suffix == ".pyc" else 0
    return {part: Size(size, zipped[part], bytecode[part]) for part, size in unzipped.most_common()}


def _zip(folder: Path) -> Iterator[tuple[Path, int]]:
    """Yield each file below `folder`, and its size in the zip."""
    with zipfile.ZipFile(io.BytesIO(), "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                name = path.relative_to(folder)
                archive.write(path, name)
                yield name, archive.getinfo(str(name)).compress_size
