"""A rehearsal as SVG: requests by version, failures and events over time."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from infra.pages.chart import Scale, draw_tip, find_ticks, format_number
from infra.pages.html import Html, element
from infra.rehearsal.load import Answer
from infra.rehearsal.result import RehearsalResult

WIDTH, HEIGHT = 1160, 320
LEFT, RIGHT, BOTTOM = 44, 14, 40
MARK = 16  # width and height of the number of an event
BINS_PER_MINUTE = 4
TICKS, TICK_HEIGHT = 12, 40


@dataclass(frozen=True)
class Bin:
    """The requests that were sent in one interval of the load; seconds since its beginning."""

    begin: float
    width: float
    answered: Counter[str]  # by version
    failed: Counter[str]  # by version

    @property
    def middle(self) -> float:
        """The middle of the interval, in seconds since the beginning."""
        return self.begin + self.width / 2

    def rate(self, requests: int) -> float:
        """Return a number of requests as requests a second."""
        return requests / self.width


def sort_answers(
    answers: Sequence[Answer], started: float, ended: float, width: float
) -> list[Bin]:
    """Sort the answers into equal bins of about `width` seconds, by when they were sent."""
    number = max(1, round((ended - started) / width))
    width = (ended - started) / number
    bins = [Bin(i * width, width, Counter(), Counter()) for i in range(number)]
    for answer in answers:
        one = bins[min(max(0, int((answer.sent - started) / width)), number - 1)]
        one.answered[answer.version] += 1
        one.failed[answer.version] += answer.has_failed
    return bins


def place_marks(places: Sequence[float]) -> list[int]:
    """Return a row for each mark so that none covers another; `places` are sorted."""
    ends: list[float] = []
    rows = []
    for place in places:
        row = next((row for row, end in enumerate(ends) if end <= place), len(ends))
        ends[row:] = [place + MARK, *ends[row + 1 :]]
        rows.append(row)
    return rows


def draw(rehearsal: RehearsalResult, summary: str) -> Html:
    """Draw a rehearsal that had a load; `summary` is for readers who cannot see it."""
    started, length = rehearsal.started, rehearsal.ended - rehearsal.started
    bins = sort_answers(
        rehearsal.answers, started, rehearsal.ended, rehearsal.minute / BINS_PER_MINUTE
    )
    x = Scale(0, length, LEFT, WIDTH - RIGHT)
    marks = [x(event.time - started) for event in rehearsal.events]
    rows = place_marks(marks)
    top = MARK * (max(rows, default=0) + 1) + 14
    bottom = HEIGHT - BOTTOM
    highest = max(one.rate(one.answered.total()) for one in bins)
    ticks = find_ticks(0, highest, max(2, int(bottom - top) // TICK_HEIGHT))
    y = Scale(0, ticks[-1], bottom, top)
    parts: list[Html] = []
    for tick in ticks:
        at = f"{y(tick):.1f}"
        parts += [
            element("path", class_="grid", d=f"M{x.start} {at}H{x.end}"),
            element("text", format_number(tick), class_="left", x=x.start - 6, y=at),
        ]
    parts += _draw_times(length, rehearsal.minute, x, bottom)
    parts += _draw_failures(bins, x, y)
    for style, version in (("c0 d0", rehearsal.old), ("c1 d1", rehearsal.new)):
        places = [f"{x(b.middle):.1f} {y(b.rate(b.answered[version])):.1f}" for b in bins]
        parts.append(element("path", class_=f"line {style}", d=f"M{'L'.join(places)}"))
    for number, (mark, row) in enumerate(zip(marks, rows, strict=True), 1):
        middle = MARK / 2 + MARK * row
        parts += [
            element("path", class_="mark", d=f"M{mark:.1f} {middle + MARK / 2:.1f}V{bottom}"),
            element("text", str(number), class_="mark", x=f"{mark:.1f}", y=f"{middle:.1f}"),
        ]
    parts += _draw_tips(bins, (rehearsal.old, rehearsal.new), x, (top, bottom))
    return element("svg", parts, viewBox=f"0 0 {WIDTH} {HEIGHT}", role="img", aria_label=summary)


def _draw_times(length: float, minute: float, x: Scale, bottom: float) -> Iterator[Html]:
    """Label the time axis twice: in seconds here, and below that in minutes of the release."""
    for unit, name, dy in ((1.0, "s", 12), (minute, "min", 26)):
        for tick in find_ticks(0, length / unit, TICKS, whole=True):
            if tick * unit <= length:
                text, at = f"{format_number(tick)} {name}", f"{x(tick * unit):.1f}"
                yield element("text", text, class_="time", x=at, y=bottom + dy)


def _draw_failures(bins: Sequence[Bin], x: Scale, y: Scale) -> Iterator[Html]:
    for one in bins:
        if failed := one.failed.total():
            left, right, top = x(one.begin), x(one.begin + one.width), y(one.rate(failed))
            yield element(
                "rect",
                class_="failed",
                x=f"{left:.1f}",
                y=f"{top:.1f}",
                width=f"{right - left:.1f}",
                height=f"{y.start - top:.1f}",
            )


def _draw_tips(
    bins: Sequence[Bin], versions: Sequence[str], x: Scale, ends: tuple[float, float]
) -> Iterator[Html]:
    """Lay a transparent band over each bin, whose tooltip has its numbers."""
    for one in bins:
        lines = [f"{one.begin:.1f} to {one.begin + one.width:.1f} s"]
        for version in filter(one.answered.__getitem__, versions):
            failed = f", {one.failed[version]} failed" if one.failed[version] else ""
            lines.append(f"version {version}: {one.answered[version]} requests{failed}")
        left, right = x(one.begin), x(one.begin + one.width)
        yield draw_tip(lines, left, right - left, ends)
