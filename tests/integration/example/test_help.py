"""The examples in the help of `infra model check` and `infra simulate`, typed in a checkout."""

import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from infra import cli
from infra.model.cli import app as model
from infra.simulation.cli import simulate
from tests.sam_template import ROOT


def find_example(app: typer.Typer, name: str) -> list[str]:
    """Return the example of a command, as a shell splits it."""
    command = typer.main.get_command(app).commands[name]  # type: ignore[attr-defined]
    return shlex.split(command.epilog.removeprefix("Example: infra "))


@pytest.mark.parametrize(
    ("example", "line"),
    [
        (find_example(model, "check"), "model.onnx can be served"),
        (find_example(cli.app, simulate.__name__), "black-friday: 65.0 million requests"),
    ],
    ids=["check", "simulate"],
)
def test_an_example_runs(example: list[str], line: str) -> None:
    infra = Path(sys.executable).with_name("infra")
    done = subprocess.run([infra, *example], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert line in done.stdout
