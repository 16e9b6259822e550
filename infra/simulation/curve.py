"""Expected traffic: requests per second over time."""

import csv
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from infra.simulation.errors import SimulationError

# Black Friday of a shop with 50 requests per second on an ordinary day. People wait for the sale to
# open at 06:00; at 20:00 a mail goes out to everybody, and traffic is 40 times the usual.
BLACK_FRIDAY = (
    ("00:00", 15),
    ("04:00", 8),
    ("05:55", 20),
    ("06:00", 50),
    ("06:00:05", 900),
    ("06:20", 600),
    ("08:00", 400),
    ("12:00", 1200),
    ("14:00", 900),
    ("19:00", 1400),
    ("20:00", 1500),
    ("20:01", 2000),
    ("20:30", 1600),
    ("22:00", 1200),
    ("24:00", 200),
)
DAY = datetime(2026, 11, 27, tzinfo=UTC)  # that day; times without a date are on it
LONGEST = timedelta(days=7)
COLUMNS = {
    "time": "a time in UTC, such as 2026-11-27T06:00 or 06:00",
    "rps": "requests per second, 0 or more",
}
SHOWN = 20  # characters of a wrong value


@dataclass(frozen=True)
class Curve:
    """Requests per second, one value for each second from `begin` (UTC)."""

    name: str
    begin: datetime
    rates: NDArray[np.float64]

    @property
    def end(self) -> datetime:
        """The time after the last second."""
        return self.begin + timedelta(seconds=len(self.rates))


def read_curve(name: str) -> Curve:
    """Return the built-in curve `black-friday`, or read a CSV file with the columns time and rps.

    Times are UTC, ISO 8601 or HH:MM, in order; between two of them the rate changes evenly. Raises
    SimulationError.
    """
    if name == "black-friday":
        return draw_curve(name, ((read_time(time), rate) for time, rate in BLACK_FRIDAY))
    try:
        with Path(name).open(encoding="utf-8-sig", newline="") as file:
            points = list(_read_points(name, csv.DictReader(file)))
    except OSError as error:
        raise SimulationError(f"{name}: {error.strerror}; or use black-friday") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise SimulationError(f"{name} is not a CSV file of UTF-8 text") from error
    return replace(draw_curve(name, points), name=Path(name).name)


def _read_points(name: str, reader: "csv.DictReader[str]") -> Iterator[tuple[datetime, float]]:
    header = reader.fieldnames
    if not header:
        raise SimulationError(f"{name} is empty: expected the columns {' and '.join(COLUMNS)}")
    if missing := [column for column in COLUMNS if column not in header]:
        raise SimulationError(
            f"{name} has no column {' and no column '.join(missing)}: expected the columns "
            f"{' and '.join(COLUMNS)}"
        )
    before = None
    for row in reader:
        place = f"{name}, line {reader.line_num}"
        time = _read_cell(place, row, "time", read_time)
        if before and time <= before:
            raise SimulationError(f"{place}: expected a later time than in the previous line")
        before = time
        yield time, _read_cell(place, row, "rps", _read_rate)


def _read_cell[T](
    place: str, row: Mapping[str, str | None], column: str, read: Callable[[str], T]
) -> T:
    text = (row[column] or "").strip()
    try:
        return read(text)
    except (ValueError, OverflowError):
        found = f"'{text:.{SHOWN}}{'...' if len(text) > SHOWN else ''}'" if text else "empty"
        raise SimulationError(f"{place}: {column} is {found}, expected {COLUMNS[column]}") from None


def _read_rate(text: str) -> float:
    rate = float(text)
    if not 0 <= rate < math.inf:
        raise ValueError(text)
    return rate


def draw_curve(name: str, points: Iterable[tuple[datetime, float]]) -> Curve:
    """Connect the points by straight lines; raise SimulationError if they make no curve."""
    points = list(points)
    times = [time.timestamp() for time, _ in points]
    rates = np.array([rate for _, rate in points])
    if len(points) <= 1 or np.any(np.diff(times) <= 0):
        raise SimulationError(f"{name}: expected two or more times in ascending order")
    if not np.all((rates >= 0) & np.isfinite(rates)) or not rates.any():
        raise SimulationError(f"{name}: expected rates of 0 or more, and one above 0")
    if not 1 <= times[-1] - times[0] <= LONGEST.total_seconds():
        found = points[-1][0] - points[0][0]
        raise SimulationError(
            f"{name}: expected a length of 1 second to {LONGEST.days} days, got {found}"
        )
    middles = np.arange(times[0], times[-1]) + 0.5
    return Curve(name, points[0][0], np.interp(middles, times, rates))


def read_time(text: str) -> datetime:
    """Read a time in UTC; one without a date is on Black Friday. Raises ValueError."""
    if len(text) <= len("HH:MM:SS"):
        hours, minutes, *seconds = (int(part) for part in text.split(":"))
        if not (0 <= hours <= 24 and all(0 <= part < 60 for part in (minutes, *seconds))):  # noqa: PLR2004 hours and minutes
            raise ValueError(f"not a time of day: {text}")
        return DAY + timedelta(hours=hours, minutes=minutes, seconds=sum(seconds))
    time = datetime.fromisoformat(text)
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
