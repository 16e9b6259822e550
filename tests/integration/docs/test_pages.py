"""The pages hang together: every link leads somewhere, and what the code has is described."""

import json
import re

import pytest

from api.routes import ROUTES
from telemetry import LANES, METRICS
from tests.pages import PAGES, ROOT, find_blocks, read_page, read_table
from tests.sam_template import find, parse

TEMPLATE = parse()
STACKS = [
    TEMPLATE,
    *(parse(path.read_text("utf-8")) for path in (ROOT / "infra/stacks").glob("*.yaml")),
]
ALARMS = sorted(
    name
    for stack in STACKS
    for kind in ("AWS::CloudWatch::Alarm", "AWS::CloudWatch::CompositeAlarm")
    for name in find(stack, kind)
)
LINKS = sorted(
    {
        (page, target)
        for page in PAGES
        for target in re.findall(r"\]\(([^)\s]+)\)", read_page(page))
        if not target.startswith("http")
    }
)


def find_anchors(text: str) -> set[str]:
    """Return the anchors that GitHub gives to the headings of a page."""
    prose = re.sub(r"^ *```.*?^ *```$", "", text, flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ (.+)$", prose, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_links_are_found() -> None:
    assert len(LINKS) > 50


@pytest.mark.parametrize(("page", "target"), LINKS)
def test_every_link_leads_to_a_file_and_its_heading(page: str, target: str) -> None:
    path, _, anchor = target.partition("#")
    linked = (ROOT / page).parent / path if path else ROOT / page

    assert linked.exists()
    if anchor:
        assert anchor in find_anchors(linked.read_text("utf-8"))


@pytest.mark.parametrize("page", [page for page in PAGES if page.startswith("docs/")])
def test_every_page_is_linked_from_the_readme(page: str) -> None:
    assert ("README.md", page) in LINKS


def test_the_readme_is_a_shop_window() -> None:
    assert len(read_page("README.md").splitlines()) <= 200


@pytest.mark.parametrize("page", PAGES)
def test_every_json_that_is_shown_is_json(page: str) -> None:
    for block in find_blocks(read_page(page), "json"):
        json.loads(block)


@pytest.mark.parametrize("parameter", TEMPLATE["Parameters"])
def test_every_parameter_of_the_template_is_explained(parameter: str) -> None:
    named = [cells[0] for cells in read_table(read_page("docs/releasing.md"), "parameter")]

    assert any(f"`{parameter}`" in cell for cell in named)


def test_every_route_is_listed() -> None:
    listed = read_page("docs/api.md")

    for route in ROUTES:
        unversioned = route.path.replace("/versions/{version}", "").rstrip("/")
        with_version = unversioned.replace("{name}", "{name}[/versions/{version}]")
        assert f"{unversioned}`" in listed or f"{with_version}`" in listed, route


def test_every_metric_is_described() -> None:
    described = read_table(read_page("docs/watching.md"), "metric")

    assert [name for name, _ in described] == [f"`{name}`" for name in METRICS]


def test_every_lane_is_listed() -> None:
    lanes = [name for name, _ in read_table(read_page("docs/watching.md"), "lane")]

    assert lanes == [f"`{lane}`" for lane in LANES]


@pytest.mark.parametrize("alarm", ALARMS)
def test_every_alarm_is_described(alarm: str) -> None:
    assert any(f"`{alarm}`" in read_page(page) for page in PAGES if page.startswith("docs/"))


@pytest.mark.parametrize("page", PAGES)
def test_every_output_that_is_named_exists(page: str) -> None:
    outputs = {name for stack in STACKS for name in stack.get("Outputs", {})}

    assert set(re.findall(r"\boutputs? `([A-Z]\w+)`", read_page(page))) <= outputs
