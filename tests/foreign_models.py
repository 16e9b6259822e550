"""Do what users do first, put their own model and README in the place of ours, and test that.

    python -m tests.foreign_models churn

For each model that is named, or for all in tests/models/foreign: a clone of what is committed here
gets the model by `infra model add` and a README of its own, and `make test` must pass in it.
"""

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
MODELS = ROOT / "tests/models/foreign"
CLONES = ROOT / "build/foreign"


def main(names: list[str]) -> int:
    """Return the exit code: 1 if the tests of any clone fail."""
    if unknown := {*names} - {*list_names()}:
        sys.stderr.write(f"{', '.join(sorted(unknown))}: expected {', '.join(list_names())}\n")
        return 2
    failed = [name for name in names or list_names() if not passes(prepare(name))]
    for name in failed:
        sys.stderr.write(f"The tests fail with the model {name}: {CLONES / name}\n")
    return 1 if failed else 0


def list_names() -> list[str]:
    return sorted(path.stem for path in MODELS.glob("*.onnx"))


def prepare(name: str) -> Path:
    """Make the clone that holds the model."""
    model, samples = (MODELS / f"{name}{suffix}" for suffix in (".onnx", ".csv"))
    clone = CLONES / name
    shutil.rmtree(clone, ignore_errors=True)
    run("git", "clone", "--quiet", "--no-hardlinks", ROOT, clone)
    copy_downloads(clone)
    (clone / "README.md").write_text(f"# Our {name}\n\nWhat it is for, and whom to ask.\n", "utf-8")
    run("make", "build", cwd=clone)  # the doctor tries a model on what was built
    given = ("--samples", samples) if samples.exists() else ()
    run(clone / ".venv/bin/infra", "model", "add", model, *given, cwd=clone)
    return clone


def copy_downloads(clone: Path) -> None:
    """Spare the clone what `make` has downloaded here."""
    for name in ("managed-runtime", "wheels"):
        if (ROOT / "build" / name).exists():
            shutil.copytree(ROOT / "build" / name, clone / "build" / name, symlinks=True)
    for ready in clone.glob("build/wheels/*/.ready"):
        ready.touch()  # newer than the clone's requirements


def passes(clone: Path) -> bool:
    return subprocess.run(["make", "test"], cwd=clone, check=False).returncode == 0  # noqa: S607


def run(*command: str | Path, cwd: Path = ROOT) -> None:
    subprocess.run(command, cwd=cwd, check=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
