"""What holds for every command of `infra`: where it may be typed, its help, its example."""

import json
import shlex
from importlib.metadata import version
from pathlib import Path

import pytest
from typer.testing import CliRunner

from infra import cli
from infra.artifacts import ArtifactError
from infra.command import ProjectCommand
from infra.project import MARKS, ProjectError
from tests.commands import COMMANDS
from tests.sam_template import ROOT

BAR = "time,rps\n06:00,10\n06:01,10\n"


@pytest.fixture
def below(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in a project, where a person is; the project's files are this one's."""
    for name in MARKS:
        (tmp_path / name).symlink_to(ROOT / name)
    folder = tmp_path / "notes" / "week 48"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_finds_its_project_and_shows_an_example(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # GIVEN a folder outside of every project
    monkeypatch.chdir(tmp_path)
    command = COMMANDS[name]
    assert isinstance(command, ProjectCommand)

    # WHEN help is asked for THEN it is there
    for option in ("-h", "--help"):
        result = CliRunner().invoke(cli.app, [*name.split(), option])
        assert result.exit_code == 0
        assert "Example: infra" in result.output

    # AND the command itself takes its example, in the project
    for mark in MARKS:
        (tmp_path / mark).touch()
    example = shlex.split(str(command.epilog).removeprefix("Example: "))
    prefix = ["infra", *name.split()]
    assert example[: len(prefix)] == prefix
    context = command.make_context(name, example[len(prefix) :])
    assert set(context.params) == {parameter.name for parameter in command.params}


@pytest.mark.parametrize("name", COMMANDS)
def test_outside_of_a_project_a_command_says_so(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    example = shlex.split(str(COMMANDS[name].epilog).removeprefix("Example: infra "))
    result = CliRunner().invoke(cli.app, example)
    assert isinstance(result.exception, ProjectError), result.output
    assert str(result.exception) == (
        f"{tmp_path} is in no project: neither it nor a folder above holds template.yaml and "
        "samconfig.toml; go to your project first: `cd path/to/your-project`"
    )
    assert list(tmp_path.iterdir()) == []


def test_typed_paths_are_the_persons_and_all_others_the_projects(below: Path) -> None:
    # GIVEN a curve next to the person
    (below / "sale.csv").write_text(BAR)
    # WHEN a page is written, first where it is by default
    command = ["simulate", "--curve", "sale.csv", "--warm-ms", "5", "--cold-ms", "9"]
    first = CliRunner().invoke(cli.app, command)
    second = CliRunner().invoke(cli.app, [*command, "--output", "out/sale.html"])
    # THEN
    assert (first.exit_code, second.exit_code) == (0, 0), first.output + second.output
    assert (below.parents[1] / "build/simulation.html").is_file()
    assert (below / "out/sale.html").is_file()
    assert {path.name for path in below.iterdir()} == {"sale.csv", "out"}
    # AND the person is still there
    assert Path.cwd() == below


def test_a_path_in_a_message_leads_there_from_where_one_is(below: Path) -> None:
    result = CliRunner().invoke(cli.app, ["size"])
    assert isinstance(result.exception, ArtifactError), below
    assert str(result.exception).startswith(f"{Path('../../.aws-sam/build')} holds no build: ")


def test_a_model_is_looked_for_where_it_is_typed(below: Path) -> None:
    (below / "sums.onnx").write_text("no model")
    result = CliRunner().invoke(cli.app, ["model", "check", "sums.onnx"])
    assert result.exit_code == 1
    assert "sums.onnx is not an ONNX model" in result.output


def test_the_version_is_the_packages() -> None:
    result = CliRunner().invoke(cli.app, ["--version"])
    assert result.output == f"infra {version('serverless-onnx')}\n"


def test_sizes_for_a_program() -> None:
    result = CliRunner().invoke(cli.app, ["size", "--json"])
    assert result.exit_code == 0
    [inference, gate] = json.loads(result.output)
    assert (inference["function"], gate["function"]) == ("InferenceFunction", "GateFunction")
    assert inference["architecture"] in {"x86_64", "arm64"}
    for build in (inference, gate):
        sizes = [artifact["bytes"] for artifact in build["artifacts"]]
        assert build["bytes"] == sum(sizes) < build["budget"]
        assert sizes == [sum(one["parts"].values()) for one in build["artifacts"]]
