"""A rehearsal as one self-contained HTML page without scripts."""

from collections.abc import Sequence
from pathlib import Path

from infra.pages.dashboard.page import STYLE
from infra.pages.html import Html, element, write_page
from infra.rehearsal.report import (
    describe_event,
    describe_finding,
    describe_result,
    describe_verdict,
    name_version,
)
from infra.rehearsal.result import Colour, RehearsalResult, Tally
from infra.rehearsal.timeline import draw

IN_TILE = {"Verdict", "Reason", "Next"}  # at the head of the page
KINDS = {Colour.GREEN: "ok", Colour.AMBER: "warning", Colour.RED: "alarm"}  # classes of the styles
OWN_STYLE = Path(__file__).with_name("page.css")
EVENT_HEADS = ("", "Seconds", "Minutes of the release", "What", "")


def render(model: str, rehearsal: RehearsalResult, tally: Tally) -> str:
    """Return the page; `model` is the name of the candidate's file."""
    command = [element("br"), "Next: ", element("code", rehearsal.next)] if rehearsal.next else ""
    title = f"Release rehearsal: {model}"
    verdict, kind = element("b", describe_verdict(rehearsal)), KINDS[rehearsal.verdict]
    sign = "\u2713" if rehearsal.verdict is Colour.GREEN else "!"
    reason = rehearsal.reason or "It passed the gate, and no alarm went off."
    shown = IN_TILE | {finding.about.capitalize() for finding in rehearsal.findings}
    lines = [line for line in describe_result(rehearsal, tally) if line[0] not in shown]
    return write_page(
        title,
        STYLE.read_text("utf-8") + OWN_STYLE.read_text("utf-8"),
        element(
            "header",
            element("h1", title),
            element("p", f"A minute of the release took {rehearsal.minute:g} s here."),
        ),
        element(
            "main",
            element(
                "section",
                element("span", sign, aria_hidden="true"),
                element("h2", verdict, reason, command),
                class_=f"tile {kind}",
            ),
            _write_findings(rehearsal) if rehearsal.findings else "",
            _write_chart(rehearsal, tally) if rehearsal.answers else "",
            _write_lines(lines) if lines else "",
            _write_events(rehearsal),
        ),
    )


def _write_findings(rehearsal: RehearsalResult) -> Html:
    rows = [
        element(
            "tr",
            element("th", finding.about.capitalize(), scope="row"),
            element("td", describe_finding(finding)),
            class_=KINDS[finding.colour],
        )
        for finding in rehearsal.findings
    ]
    heading = element("h2", f"Compared with {name_version(rehearsal, rehearsal.old)}")
    return element("section", heading, element("table", rows), class_="findings")


def _write_chart(rehearsal: RehearsalResult, tally: Tally) -> Html:
    summary = "; ".join(f"{label}: {text}" for label, text in describe_result(rehearsal, tally))
    swatches = [
        (element("path", class_="line c0 d0", d="M0 4H18"), name_version(rehearsal, rehearsal.old)),
        (element("path", class_="line c1 d1", d="M0 4H18"), name_version(rehearsal, rehearsal.new)),
        (element("rect", class_="failed", width=18, height=8), "failed"),
        (element("path", class_="mark", d="M9 0V8"), "an event of the table below"),
    ]
    legend = [
        element(
            "li",
            element("svg", shape, class_="swatch", viewBox="0 0 18 8", aria_hidden="true"),
            text,
        )
        for shape, text in swatches
    ]
    heading = element("h2", "Requests a second")
    return element("section", heading, draw(rehearsal, summary), element("ul", legend))


def _write_lines(lines: Sequence[tuple[str, str]]) -> Html:
    rows = [
        element("tr", element("th", label, scope="row"), element("td", text))
        for label, text in lines
    ]
    return element("section", element("h2", "What customers saw"), element("table", rows))


def _write_events(rehearsal: RehearsalResult) -> Html:
    rows = []
    for number, event in enumerate(rehearsal.events, 1):
        texts = describe_event(event, rehearsal.started, rehearsal.minute)
        cells = [element("td", text) for text in texts]
        rows.append(element("tr", element("th", str(number), scope="row"), cells))
    head = [element("th", text, scope="col") if text else element("td") for text in EVENT_HEADS]
    table = element("table", element("tr", head), rows, class_="events")
    return element("section", element("h2", "What happened"), table)
