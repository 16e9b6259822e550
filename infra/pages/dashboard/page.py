"""A dashboard as one HTML page: everything is in it, and it runs no script."""

import re
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from html import escape
from os.path import commonprefix
from pathlib import Path

from infra.pages.chart import Chart, Line, draw, format_number
from infra.pages.dashboard.body import Widget
from infra.pages.dashboard.panels import Panel, Tile
from infra.pages.html import Content, Html, element, write_page

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
    """Write the page of the dashboard `name`; `source` says where its numbers are from."""
    begin = find_begin(panels, begin, end)
    day = f"{begin:%d %b} " if begin.date() != end.date() else ""
    range_ = f"{day}{begin:%H:%M} \u2013 {end:%H:%M} UTC, {end:%d %b %Y}"
    places = (_place(number, panel.widget) for number, panel in enumerate(panels))
    return write_page(
        name,
        "".join([STYLE.read_text("utf-8"), *places]),
        element("header", element("h1", name), element("p", range_), element("p", source)),
        element(
            "main",
            (_write_panel(number, panel, begin, end) for number, panel in enumerate(panels)),
        ),
    )


def find_begin(panels: Sequence[Panel], begin: datetime, end: datetime) -> datetime:
    """Return where the charts begin: at `begin`, or where the data does if that is later."""
    lines = [line for panel in panels if panel.chart for line in panel.chart.lines]
    times = [min(line.points) for line in lines if line.points]
    period = timedelta(seconds=max((line.period for line in lines), default=0))
    return max(begin, min(min(times, default=begin) - period, end - SHORTEST))


def _place(number: int, widget: Widget) -> str:
    """Return the rule that puts a panel into the grid."""
    column = "" if widget.column is None else f"{widget.column + 1:d} / "
    row = "" if widget.row is None else f"{widget.row + 1:d} / "
    spans = f"--column:{column}span {widget.width:d};--row:{row}span {widget.height:d}"
    return f"#panel{number}{{{spans}}}\n"


def _write_panel(number: int, panel: Panel, begin: datetime, end: datetime) -> Html:
    widget = panel.widget
    detail: Content = ""
    content: Content
    if panel.chart is None:
        content = _write_tiles(panel.tiles) if panel.tiles else _write_text(panel.markdown)
    elif widget.properties.get("view") == "singleValue":
        content = _write_values(panel.chart)
    else:
        height = max(3, widget.height) * ROW_HEIGHT - FRAME_HEIGHT
        svg = draw(panel.chart, begin, end, widget.width * COLUMN_WIDTH, height)
        content, detail = [svg, _write_legend(panel.chart)], _write_period(panel.chart)
    heading = element("h2", widget.title, detail) if widget.title else ""
    return element("section", heading, content, id=f"panel{number}")


def _write_period(chart: Chart) -> Content:
    """Write the period of which each value is."""
    periods = []
    for period in sorted({line.period for line in chart.lines}):
        seconds, unit = next(one for one in UNITS if period % one[0] == 0)
        periods.append(unit if period == seconds else f"{period // seconds} {unit}s")
    return [" ", element("small", f"per {' and '.join(periods)}")] if periods else ""


def _write_legend(chart: Chart) -> Content:
    """Write a table of the lines that have data, and name those that have none."""
    with_sums = any(line.is_sum and line.points for line in chart.lines)
    heads = ["", "last", "highest", *(["total"] if with_sums else [])]
    rows, empty = [], []
    for line in chart.lines:
        if not line.points:
            empty.append(line.label)
            continue
        values = [line.points[max(line.points)], max(line.points.values())]
        texts = [format_number(value) for value in values]
        if with_sums:
            texts.append(format_number(sum(line.points.values())) if line.is_sum else "")
        side = [" ", element("small", "(right)")] if line.on_right else ""
        head = element("th", _swatch(line), line.label, side)
        rows.append(element("tr", head, (element("td", text) for text in texts)))
    head = element("tr", (element("th", head) for head in heads))
    return [
        element("table", head, rows) if rows else "",
        element("p", f"no data: {', '.join(empty)}") if empty else "",
    ]


def _swatch(line: Line) -> Html:
    path = element("path", class_=f"line {line.style}", d="M0 4H18")
    return element("svg", path, class_="swatch", viewBox="0 0 18 8", aria_hidden="true")


def _write_values(chart: Chart) -> Html:
    def write(line: Line) -> Html:
        value = format_number(line.points[max(line.points)]) if line.points else "\u2013"
        return element("div", element("b", value), line.label)

    return element("div", map(write, chart.lines), class_="values")


def _write_tiles(tiles: Sequence[Tile]) -> Html:
    """Write the alarms' states in words and colours, their names without what is common to all."""
    common = commonprefix([tile.name for tile in tiles]).rpartition("-")[0] + "-"  # noqa: RUF071 no paths

    def write(tile: Tile) -> Html:
        kind, sign, word = STATES.get(tile.state, STATES["NOT_FOUND"])
        title = "\n".join(text for text in (tile.description, tile.reason) if text)
        name = element("div", element("b", word), tile.name.removeprefix(common))
        return element("div", element("span", sign), name, class_=f"tile {kind}", title=title)

    return element("div", map(write, tiles), class_="tiles")


def _write_text(markdown: str) -> Iterator[Html]:
    """Write the Markdown of a text widget: headings, bold, code, links and paragraphs."""
    for block in re.split(r"\n\s*\n", markdown.strip()):
        text = escape(block)
        for pattern, html in MARKUP:
            text = pattern.sub(html, text)
        heading = re.fullmatch(r"#{1,6} +(.+)", text)
        yield element("h3", Html(heading[1])) if heading else element("p", Html(text))
