"""What make passes to the commands: values as they were given, and it runs none of them."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOL = f"""#!{sys.executable}
import json, os, sys
from pathlib import Path
with Path("called").open("a") as file:
    print(json.dumps([Path(sys.argv[0]).name, *sys.argv[1:]]), file=file)
if Path(sys.argv[0]).name == "sam":
    os.execvp("make", ["make", "--file", "functions.mk"])
"""
OFFLINE = """#!/bin/sh
[ "$1" = venv ] || { echo Connection refused >&2; exit 2; }
"""
HOSTILE = [
    "`touch hit`",
    "$(touch hit)",
    "$(shell touch hit)",
    "${shell touch hit}",
    "$(eval X:=$(shell touch hit))",
    '"; touch hit; "',
    "'; touch hit; '",
    '" $(touch hit) "',
    "a\ntouch hit",
    "x & touch hit",
    "$$(touch hit)",
    "--help",
    "my model (1).onnx",
    "$HOME/ü.onnx",
]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout whose tools write down what they are called with."""
    for name in ("Makefile", "requirements-dev.txt", ".python-version", ".ci/uv.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "layers/runtime").mkdir(parents=True)
    (tmp_path / "layers/runtime/requirements.txt").touch()
    (tmp_path / "requirements.txt").touch()
    (tmp_path / "functions.mk").write_text("all:\n\t@true\n")
    tools = tmp_path / ".venv/bin"
    tools.mkdir(parents=True)
    for name in ("hatchling", "infra", "sam", "python"):
        (tools / name).write_text(TOOL)
        (tools / name).chmod(0o755)
    for name in (".uv", "build/wheels/x86_64", "build/wheels/arm64", ".venv"):
        (tmp_path / name).mkdir(parents=True, exist_ok=True)
        (tmp_path / name / ".ready").touch()
    return tmp_path


def run_make(checkout: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["make", *arguments],  # noqa: S607 the user's make
        cwd=checkout,
        env={"PATH": os.environ["PATH"], "HOME": str(checkout)},
        capture_output=True,
        text=True,
        check=False,
    )


def make(checkout: Path, *arguments: str) -> list[list[str]]:
    """Run make; return what was called, or nothing if something else was."""
    result = run_make(checkout, *arguments)
    assert result.returncode == 0, result.stderr
    return [json.loads(line) for line in (checkout / "called").read_text().splitlines()]


@pytest.mark.parametrize("value", HOSTILE)
@pytest.mark.parametrize(
    ("target", "variable", "called"),
    [
        ("run", "MODEL", ["infra", "run", "--port=8000", "--model={}"]),
        ("run", "PORT", ["infra", "run", "--port={}"]),
        ("rehearse", "MODEL", ["infra", "rehearse", "--", "{}"]),
        (
            "rehearse",
            "SAMPLES",
            ["infra", "rehearse", "--samples={}", "--", "layers/model/model.onnx"],
        ),
        (
            "rehearse",
            "TARGET",
            ["infra", "rehearse", "--target={}", "--", "layers/model/model.onnx"],
        ),
        ("deploy", "ENV", ["infra", "deploy", "--env={}"]),
        ("bench", "CHART", ["python", "-m", "tests.benchmarks", "--chart={}"]),
        ("bench", "QUICK", ["python", "-m", "tests.benchmarks", "--quick"]),
        ("bench", "PEERS", ["python", "-m", "tests.benchmarks", "--peers"]),
        ("test-models", "MODEL", ["python", "-m", "tests.foreign_models", "{}"]),
        ("build", "MODEL", ["infra", "size"]),
    ],
)
def test_a_value_is_handed_over_as_it_is(
    checkout: Path, target: str, variable: str, called: list[str], value: str
) -> None:
    calls = make(checkout, target, f"{variable}={value}")
    assert calls[-1] == [one.replace("{}", value) for one in called]
    assert not (checkout / "hit").exists()


def test_without_values_there_are_no_options(checkout: Path) -> None:
    assert make(checkout, "run") == [["infra", "run", "--port=8000"]]
    make(checkout, "rehearse")
    make(checkout, "deploy")
    calls = make(checkout, "bench")
    assert ["infra", "rehearse", "--", "layers/model/model.onnx"] in calls
    assert ["infra", "deploy"] in calls
    assert calls[-1] == ["python", "-m", "tests.benchmarks"]


@pytest.mark.parametrize("target", [".venv", "build/wheels/x86_64", "build/wheels/infra"])
def test_without_pypi_it_says_what_is_needed(checkout: Path, target: str) -> None:
    # GIVEN tools that can download nothing
    for tool in (".uv/bin/uv", ".venv/bin/python3.13"):
        (checkout / tool).parent.mkdir(exist_ok=True)
        (checkout / tool).write_text(OFFLINE)
        (checkout / tool).chmod(0o755)
    (checkout / target / ".ready").unlink(missing_ok=True)
    # WHEN something must be downloaded
    result = run_make(checkout, f"{target}/.ready")
    # THEN the last word is what to do, the tool's own stands above it, and it is tried again later
    first, last, _ = result.stderr.splitlines()
    assert first == "Connection refused"
    assert last == "These packages could not be downloaded: that needs PyPI."
    assert not (checkout / target / ".ready").exists()


def test_the_package_is_built_anew(checkout: Path) -> None:
    # GIVEN an older one WHEN it is built
    (checkout / "build/dist").mkdir()
    (checkout / "build/dist/serverless_onnx-0.0.1.tar.gz").touch()
    # THEN that is gone
    assert make(checkout, "wheel") == [["hatchling", "build", "--directory", "build/dist"]]
    assert not (checkout / "build/dist").exists()
