"""A dashboard as one HTML page: everything is in it, and it runs no script."""

import re
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from html import escape
from os.path import commonprefix
from pathlib import Path

from infra.dashboard.chart import Chart, Line, draw, tell_number
from infra.dashboard.panels import Panel, Tile

STYLE = Path(__file__).with_name("page.css")
COLUMN_WIDTH = 50  # of the grid, in the units of a chart; the page scales them
ROW_HEIGHT = 34  # likewise
FRAME_HEIGHT = 24  # of a panel, without its chart
SHORTEST = timedelta(minutes=15)

STATES = {
    "OK": ("ok", "\u2713", "OK"),
    "ALARM": ("alarm", "!", "In alarm"),
    "INSUFFICIENT_DATA": ("unknown", "?", "Insufficient data"),
    "NOT_FOUND": ("unknown", "?", "Not there"),
}
UNITS = ((86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))
MARKUP = (
    (re.compile(r"\*\*(.+?)\*\*"), r"<b>\1</b>"),
    (re.compile(r"`(.+?)`"), r"<code>\1</code>"),
    (re.compile(r"\[([^\]]+)\]\((https?://[^\s)]+)\)"), r'<a href="\2">\1</a>'),
)


def render(name: str, source: str, panels: Sequence[Panel], begin: datetime, end: datetime) -> str:
    """Write the page of the dashboard `name`; `source` tells where its numbers are from."""
    begin = find_begin(panels, begin, end)
    day = f"{begin:%d %b} " if begin.date() != end.date() else ""
    range_ = f"{day}{begin:%H:%M} \u2013 {end:%H:%M} UTC, {end:%d %b %Y}"
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(name)}</title>",
            f"<style>{STYLE.read_text('utf-8')}</style></head><body>",
            f"<header><h1>{escape(name)}</h1><p>{range_}</p><p>{escape(source)}</p></header>",
            "<main>",
            *(_write_panel(panel, begin, end) for panel in panels),
            "</main></body></html>\n",
        ]
    )


def find_begin(panels: Sequence[Panel], begin: datetime, end: datetime) -> datetime:
    """Return where the charts begin: at `begin`, or where the data does if that is later."""
    lines = [line for panel in panels if panel.chart for line in panel.chart.lines]
    times = [min(line.points) for line in lines if line.points]
    period = timedelta(seconds=max((line.period for line in lines), default=0))
    return max(begin, min(min(times, default=begin) - period, end - SHORTEST))


def _write_panel(panel: Panel, begin: datetime, end: datetime) -> str:
    widget = panel.widget
    column = "" if widget.column is None else f"{widget.column + 1} / "
    row = "" if widget.row is None else f"{widget.row + 1} / "
    place = f"--column:{column}span {widget.width};--row:{row}span {widget.height}"
    if panel.chart is None:
        content = [_write_tiles(panel.tiles)] if panel.tiles else list(_write_text(panel.markdown))
        detail = ""
    elif widget.properties.get("view") == "singleValue":
        content, detail = [_write_values(panel.chart)], ""
    else:
        height = max(3, widget.height) * ROW_HEIGHT - FRAME_HEIGHT
        svg = draw(panel.chart, begin, end, widget.width * COLUMN_WIDTH, height)
        content, detail = [svg, _write_legend(panel.chart)], _tell_period(panel.chart)
    heading = f"<h2>{escape(widget.title)}{detail}</h2>" if widget.title else ""
    return f'<section style="{place}">{heading}{"".join(content)}</section>'


def _tell_period(chart: Chart) -> str:
    """Say of how much time each value is."""
    told = []
    for period in sorted({line.period for line in chart.lines}):
        seconds, unit = next(one for one in UNITS if period % one[0] == 0)
        told.append(unit if period == seconds else f"{period // seconds} {unit}s")
    return f" <small>per {' and '.join(told)}</small>" if told else ""


def _write_legend(chart: Chart) -> str:
    """Write a table of the lines that have data, and name those that have none."""
    with_sums = any(line.is_sum and line.points for line in chart.lines)
    heads = ["last", "highest", *(["total"] if with_sums else [])]
    rows, empty = [], []
    for line in chart.lines:
        if not line.points:
            empty.append(line.label)
            continue
        values = [line.points[max(line.points)], max(line.points.values())]
        told = [tell_number(value) for value in values]
        if with_sums:
            told.append(tell_number(sum(line.points.values())) if line.is_sum else "")
        side = " <small>(right)</small>" if line.on_right else ""
        cells = "".join(f"<td>{value}</td>" for value in told)
        rows.append(f"<tr><th>{_swatch(line)}{escape(line.label)}{side}</th>{cells}</tr>")
    head = "".join(f"<th>{head}</th>" for head in heads)
    table = f"<table><tr><th></th>{head}</tr>{''.join(rows)}</table>" if rows else ""
    return table + (f"<p>no data: {escape(', '.join(empty))}</p>" if empty else "")


def _swatch(line: Line) -> str:
    path = f'<path class="line {line.style}" d="M0 4H18"/>'
    return f'<svg class="swatch" viewBox="0 0 18 8" aria-hidden="true">{path}</svg>'


def _write_values(chart: Chart) -> str:
    def tell(line: Line) -> str:
        value = tell_number(line.points[max(line.points)]) if line.points else "\u2013"
        return f"<div><b>{value}</b>{escape(line.label)}</div>"

    return f'<div class="values">{"".join(tell(line) for line in chart.lines)}</div>'


def _write_tiles(tiles: Sequence[Tile]) -> str:
    """Write the alarms' states in words and colours, their names without what is common to all."""
    common = commonprefix([tile.name for tile in tiles]).rpartition("-")[0] + "-"  # noqa: RUF071 no paths

    def write(tile: Tile) -> str:
        kind, sign, word = STATES.get(tile.state, STATES["NOT_FOUND"])
        told = escape("\n".join(text for text in (tile.description, tile.reason) if text))
        return (
            f'<div class="tile {kind}" title="{told}"><span>{sign}</span>'
            f"<div><b>{word}</b>{escape(tile.name.removeprefix(common))}</div></div>"
        )

    return f'<div class="tiles">{"".join(write(tile) for tile in tiles)}</div>'


def _write_text(markdown: str) -> Iterator[str]:
    """Write the Markdown of a text widget: headings, bold, code, links and paragraphs."""
    for block in re.split(r"\n\s*\n", escape(markdown).strip()):
        text = block
        for pattern, html in MARKUP:
            text = pattern.sub(html, text)
        heading = re.fullmatch(r"#{1,6} +(.+)", text)
        yield f"<h3>{heading[1]}</h3>" if heading else f"<p>{text}</p>"
