"""Traffic to come: requests per second over time."""

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from infra.simulation.errors import SimulationError

# The day of a shop with 50 requests per second on an ordinary one: people wait for the sale to open
# at 06:00, and a mail goes out to everybody at 20:00, with 40 times as many.
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
DAY = datetime(2026, 11, 27, tzinfo=UTC)  # of that sale, and of times without a date
LONGEST = timedelta(days=7)


@dataclass(frozen=True)
class Curve:
    """Requests per second, one value for each second from `begin` (UTC)."""

    name: str
    begin: datetime
    rates: NDArray[np.float64]

    @property
    def end(self) -> datetime:
        """Return the time after the last second."""
        return self.begin + timedelta(seconds=len(self.rates))


def read_curve(name: str) -> Curve:
    """Return the built-in curve `black-friday`, or read a CSV file with the columns time and rps.

    Times are UTC, ISO 8601 or HH:MM, in order; between two of them the rate changes evenly. Raises
    SimulationError.
    """
    if name == "black-friday":
        return draw_curve(name, ((read_time(time), rate) for time, rate in BLACK_FRIDAY))
    try:
        with Path(name).open(encoding="utf-8", newline="") as file:
            points = [(read_time(row["time"]), float(row["rps"])) for row in csv.DictReader(file)]
    except OSError as error:
        raise SimulationError(f"{name}: {error.strerror}; or use black-friday") from error
    except (KeyError, TypeError, ValueError) as error:
        raise SimulationError(
            f"{name}: expected the columns time (UTC, such as 2026-11-27T06:00 or 06:00) and rps: "
            f"{error}"
        ) from error
    return draw_curve(Path(name).name, points)


def draw_curve(name: str, points: Iterable[tuple[datetime, float]]) -> Curve:
    """Lay straight lines through the points; raise SimulationError."""
    points = list(points)
    times = [time.timestamp() for time, _ in points]
    rates = np.array([rate for _, rate in points])
    if len(points) <= 1 or np.any(np.diff(times) <= 0):
        raise SimulationError(f"{name}: expected two times or more, each after the one before")
    if not np.all((rates >= 0) & np.isfinite(rates)):
        raise SimulationError(f"{name}: expected rates of 0 or more")
    if not 1 <= times[-1] - times[0] <= LONGEST.total_seconds():
        raise SimulationError(f"{name}: expected a second to {LONGEST.days} days")
    middles = np.arange(times[0], times[-1]) + 0.5
    return Curve(name, points[0][0], np.interp(middles, times, rates))


def read_time(text: str) -> datetime:
    """Read a time as UTC; without a date it is of Black Friday. Raises ValueError."""
    if len(text) <= len("HH:MM:SS"):
        hours, minutes, *seconds = (int(part) for part in text.split(":"))
        return DAY + timedelta(hours=hours, minutes=minutes, seconds=sum(seconds))
    time = datetime.fromisoformat(text)
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
