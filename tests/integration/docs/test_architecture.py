"""The map of the architecture page is the folders that there are."""

import re

from tests.pages import ROOT, read_page, read_table

PAGE = "docs/architecture.md"
TREES = ("functions", "infra", "layers", "tests")
MADE = {"build/", ".aws-sam/", ".venv/", ".uv/"}  # by make, in a checkout that has built
# The map says of these what is inside them.
MIRRORS = ("tests/unit/", "tests/integration/", "tests/e2e/", "tests/benchmarks/", "tests/models/")


def read_map() -> set[str]:
    """Return the files and folders, with a slash at their end, in the tables of the map."""
    sections = read_page(PAGE).partition("\n## The map\n")[2].split("\n### ")[1:]
    places = [row[0] for section in sections for row in read_table(section, "where")]
    return {path for place in places for path in re.findall(r"`([^`]+)`", place)}


def read_places() -> set[str]:
    """Return the files and folders in which something is to be added."""
    rows = read_table(read_page(PAGE), "what")
    named = {path for row in rows for path in re.findall(r"`([^`]+)`", " ".join(row[1:]))}
    return {path for path in named if "/" in path and "<" not in path}


def exists(path: str) -> bool:
    return any(ROOT.glob(path.rstrip("/")))


def list_folders(tree: str) -> set[str]:
    """Return the folders of a tree that hold files, with a slash at their end; no caches."""
    files = (path for path in (ROOT / tree).rglob("*") if path.is_file())
    return {
        f"{path.parent.relative_to(ROOT)}/" for path in files if "__pycache__" not in path.parts
    }


def test_every_folder_is_on_the_map() -> None:
    folders = set[str]().union(*map(list_folders, TREES))
    mapped = read_map()

    assert [one for one in folders - mapped if not one.startswith(MIRRORS)] == []


def test_every_module_outside_a_folder_is_on_the_map() -> None:
    modules = {
        f"{tree}/{path.name}"
        for tree in ("functions", "infra")
        for path in (ROOT / tree).glob("*.py")
    }

    assert modules - read_map() == {"infra/__init__.py"}


def test_everything_on_the_map_exists() -> None:
    assert [path for path in read_map() - MADE if not exists(path)] == []


def test_everywhere_to_add_something_exists() -> None:
    assert len(read_places()) > 30
    assert [path for path in read_places() if not exists(path)] == []
