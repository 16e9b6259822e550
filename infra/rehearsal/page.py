"""A rehearsal as one HTML page: everything is in it, and it runs no script."""

from collections.abc import Sequence
from html import escape
from pathlib import Path

from infra.dashboard.page import STYLE
from infra.rehearsal.outcome import Colour, Rehearsal, Tally
from infra.rehearsal.report import (
    name_version,
    tell_event,
    tell_finding,
    tell_lines,
    tell_verdict,
)
from infra.rehearsal.timeline import draw

IN_TILE = {"Verdict", "Reason", "Next"}  # at the head of the page
KINDS = {Colour.GREEN: "ok", Colour.AMBER: "warning", Colour.RED: "alarm"}  # classes of the styles
OWN_STYLE = Path(__file__).with_name("page.css")
EVENT_HEADS = ("", "Seconds", "Minutes of the clock", "What", "")


def render(model: str, rehearsal: Rehearsal, tally: Tally) -> str:
    """Write the page; `model` is the candidate's name."""
    command = f"<br>Next: <code>{escape(rehearsal.next)}</code>" if rehearsal.next else ""
    title = f"Release rehearsal: {escape(model)}"
    verdict, kind = escape(tell_verdict(rehearsal)), KINDS[rehearsal.verdict]
    sign = "\u2713" if rehearsal.verdict is Colour.GREEN else "!"
    reason = escape(rehearsal.reason or "It passed the gate, and no alarm went off.")
    shown = IN_TILE | {finding.about.capitalize() for finding in rehearsal.findings}
    lines = [line for line in tell_lines(rehearsal, tally) if line[0] not in shown]
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{title}</title>",
            f"<style>{STYLE.read_text('utf-8')}{OWN_STYLE.read_text('utf-8')}</style></head><body>",
            f"<header><h1>{title}</h1>",
            f"<p>A minute of the clock took {rehearsal.minute:g} s here.</p></header>",
            f'<main><section class="tile {kind}"><span aria-hidden="true">{sign}</span>',
            f"<h2><b>{verdict}</b>{reason}{command}</h2></section>",
            *([_write_findings(rehearsal)] if rehearsal.findings else []),
            *([_write_chart(rehearsal, tally)] if rehearsal.answers else []),
            *([_write_lines(lines)] if lines else []),
            _write_events(rehearsal),
            "</main></body></html>\n",
        ]
    )


def _write_findings(rehearsal: Rehearsal) -> str:
    items = "".join(
        f'<tr class="{KINDS[finding.colour]}"><th scope="row">{escape(finding.about.capitalize())}'
        f"</th><td>{escape(tell_finding(finding))}</td></tr>"
        for finding in rehearsal.findings
    )
    heading = f"<h2>Compared with {escape(name_version(rehearsal, rehearsal.old))}</h2>"
    return f'<section class="findings">{heading}<table>{items}</table></section>'


def _write_chart(rehearsal: Rehearsal, tally: Tally) -> str:
    summary = "; ".join(f"{label}: {text}" for label, text in tell_lines(rehearsal, tally))
    swatches = [
        ('<path class="line c0 d0" d="M0 4H18"/>', name_version(rehearsal, rehearsal.old)),
        ('<path class="line c1 d1" d="M0 4H18"/>', name_version(rehearsal, rehearsal.new)),
        ('<rect class="failed" width="18" height="8"/>', "failed"),
        ('<path class="mark" d="M9 0V8"/>', "an event of the table below"),
    ]
    legend = "".join(
        f'<li><svg class="swatch" viewBox="0 0 18 8" aria-hidden="true">{shape}</svg>{text}</li>'
        for shape, text in swatches
    )
    heading = "<h2>Requests a second</h2>"
    return f"<section>{heading}{draw(rehearsal, summary)}<ul>{legend}</ul></section>"


def _write_lines(lines: Sequence[tuple[str, str]]) -> str:
    rows = "".join(
        f'<tr><th scope="row">{escape(label)}</th><td>{escape(text)}</td></tr>'
        for label, text in lines
    )
    return f"<section><h2>What customers saw</h2><table>{rows}</table></section>"


def _write_events(rehearsal: Rehearsal) -> str:
    rows = []
    for number, event in enumerate(rehearsal.events, 1):
        told = tell_event(event, rehearsal.begun, rehearsal.minute)
        cells = "".join(f"<td>{escape(text)}</td>" for text in told)
        rows.append(f'<tr><th scope="row">{number}</th>{cells}</tr>')
    head = "".join(f'<th scope="col">{text}</th>' if text else "<td></td>" for text in EVENT_HEADS)
    table = f'<table class="events"><tr>{head}</tr>{"".join(rows)}</table>'
    return f"<section><h2>What happened</h2>{table}</section>"
