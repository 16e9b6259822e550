"""Time series as SVG: scales, ticks, lines; pure functions of numbers."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from infra.pages.html import Html, element

# Steps of time axes in seconds: 1, 2, 5, 10, 15 and 30 minutes, 1, 2, 3, 6 and 12 hours, days.
TIME_STEPS = (60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400)
STEPS = (1, 2, 2.5, 5, 10)

MARGIN_LEFT, MARGIN_RIGHT, MARGIN_TOP, MARGIN_BOTTOM = 44, 14, 18, 24
TICK_WIDTH, TICK_HEIGHT = 54, 40  # the least space for the label of a tick
THREE_DIGITS = 100
COLORS, DASHES = 6, 4  # that page.css defines; then they repeat

# A threshold so many times above all data would flatten the lines: it is written, not drawn.
FAR = 4


@dataclass(frozen=True)
class Line:
    """A named series with a value for some of its periods, each of `period` seconds."""

    label: str
    points: Mapping[datetime, float]
    period: int
    is_sum: bool = False  # whether its values can be added up
    on_right: bool = False
    color: int = 0
    dash: int = 0  # 0: none

    @property
    def style(self) -> str:
        """The CSS classes for how the line looks."""
        return f"c{self.color % COLORS} d{self.dash % DASHES}"


@dataclass(frozen=True)
class Threshold:
    """A named horizontal line."""

    label: str
    value: float
    on_right: bool = False


@dataclass(frozen=True)
class Axis:
    """The label and limits that a dashboard sets for an axis of values."""

    label: str = ""
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Chart:
    """Lines over one time axis and one or two axes of values."""

    title: str
    lines: Sequence[Line]
    thresholds: Sequence[Threshold] = ()
    left: Axis = Axis()
    right: Axis = Axis()


@dataclass(frozen=True)
class Scale:
    """Maps values from `low` to `high` to pixels from `start` to `end`."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Return the pixel of a value; one out of range is moved to the edge."""
        share = min(1.0, max(0.0, (value - self.low) / (self.high - self.low)))
        return self.start + share * (self.end - self.start)


def find_ticks(low: float, high: float, count: int, *, whole: bool = False) -> list[float]:
    """Return about `count` round numbers, evenly spaced, that enclose `low` and `high`.

    If `whole`, they are at least 1 apart.
    """
    span = high - low or abs(high) or 1.0
    magnitude = 10.0 ** math.floor(math.log10(span / count))
    step = next(step * magnitude for step in STEPS if step * magnitude * count >= span * 0.999)
    step = max(1.0, math.ceil(step)) if whole else step
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [i * step for i in range(first, max(last, first + 1) + 1)]


def find_time_ticks(begin: datetime, end: datetime, count: int) -> list[datetime]:
    """Return round times from `begin` to `end`, at most `count` evenly spaced steps."""
    low, high = begin.timestamp(), end.timestamp()
    step = next((step for step in TIME_STEPS if (high - low) / step <= count), TIME_STEPS[-1])
    first, last = math.ceil(low / step), math.floor(high / step)
    return [datetime.fromtimestamp(i * step, UTC) for i in range(first, last + 1)]


def format_number(value: float) -> str:
    """Return a number for a person to read: 0.0042, 3.14, 1,234, 56,789, 1.23M."""
    size = abs(value)
    for divisor, unit in ((1e9, "G"), (1e6, "M")):
        if size >= divisor:
            return f"{value / divisor:.3g}{unit}"
    return f"{value:,.0f}" if value == int(value) or size >= THREE_DIGITS else f"{value:.3g}"


def draw(chart: Chart, begin: datetime, end: datetime, width: int, height: int) -> Html:
    """Draw a chart of the time from `begin` to `end`; the page has the styles."""
    has_right = any(line.points for line in chart.lines if line.on_right)
    right = width - (MARGIN_LEFT if has_right else MARGIN_RIGHT)
    x = Scale(begin.timestamp(), end.timestamp(), MARGIN_LEFT, right)
    bottom = height - MARGIN_BOTTOM
    parts: list[Html] = []
    for time in find_time_ticks(begin, end, int((x.end - x.start) / TICK_WIDTH)):
        at = f"{x(time.timestamp()):.1f}"
        text = f"{time:%H:%M}" if time.hour or time.minute else f"{time:%d %b}"
        parts += [
            element("path", class_="grid", d=f"M{at} {MARGIN_TOP}V{bottom}"),
            element("text", text, class_="time", x=at, y=height - 8),
        ]
    if any(line.points for line in chart.lines):
        parts += _draw_side(chart, x, bottom, on_right=False)
        parts += _draw_side(chart, x, bottom, on_right=True) if has_right else []
        parts += _draw_tips(chart.lines, x, bottom)
    else:
        middle, half = f"{(x.start + x.end) / 2:.1f}", f"{(MARGIN_TOP + bottom) / 2:.1f}"
        parts.append(element("text", "no data", class_="none", x=middle, y=half))
    return element(
        "svg", parts, viewBox=f"0 0 {width} {height}", role="img", aria_label=chart.title
    )


