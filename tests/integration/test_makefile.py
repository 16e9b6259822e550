"""What make hands to the commands: values as they were given, none of which it runs."""

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
    (tmp_path / "functions.mk").write_text("all:\n\t@true\n")
    tools = tmp_path / ".venv/bin"
    tools.mkdir(parents=True)
    for name in ("infra", "sam", "python"):
        (tools / name).write_text(TOOL)
        (tools / name).chmod(0o755)
    for name in (".uv", "build/wheels/x86_64", "build/wheels/arm64", ".venv"):
        (tmp_path / name).mkdir(parents=True, exist_ok=True)
        (tmp_path / name / ".ready").touch()
    return tmp_path


def make(checkout: Path, *arguments: str) -> list[list[str]]:
    """Run make; return what was called, or nothing if something else was."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(checkout)}
    subprocess.run(["make", *arguments], cwd=checkout, env=environment, check=True)  # noqa: S607 the user's make
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
