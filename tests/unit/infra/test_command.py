"""The commands that messages name: they can be pasted."""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from infra import cli, command
from infra.command import complete_commands, name_program
from infra.errors import OperatorError
from infra.model.errors import ModelError, OptionError
from infra.project import Project
from infra.simulation.errors import SimulationError


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The command `infra` in a folder that is on the PATH."""
    file = tmp_path / "infra"
    file.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    return file


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        (".venv/bin/infra", ".venv/bin/infra"),
        ("../my shop/infra", "'../my shop/infra'"),
        ("/usr/bin/pytest", "infra"),  # not started as a command
    ],
)
def test_the_program_is_named_as_it_was_typed(
    typed: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", [typed])
    assert name_program() == expected


def test_a_program_on_the_path_has_its_short_name(
    program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", [str(program)])  # what a shell makes of `infra`
    assert (name_program(), name_program("sam")) == ("infra", "sam")


def test_every_command_of_a_text_starts_as_the_persons_did(monkeypatch: pytest.MonkeyPatch) -> None:
    typed: Any = SimpleNamespace(command=SimpleNamespace(params=[]), obj=Project(Path()))
    command._typed.set(typed)  # noqa: SLF001 as a parsed command does
    monkeypatch.setattr(sys, "argv", [".venv/bin/infra"])
    text = "infra is this: `sam build && infra deploy`, `infra model add` or `make infra`"
    assert complete_commands(text) == (
        "infra is this: `.venv/bin/sam build && .venv/bin/infra deploy`, "
        "`.venv/bin/infra model add` or `make infra`"
    )


def test_the_build_is_started_in_the_projects_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    typed: Any = SimpleNamespace(command=SimpleNamespace(params=[]), obj=Project(Path("..")))
    command._typed.set(typed)  # noqa: SLF001 as a parsed command does
    monkeypatch.setattr(sys, "argv", ["../.venv/bin/infra"])
    assert complete_commands("`sam build && infra deploy`") == (
        "`(cd .. && .venv/bin/sam build) && ../.venv/bin/infra deploy`"
    )


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (OperatorError("a"), 1),
        (ModelError("a"), 1),
        (OptionError("a"), 2),
        (SimulationError("a"), 2),
    ],
)
def test_only_the_value_of_an_option_is_a_usage_error(
    error: Exception, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(**_: object) -> None:
        raise error

    monkeypatch.setattr(cli, "app", fail)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == code
