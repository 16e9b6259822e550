"""Build the model layer: model.json, and exactly the files that it lists with their digests.

Uses only the standard library, since it runs wherever `sam build` runs.
"""

import hashlib
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

MANIFEST = "model.json"


class BuildError(Exception):
    """Raised when the layer cannot be built; the message is for the person who builds."""


def build(source: Path, artifacts: Path) -> None:
    """Copy the packaged model from `source` to `artifacts`/model, which becomes /opt/model.

    Raises BuildError, before it copies anything, if a file is not what model.json says.
    """
    files = read_files(source / MANIFEST)
    for name, digest in files.items():
        check_file(source, name, digest)
    target = artifacts / "model"
    shutil.rmtree(target, ignore_errors=True)
    for name in (MANIFEST, *files):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / name, target / name)


def read_files(manifest: Path) -> dict[str, str]:
    """Return `files` of model.json: the sha256 of each file, by its path from model.json."""
    try:
        content: Any = json.loads(manifest.read_bytes())
    except FileNotFoundError:
        raise BuildError(f"{MANIFEST} is missing: it must be next to the model") from None
    except ValueError as error:
        raise BuildError(f"{MANIFEST} is not JSON: {error}") from error
    files = content.get("files") if isinstance(content, dict) else None
    if (
        not isinstance(files, dict)
        or not files
        or not all(isinstance(digest, str) for digest in files.values())
    ):
        raise BuildError(
            f"{MANIFEST}: files is {files!r}, expected the sha256 of each file by its name"
        )
    return files


def check_file(source: Path, name: str, digest: str) -> None:
    """Raise BuildError for a link, or a file that is outside the folder or was changed."""
    path = source / name
    if not path.resolve().is_relative_to(source.resolve()):
        raise BuildError(f"{MANIFEST}: file {name!r} is outside the folder of the model")
    if path.resolve() != source.resolve() / name:
        raise BuildError(f"{MANIFEST}: file {name!r} leads elsewhere, expected the file itself")
    if not path.is_file():
        raise BuildError(f"{MANIFEST}: file {name!r} is missing")
    with path.open("rb") as file:
        actual = hashlib.file_digest(file, "sha256").hexdigest()
    if actual != digest:
        raise BuildError(f"{name} has the sha256 {actual}, but {MANIFEST} says {digest}")


def main() -> None:
    """Build into ARTIFACTS_DIR; a failure prints one line and exits with 1."""
    if "ARTIFACTS_DIR" not in os.environ:
        sys.exit("ModelLayer: ARTIFACTS_DIR is not set; `sam build` sets it to the folder to fill")
    try:
        build(Path(), Path(os.environ["ARTIFACTS_DIR"]))
    except BuildError as error:
        sys.exit(f"ModelLayer: {error}")


if __name__ == "__main__":
    main()