def _draw_side(chart: Chart, x: Scale, bottom: int, *, on_right: bool) -> Iterator[Html]:
    """Draw the axis of values on one side, its thresholds and its lines."""
    axis = chart.right if on_right else chart.left
    lines = [line for line in chart.lines if line.on_right is on_right]
    values = [value for line in lines for value in line.points.values()]
    thresholds = [one for one in chart.thresholds if one.on_right is on_right]
    near = [one for one in thresholds if one.value <= FAR * max(values, default=0)]
    low = min([0.0, *values]) if axis.low is None else axis.low
    high = max([low, *values, *(one.value for one in near)]) if axis.high is None else axis.high
    count = max(2, (bottom - MARGIN_TOP) // TICK_HEIGHT)
    ticks = find_ticks(low, high, count, whole=all(value.is_integer() for value in values))
    y = Scale(
        ticks[0] if axis.low is None else low,
        ticks[-1] if axis.high is None else high,
        bottom,
        MARGIN_TOP,
    )
    edge, kind = (x.end + 6, "right") if on_right else (x.start - 6, "left")
    for tick in [tick for tick in ticks if y.low <= tick <= y.high]:
        at = f"{y(tick):.1f}"
        if not on_right:
            yield element("path", class_="grid", d=f"M{x.start} {at}H{x.end}")
        yield element("text", format_number(tick), class_=kind, x=edge, y=at)
    if axis.label:
        yield element("text", axis.label, class_=kind, x=edge, y=6)
    for line in lines:
        yield from _draw_line(line, x, y, filled=len(chart.lines) == 1)
    for one in near:
        at = f"{y(one.value):.1f}"
        yield element("path", class_="threshold", d=f"M{x.start} {at}H{x.end}")
        yield element("text", _name(one), class_="threshold", x=x.end, y=at, dy=-4)
    if far := ", ".join(_name(one) for one in thresholds if one not in near):
        yield element("text", f"{far} \u2191", class_="threshold", x=x.end, y=6)


def _name(threshold: Threshold) -> str:
    return f"{threshold.label} {format_number(threshold.value)}"


def _draw_line(line: Line, x: Scale, y: Scale, *, filled: bool) -> Iterator[Html]:
    """Draw a line with gaps where periods have no data; a value alone becomes a point."""
    for run in split_runs(line):
        places = [(x(time.timestamp()), y(value)) for time, value in run]
        path = "L".join(f"{left:.1f} {top:.1f}" for left, top in places)
        if len(places) == 1:
            left, top = places[0]
            yield element("circle", class_=line.style, cx=f"{left:.1f}", cy=f"{top:.1f}", r=2.5)
            continue
        if filled:
            closed = f"M{places[0][0]:.1f} {y.start}L{path}V{y.start}Z"
            yield element("path", class_=f"area {line.style}", d=closed)
        yield element("path", class_=f"line {line.style}", d=f"M{path}")


def split_runs(line: Line) -> list[list[tuple[datetime, float]]]:
    """Split a line into runs of periods with data."""
    runs: list[list[tuple[datetime, float]]] = []
    for time, value in sorted(line.points.items()):
        if runs and (time - runs[-1][-1][0]).total_seconds() <= line.period:
            runs[-1].append((time, value))
        else:
            runs.append([(time, value)])
    return runs


def _draw_tips(lines: Sequence[Line], x: Scale, bottom: int) -> Iterator[Html]:
    """Lay a transparent band over each time, whose tooltip has all values."""
    period = max(line.period for line in lines)
    width = max(1.0, x(x.low + period) - x.start)
    for time in sorted({time for line in lines for time in line.points}):
        texts = [f"{time:%d %b %H:%M} UTC"]
        texts += [
            f"{line.label}: {format_number(line.points[time])}"
            for line in lines
            if time in line.points
        ]
        left = x(time.timestamp()) - width / 2
        yield draw_tip(texts, left, width, (MARGIN_TOP, bottom))


def draw_tip(texts: Sequence[str], left: float, width: float, ends: tuple[float, float]) -> Html:
    """Return a transparent band over a chart, from top to bottom, with lines as its tooltip."""
    top, bottom = ends
    return element(
        "rect",
        element("title", "\n".join(texts)),
        class_="tip",
        x=f"{left:.1f}",
        y=top,
        width=f"{width:.1f}",
        height=bottom - top,
    )
