"""The project that a command works on: the folder above the user's that holds its two files."""

from pathlib import Path

LOCAL_STACK = "serverless-onnx"  # the stack of a local run
MARKS = ("template.yaml", "samconfig.toml")


class ProjectError(Exception):
    """Raise when there is no project; one line for a person."""


def find_root(start: Path) -> Path:
    """Return the project's folder: `start`, an absolute path, or the nearest one above it.

    Raises ProjectError.
    """
    for folder in (start, *start.parents):
        if all((folder / name).is_file() for name in MARKS):
            return folder
    raise ProjectError(
        f"{start} is in no project: neither it nor a folder above holds {' and '.join(MARKS)}; "
        "go to your checkout first: `cd path/to/serverless-onnx`"
    )
