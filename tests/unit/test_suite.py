"""Rules that the tests themselves keep."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

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
