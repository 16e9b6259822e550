"""The pages that commands write, with hostile names wherever a name can be."""

import re
import shutil
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path

import pytest

from infra.local.control.code_deploy import ReleaseEvent
from infra.pages.chart import Axis, Chart, Line, Threshold
from infra.pages.dashboard import page as dashboard
from infra.pages.dashboard.body import Widget
from infra.pages.dashboard.panels import Panel, Tile
from infra.pages.html import Html, element, write_page
from infra.rehearsal import page as rehearsal
from infra.rehearsal.load import Answer
from infra.rehearsal.result import Caught, Colour, RehearsalFinding, RehearsalResult, tally
from infra.simulation import page as simulation
from infra.simulation.curve import draw_curve
from infra.simulation.result import summarize
from infra.simulation.service import ServiceProfile
from tests.terminals import ESCAPE

NAME = f"</title></style><script>document.title='got in'</script><img src=x onerror=1>\"'{ESCAPE}"
BEGIN = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
CHROMIUM = shutil.which("chromium")
KNOWN = {
    *("html", "head", "meta", "title", "style", "body", "header", "main", "section"),
    *("h1", "h2", "h3", "p", "br", "b", "code", "small", "div", "span", "ul", "li"),
    *("table", "tr", "th", "td", "svg", "path", "rect", "circle", "text"),
}


class Page(HTMLParser):
    """What elements and attributes a page has."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: set[str] = set()
        self.attributes: set[str] = set()
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.add(tag)
        self.attributes.update(name for name, _ in attrs)


def draw_dashboard() -> str:
    def widget(kind: str, view: str = "timeSeries") -> Widget:
        return Widget(kind, NAME, 0, 0, 12, 6, {"view": view})

    points = {BEGIN + timedelta(minutes=i): float(i) for i in range(15)}
    lines = [Line(NAME, points, 60, is_sum=True), Line(NAME, points, 60, on_right=True)]
    lines += [Line(NAME, {}, 60), Line(NAME, {BEGIN: 1.0}, 60)]
    thresholds = [Threshold(NAME, 5), Threshold(NAME, 5000)]
    chart = Chart(NAME, lines, thresholds, Axis(NAME), Axis(NAME))
    panels = [
        Panel(widget("metric"), chart),
        Panel(widget("metric", "singleValue"), chart),
        Panel(widget("metric"), Chart(NAME, [Line(NAME, {}, 60)])),
        Panel(widget("alarm"), tiles=[Tile(NAME, NAME, NAME, NAME)]),
        Panel(widget("text"), markdown=f"# {NAME}\n\n**{NAME}** `{NAME}` [{NAME}](javascript:1)"),
    ]
    return dashboard.render(NAME, NAME, panels, BEGIN, BEGIN + timedelta(hours=1))


def draw_rehearsal() -> str:
    answers = [Answer(i / 10, 0.01, i, 200 + i % 2 * 300, "12"[i % 2]) for i in range(50)]
    events = [ReleaseEvent(1.0, kind, NAME, 0) for kind in ("load", NAME)]
    one = RehearsalResult(
        caught=Caught.CANARY,
        reason=NAME,
        old="1",
        new=NAME,
        events=events,
        sent=60,
        answers=answers,
        started=0,
        ended=6,
        minute=3,
        findings=[RehearsalFinding(NAME, colour, NAME, {}) for colour in Colour],
        notes=[NAME],
        next=NAME,
    )
    return rehearsal.render(NAME, one, tally(one))


def draw_simulation() -> str:
    curve = draw_curve(NAME, [(BEGIN, 1.0), (BEGIN + timedelta(minutes=2), 5.0)])
    service = ServiceProfile(5, 500)
    courses = {NAME: summarize(curve.rates, service)}
    return simulation.make_page(curve, service, courses, [NAME, f"**{NAME}**"], times=NAME)


DRAW = [draw_dashboard, draw_rehearsal, draw_simulation]


@pytest.mark.parametrize("draw", DRAW)
def test_no_name_is_markup(draw: Callable[[], str]) -> None:
    page = Page(draw())
    assert page.elements <= KNOWN
    assert "style" not in page.attributes
    assert not [name for name in page.attributes if name.startswith("on")]


@pytest.mark.skipif(not CHROMIUM, reason="there is no chromium on this machine")
@pytest.mark.parametrize("draw", DRAW)
def test_a_browser_shows_the_page_and_finds_nothing_against_its_policy(
    draw: Callable[[], str], tmp_path: Path
) -> None:
    shown, log = browse(draw(), tmp_path)
    assert "got in" not in re.findall(r"<title>(.*?)</title>", shown)
    assert "<section" in shown
    assert "Content Security Policy" not in log


@pytest.mark.skipif(not CHROMIUM, reason="there is no chromium on this machine")
def test_a_browser_refuses_whatever_else_comes_into_a_page(tmp_path: Path) -> None:
    # GIVEN a page into which markup came in spite of all
    script = Html("<script>document.body.append('got in')</script><p style='color:red'>x</p>")
    # WHEN a browser shows it THEN the script does not run, and the browser says why
    shown, log = browse(write_page("title", "p{color:green}", element("main", script)), tmp_path)
    assert shown.count("got in") == 1  # the script's own text
    assert log.count("Content Security Policy") == 2


def browse(page: str, folder: Path) -> tuple[str, str]:
    """Return the document as a browser understood it, and what it logged."""
    assert CHROMIUM
    file = folder / "page.html"
    file.write_text(page, "utf-8")
    flags = [
        *("headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run"),
        *("disable-background-networking", "disable-component-update", "disable-sync"),
        *("dump-dom", "enable-logging=stderr", f"user-data-dir={folder / 'profile'}"),
    ]
    browser = subprocess.run(
        [CHROMIUM, *(f"--{flag}" for flag in flags), file.as_uri()],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return browser.stdout, browser.stderr
