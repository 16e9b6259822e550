"""A rehearsal as SVG: requests by version and failures over time, and when what happened."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from infra.dashboard.chart import Scale, find_ticks, tell_number
from infra.rehearsal.load import Answer
from infra.rehearsal.outcome import Rehearsal

WIDTH, HEIGHT = 1160, 320
LEFT, RIGHT, BOTTOM = 44, 14, 40
MARK = 16  # what the number of an event takes, both ways
BINS_PER_MINUTE = 4
TICKS, TICK_HEIGHT = 12, 40


@dataclass(frozen=True)
class Bin:
    """The requests that were sent in a part of the time, in seconds from the begin."""

    begin: float
    width: float
    answered: Counter[str]  # by version
    failed: Counter[str]  # likewise

    @property
    def middle(self) -> float:
        """Seconds from the begin."""
        return self.begin + self.width / 2

    def rate(self, requests: int) -> float:
        """Turn a number of requests into requests a second."""
        return requests / self.width


def sort_answers(answers: Sequence[Answer], begun: float, ended: float, width: float) -> list[Bin]:
    """Sort the answers by when they were sent into equal bins of about `width` seconds."""
    number = max(1, round((ended - begun) / width))
    width = (ended - begun) / number
    bins = [Bin(i * width, width, Counter(), Counter()) for i in range(number)]
    for answer in answers:
        one = bins[min(max(0, int((answer.sent - begun) / width)), number - 1)]
        one.answered[answer.version] += 1
        one.failed[answer.version] += answer.has_failed
    return bins


def place_marks(places: Sequence[float]) -> list[int]:
    """Return a row for each mark, so that none covers another; `places` are in order."""
    ends: list[float] = []
    rows = []
    for place in places:
        row = next((row for row, end in enumerate(ends) if end <= place), len(ends))
        ends[row:] = [place + MARK, *ends[row + 1 :]]
        rows.append(row)
    return rows


def draw(rehearsal: Rehearsal, summary: str) -> str:
    """Draw a rehearsal that had a load; `summary` says it to those who do not see it."""
    begun, length = rehearsal.begun, rehearsal.ended - rehearsal.begun
    bins = sort_answers(
        rehearsal.answers, begun, rehearsal.ended, rehearsal.minute / BINS_PER_MINUTE
    )
    x = Scale(0, length, LEFT, WIDTH - RIGHT)
    marks = [x(event.time - begun) for event in rehearsal.events]
    rows = place_marks(marks)
    top = MARK * (max(rows, default=0) + 1) + 14
    bottom = HEIGHT - BOTTOM
    highest = max(one.rate(one.answered.total()) for one in bins)
    ticks = find_ticks(0, highest, max(2, int(bottom - top) // TICK_HEIGHT))
    y = Scale(0, ticks[-1], bottom, top)
    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(summary)}">']
    for tick in ticks:
        parts += [
            f'<path class="grid" d="M{x.start} {y(tick):.1f}H{x.end}"/>',
            f'<text class="left" x="{x.start - 6}" y="{y(tick):.1f}">{tell_number(tick)}</text>',
        ]
    parts += _draw_times(length, rehearsal.minute, x, bottom)
    parts += _draw_failures(bins, x, y)
    for style, version in (("c0 d0", rehearsal.old), ("c1 d1", rehearsal.new)):
        places = [f"{x(b.middle):.1f} {y(b.rate(b.answered[version])):.1f}" for b in bins]
        parts.append(f'<path class="line {style}" d="M{"L".join(places)}"/>')
    for number, (mark, row) in enumerate(zip(marks, rows, strict=True), 1):
        middle = MARK / 2 + MARK * row
        parts += [
            f'<path class="mark" d="M{mark:.1f} {middle + MARK / 2:.1f}V{bottom}"/>',
            f'<text class="mark" x="{mark:.1f}" y="{middle:.1f}">{number}</text>',
        ]
    parts += _draw_tips(bins, (rehearsal.old, rehearsal.new), x, (top, bottom))
    return "".join([*parts, "</svg>"])


def _draw_times(length: float, minute: float, x: Scale, bottom: float) -> Iterator[str]:
    """Label the time twice: in seconds here, and below in minutes of the clock."""
    for unit, name, dy in ((1.0, "s", 12), (minute, "min", 26)):
        for tick in find_ticks(0, length / unit, TICKS, whole=True):
            if tick * unit <= length:
                at = f'x="{x(tick * unit):.1f}" y="{bottom + dy}"'
                yield f'<text class="time" {at}>{tell_number(tick)} {name}</text>'


def _draw_failures(bins: Sequence[Bin], x: Scale, y: Scale) -> Iterator[str]:
    for one in bins:
        if failed := one.failed.total():
            left, right, top = x(one.begin), x(one.begin + one.width), y(one.rate(failed))
            yield (
                f'<rect class="failed" x="{left:.1f}" y="{top:.1f}" '
                f'width="{right - left:.1f}" height="{y.start - top:.1f}"/>'
            )


def _draw_tips(
    bins: Sequence[Bin], versions: Sequence[str], x: Scale, ends: tuple[float, float]
) -> Iterator[str]:
    """Lay a transparent band over each bin, which tells its numbers when it is pointed at."""
    top, bottom = ends
    for one in bins:
        told = [f"{one.begin:.1f} to {one.begin + one.width:.1f} s"]
        for version in filter(one.answered.__getitem__, versions):
            failed = f", {one.failed[version]} failed" if one.failed[version] else ""
            told.append(f"version {version}: {one.answered[version]} requests{failed}")
        left, right = x(one.begin), x(one.begin + one.width)
        yield (
            f'<rect class="tip" x="{left:.1f}" y="{top}" width="{right - left:.1f}" '
            f'height="{bottom - top}"><title>{escape(chr(10).join(told))}</title></rect>'
        )
