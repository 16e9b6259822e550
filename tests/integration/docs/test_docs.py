"""README.md against what it describes."""

import re
from pathlib import Path

import pytest
from samcli.yamlhelper import yaml_parse

from api.routes import ROUTES
from infra.prices import price_standing_month
from tests.sam_template import parse_monitoring

ROOT = Path(__file__).parents[3]
README = (ROOT / "README.md").read_text()
TEMPLATE = yaml_parse((ROOT / "template.yaml").read_text())


@pytest.mark.parametrize("parameter", TEMPLATE["Parameters"])
def test_every_parameter_of_the_template_is_explained(parameter: str) -> None:
    assert re.search(rf"^\|.*`{parameter}`.*\|", README, re.MULTILINE)


def test_every_route_is_listed() -> None:
    for path in (route.path for route in ROUTES):
        unversioned = path.replace("/versions/{version}", "").rstrip("/")
        with_version = unversioned.replace("{name}", "{name}[/versions/{version}]")
        assert f"{unversioned}`" in README or f"{with_version}`" in README, path


@pytest.mark.parametrize("path", re.findall(r"\]\(([^)#:]+)\)", README))
def test_every_linked_file_exists(path: str) -> None:
    assert (ROOT / path).exists()


def test_every_make_target_in_the_readme_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))

    assert set(re.findall(r"make ([a-z-]+)\b(?= |`|$)", README, re.MULTILINE)) <= targets


def test_what_stands_costs_what_the_readme_says() -> None:
    costs = price_standing_month([TEMPLATE, parse_monitoring()])
    [told] = re.findall(r"(\d+) USD a month are due", README)
    assert int(told) == round(sum(costs.values()) - costs["traces, up to"])
