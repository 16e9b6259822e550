"""The package serverless-onnx: installed where nothing else is, it does what it does here."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Iterable, Iterator
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest
from onnx import save

from tests.commands import COMMANDS
from tests.onnx_models import crashing_at_load, tree_classifier
from tests.sam_template import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
UV = ROOT / ".uv/bin/uv"
WHEELS = ROOT / "build/wheels/infra"
# What a project of one's own holds, and what was built of it.
FILES = ("template.yaml", "samconfig.toml")
FOLDERS = ("functions", "layers", ".aws-sam/build")
GROUPS = {name.rpartition(" ")[0] for name in COMMANDS}
PACKAGED = (".py", ".css", ".yaml", "py.typed", "requirements.txt")  # of what infra/ holds
MEASURED = ("measured", "suggested")  # differ from one run to the next
FOREIGN = """
from pathlib import Path
from infra.project import Project
reveal_type(Project(Path()).build)
Project(7)
"""

type Result = subprocess.CompletedProcess[str]


def run(folder: Path, *command: str | Path) -> Result:
    """Run a command with neither the PATH nor the variables of this environment."""
    return subprocess.run(
        command,
        cwd=folder,
        env={"PATH": os.defpath, "COLUMNS": "100"},
        capture_output=True,
        text=True,
        check=False,
    )


def build(source: Path, target: str, folder: Path) -> Path:
    """Build a "wheel" or an "sdist" of `source` without the network; return the file."""
    result = run(source, sys.executable, "-m", "hatchling", "build", "-t", target, "-d", folder)
    assert result.returncode == 0, result.stderr
    [file] = folder.iterdir()
    return file


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(ROOT, "wheel", tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="session")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel, and what it says that it needs, of the downloaded wheels."""
    assert (WHEELS / ".ready").is_file(), "`make test` downloads the wheels"
    folder = tmp_path_factory.mktemp("installed") / "environment"
    offline = ("--quiet", "--offline", "--no-config")
    source = ("--no-index", "--find-links", WHEELS)
    subprocess.run([UV, "venv", *offline, "--python", sys.executable, folder], check=True)
    subprocess.run([UV, "pip", "install", *offline, *source, "-p", folder, wheel], check=True)
    return folder


@pytest.fixture(scope="session")
def infra(environment: Path) -> Path:
    """The installed command."""
    return environment / "bin/infra"


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that was built, with none of infra's sources."""
    folder = tmp_path_factory.mktemp("project")
    for name in FILES:
        shutil.copy(ROOT / name, folder)
    for name in FOLDERS:
        shutil.copytree(ROOT / name, folder / name)
    (folder / "build").mkdir()
    (folder / "build/managed-runtime").symlink_to(ROOT / "build/managed-runtime")
    save(tree_classifier(), folder / "good.onnx")
    save(crashing_at_load(), folder / "crashing.onnx")
    (folder / "broken.onnx").write_text("no model")
    return folder


# What it needs.


def list_imports(body: Iterable[ast.AST]) -> Iterator[str]:
    """Yield the modules that are imported, late ones too, or run by `sys.executable -m`.

    Not those that only a type checker imports, nor what runs on another Python.
    """
    for node in body:
        match node:
            case ast.If(test=ast.Name("TYPE_CHECKING")):
                yield from list_imports(node.orelse)
                continue
            case ast.Import():
                yield from (one.name for one in node.names)
            case ast.ImportFrom(module=str(module), level=0):
                yield module
            case ast.Call(args=arguments) | ast.Tuple(elts=arguments):
                match arguments:
                    case [ast.Attribute(attr="executable"), ast.Constant("-m"), ran, *_]:
                        yield ast.literal_eval(ran)
        yield from list_imports(ast.iter_child_nodes(node))


def test_what_is_imported_is_declared_and_what_is_declared_is_imported() -> None:
    # GIVEN
    distributions = packages_distributions()
    declared = {re.split(r"[^\w.-]", one)[0] for one in PROJECT["dependencies"]}
    # WHEN
    modules = {
        name.partition(".")[0]
        for path in (ROOT / "infra").rglob("*.py")
        for name in list_imports([ast.parse(path.read_text("utf-8"))])
    }
    foreign = modules - sys.stdlib_module_names - {"infra"}
    needed = {one for module in foreign for one in distributions[module]}
    # THEN
    assert {name.lower() for name in needed} == declared


