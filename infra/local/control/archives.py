"""Small archives in the place of a stack's built folders: digests of files, not their content."""

import base64
import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

from infra.local.errors import BuildError
from infra.local.stack import BuiltStack
from infra.local.template import list_paths

DIGESTS = "md5sums"  # the one file of an archive

type Archives = Mapping[Path, str]


def archive(stack: BuiltStack) -> Archives:
    """Make an archive of each built folder of a stack; raise BuildError if one cannot be read."""
    functions = stack.functions.values()
    folders = {folder for one in functions for folder in (one.code, *one.layers)}
    try:
        return {folder: _zip(folder.resolve(strict=True)) for folder in folders}
    except OSError as error:
        raise BuildError(error) from error


def write_template(stack: BuiltStack, archives: Archives) -> str:
    """Return the template as SAM CLI sends it: the key of an upload in the place of each folder."""
    template = deepcopy(stack.source)
    for properties, key, path in list_paths(template):
        held = archives.get((stack.build / path).resolve())
        properties[key] = f"s3://local/{_name_upload(held) if held else 'unknown'}"
    return json.dumps(template)


def _name_upload(archive: str) -> str:
    """Return the digest of a folder under which SAM CLI uploads it (samcli.lib.utils.hash)."""
    with zipfile.ZipFile(io.BytesIO(base64.b64decode(archive))) as files:
        lines = files.read(DIGESTS).decode().splitlines()
    digest = _md5()
    for line in lines:
        of_file, _, path = line.partition(" ")
        digest.update(path.encode() + of_file.encode())
    return str(digest.hexdigest())


def _zip(directory: Path) -> str:
    """Make the archive of a folder, in base 64."""
    lines = []
    for path in sorted((path for path in directory.rglob("*") if path.is_file()), key=str):
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, _md5).hexdigest()
        lines.append(f"{digest} {path.relative_to(directory)}")
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as files:
        files.writestr(zipfile.ZipInfo(DIGESTS), "\n".join(lines))
    return base64.b64encode(archive.getvalue()).decode()


def _md5() -> Any:
    """Return the digest that SAM CLI takes: it distinguishes builds, and keeps nobody out."""
    return hashlib.md5(usedforsecurity=False)
