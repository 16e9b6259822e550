"""What GitHub, Dependabot and pre-commit read names what is there."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.pages import ROOT, read_page

WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))


def read_yaml(path: str) -> Any:
    return yaml.safe_load((ROOT / path).read_text("utf-8"))


def test_the_changelog_begins_with_the_version_of_the_package() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    sections = re.findall(r"^## (.+)$", read_page("CHANGELOG.md"), re.MULTILINE)

    assert sections[0] == "Unreleased"
    assert re.fullmatch(rf"{re.escape(version)} - \d{{4}}-\d\d-\d\d", sections[1])


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_pinned_by_commit(workflow: Path) -> None:
    used = re.findall(r"uses: (\S+)", workflow.read_text("utf-8"))

    assert used
    assert all(re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", action) for action in used)


def test_ci_replaces_the_one_literal_that_names_the_processor() -> None:
    job = read_yaml(".github/workflows/ci.yml")["jobs"]["test"]
    commands = "\n".join(step.get("run", "") for step in job["steps"])
    [pattern] = re.findall(r'sed -i "s/(.*?)/.*" template\.yaml', commands)

    [literal] = re.findall(pattern, (ROOT / "template.yaml").read_text("utf-8"))
    assert literal.split()[-1] in {one["processor"] for one in job["strategy"]["matrix"]["include"]}


def test_dependabot_looks_where_packages_are_locked() -> None:
    updates = read_yaml(".github/dependabot.yml")["updates"]
    [pip] = [update for update in updates if update["package-ecosystem"] == "pip"]
    looked = {ROOT / directory.lstrip("/") for directory in pip["directories"]}
    makefile = (ROOT / "Makefile").read_text("utf-8")
    locked = set(re.findall(r" -o (\S+\.txt)$", makefile, re.MULTILINE))

    assert len(locked) > 5
    for path in locked - {"layers/model/training/requirements.txt"}:  # it rebuilds bit for bit
        assert (ROOT / path).parent in looked or "/" not in path.partition("/")[2]


def test_hooks_are_checks_of_make_test() -> None:
    [repository] = read_yaml(".pre-commit-config.yaml")["repos"]
    makefile = (ROOT / "Makefile").read_text("utf-8")

    for hook in repository["hooks"]:
        entry = hook["entry"].removeprefix("env ").removesuffix(" --force-exclude")
        assert ".venv/bin/" in entry
        assert f"\t{entry.replace('.venv/bin/', '')}" in makefile