def read_lock(name: str) -> set[str]:
    return set(re.findall(r"^\S+==[^\s;]+", (ROOT / name).read_text("utf-8"), re.MULTILINE))


def test_it_is_locked_to_what_the_tests_run_with() -> None:
    assert read_lock("requirements.txt") < read_lock("requirements-dev.txt")


# What it holds.


def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    package = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "infra").rglob("*")
        if path.name.endswith(PACKAGED)
    }
    about = f"serverless_onnx-{PROJECT['version']}.dist-info"
    files = ("METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE")
    with zipfile.ZipFile(wheel) as archive:
        assert set(archive.namelist()) == package | {f"{about}/{name}" for name in files}


def test_the_sdist_builds_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    with tarfile.open(build(ROOT, "sdist", tmp_path / "sdist")) as archive:
        archive.extractall(tmp_path, filter="data")
    [source] = tmp_path.glob("serverless_onnx-*")
    rebuilt = build(source, "wheel", tmp_path / "wheel")
    assert rebuilt.name == wheel.name
    assert rebuilt.read_bytes() == wheel.read_bytes()


def test_a_type_checker_sees_its_types(environment: Path, tmp_path: Path) -> None:
    # GIVEN a module of somebody else's
    (tmp_path / "foreign.py").write_text(FOREIGN)
    # WHEN it is checked
    python = environment / "bin/python"
    mypy = (sys.executable, "-m", "mypy", "--strict", "--python-executable", python)
    result = run(tmp_path, *mypy, "foreign.py")
    # THEN
    assert 'Revealed type is "pathlib.Path"' in result.stdout
    assert 'incompatible type "int"; expected "Path"' in result.stdout
    assert "Found 1 error" in result.stdout


# What it does.


def test_the_version_is_that_of_the_project(infra: Path, tmp_path: Path) -> None:
    assert run(tmp_path, infra, "--version").stdout == f"infra {PROJECT['version']}\n"


@pytest.mark.parametrize("name", sorted({*GROUPS, *COMMANDS}))
def test_every_command_shows_its_help(name: str, infra: Path, tmp_path: Path) -> None:
    result = run(tmp_path, infra, *name.split(), "--help")
    assert (result.returncode, result.stderr) == (0, "")
    assert f"Usage: infra {name}".rstrip() in result.stdout


def check_model(folder: Path, infra: str | Path, model: str | Path) -> tuple[int, dict[str, Any]]:
    """Return the exit code of `infra model check`, and what it says that is no measurement."""
    result = run(folder, infra, "model", "check", model, "--json")
    assert result.stdout, result.stderr
    verdict = json.loads(result.stdout)
    measured = [verdict.pop(field) for field in MEASURED]
    assert all(measured) == verdict["servable"]
    return result.returncode, verdict


@pytest.mark.parametrize("model", ["good.onnx", "crashing.onnx", "broken.onnx"])
def test_a_model_gets_the_verdict_of_the_checkout(model: str, infra: Path, project: Path) -> None:
    # GIVEN a project without infra/, in which somebody works
    below = project / "notes"
    below.mkdir(exist_ok=True)
    # WHEN a model is checked there, and in the checkout
    installed = check_model(below, infra, f"../{model}")
    here = check_model(ROOT, ROOT / ".venv/bin/infra", project / model)
    # THEN
    assert installed == here
    assert installed[0] == (0 if model == "good.onnx" else 1)


def test_a_template_that_it_names_is_where_it_says(infra: Path, project: Path) -> None:
    # GIVEN traffic that provisioning helps WHEN it is simulated, with no infra/stacks at hand
    throttle = ("--throttle-rate", "2400", "--throttle-burst", "2400")
    result = run(project, infra, "simulate", *throttle, "--cold-ms", "900", "--json")
    # THEN the template that provisions can be deployed from where it was installed
    [template] = re.findall(r"deploy (\S+\.yaml) with", result.stdout)
    assert Path(template).is_relative_to(infra.parents[1])
    assert Path(template).read_bytes() == (ROOT / "infra/stacks/black-friday.yaml").read_bytes()


def test_outside_of_a_project_it_says_so(infra: Path, tmp_path: Path) -> None:
    result = run(tmp_path, infra, "model", "check", "your.onnx")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith(f"Error: {tmp_path} is in no project: ")
    assert list(tmp_path.iterdir()) == []
