"""The functions that are measured: ours, and others that serve the same model the same way."""

import hashlib
import py_compile
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from infra.local.functions.environment import Place
from infra.local.stack import Function

HANDLERS = Path(__file__).with_name("handlers")
UNCHECKED = py_compile.PycInvalidationMode.UNCHECKED_HASH
PACKAGES = ("fastapi", "mangum", "numpy", "onnxruntime", "pydantic")
CREDENTIALS = {  # as on Lambda: without any, boto3 would ask the network for them
    "AWS_ACCESS_KEY_ID": "local",
    "AWS_SECRET_ACCESS_KEY": "local",
    "AWS_SESSION_TOKEN": "local",
}


class LayerError(Exception):
    """Raised when the layer of the typical function cannot be made."""


@dataclass(frozen=True)
class Subject:
    """A function, where its files are, and its environment variables."""

    function: Function
    place: Place
    variables: dict[str, str]


def prepare_subjects(function: Function, directory: Path, wheels: Path) -> dict[str, Subject]:
    """Copy every subject to `directory`, so that a build at the same time changes nothing."""
    ours = directory / "ours"
    shutil.copytree(function.code, ours / "task")
    for layer in function.layers:
        shutil.copytree(layer, ours / "opt", dirs_exist_ok=True)
    layers = {
        "floor": ours / "opt",
        "typical": install_typical(wheels, Path("build/bench").resolve()),
        "empty": directory / "empty" / "opt",
    }
    variables = CREDENTIALS | {"MODEL_DIR": str(ours / "opt" / "model")}
    subjects = {"ours": Subject(function, Place("1", ours / "task", ours / "opt"), variables)}
    for name, opt in layers.items():
        task = directory / name / "task"
        task.mkdir(parents=True)
        source = task / f"{name}.py"
        shutil.copy(HANDLERS / source.name, source)
        if name != "typical":
            py_compile.compile(str(source), invalidation_mode=UNCHECKED)
        other = replace(function, handler=f"{name}.handler", code=task)
        subjects[name] = Subject(other, Place("1", task, opt), variables)
    return subjects


def install_typical(wheels: Path, directory: Path) -> Path:
    """Install the packages of the typical function as `sam build` does: whole, without .pyc files.

    boto3 comes from the managed runtime. Uses no network. Raises LayerError.
    """
    names = sorted(path.name for path in wheels.glob("*.whl"))
    layer = directory / f"typical-{hashlib.sha256(repr(names).encode()).hexdigest()[:12]}"
    if layer.exists():
        return layer
    unfinished = layer.with_suffix(".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    process = subprocess.run(
        [
            *(sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"),
            *("--no-index", "--find-links", wheels, "--no-compile"),
            *("--target", unfinished / "python"),
            *PACKAGES,
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if process.returncode:
        raise LayerError(
            f"the typical layer cannot be made from {wheels}: {process.stdout.strip()} "
            f"(`make {wheels}/.ready` downloads them)"
        )
    unfinished.rename(layer)
    return layer
