"""Rules that the tests themselves keep."""

import ast
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.foreign_models import list_names
from tests.scope import find_absent

TESTS = Path(__file__).parents[1]


def list_imports(source: str) -> Iterator[str]:
    """Yield every module that is imported, and every name that is taken from one."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            yield from (f"{module}.{alias.name}" for alias in node.names)


def is_test_module(name: str) -> bool:
    return any(part == "conftest" or part.startswith("test_") for part in name.split("."))


@pytest.mark.parametrize(
    "source",
    [
        "from tests.unit.test_suite import TESTS",
        "from tests.unit import test_suite",
        "import tests.conftest",
        "def test() -> None:\n    from ..conftest import lambda_context",
    ],
)
def test_an_import_of_a_test_module_is_seen(source: str) -> None:
    assert any(is_test_module(name) for name in list_imports(source))


def test_nothing_imports_a_test_module_or_a_conftest() -> None:
    # What tests share has a module of its own in tests/, named by what it holds
    assert [
        f"{path.relative_to(TESTS)} imports {name}"
        for path in sorted(TESTS.rglob("*.py"))
        for name in list_imports(path.read_text("utf-8"))
        if name.startswith(("tests.", ".")) and is_test_module(name)
    ] == []


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Copy what decides which tests hold."""
    for name in ("README.md", "layers/model/model.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text((TESTS.parent / name).read_text("utf-8"), "utf-8")
    return tmp_path


def test_what_a_checkout_no_longer_holds_is_not_tested(checkout: Path) -> None:
    # GIVEN a model and a README of one's own
    (checkout / "layers/model/model.json").write_text('{"name": "churn"}')
    (checkout / "README.md").write_text("# Who leaves?\n")
    # THEN the tests of theirs are left out, each with its reason
    assert find_absent(checkout) == {
        "example": "layers/model holds churn, which is not the example",
        "docs": "README.md does not begin with '# Serverless ONNX': it is not this project's",
    }


def test_another_model_of_the_examples_name_is_not_the_example(checkout: Path) -> None:
    contract = json.loads((checkout / "layers/model/model.json").read_text("utf-8"))
    (checkout / "layers/model/model.json").write_text(json.dumps(contract | {"provenance": {}}))
    assert "example" in find_absent(checkout)


def test_ci_tests_every_foreign_model() -> None:
    workflow = yaml.safe_load((TESTS.parent / ".github/workflows/ci.yml").read_text("utf-8"))
    matrix = workflow["jobs"]["foreign-models"]["strategy"]["matrix"]
    assert matrix == {"model": list_names()}
