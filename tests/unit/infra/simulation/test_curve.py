"""Curves: the built-in one, and those that a person brings."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from infra.simulation.curve import draw_curve, read_curve
from infra.simulation.errors import SimulationError

BEGIN = datetime(2026, 11, 27, tzinfo=UTC)


def test_black_friday_has_forty_times_the_usual_load() -> None:
    curve = read_curve("black-friday")
    assert len(curve.rates) == 86_400
    assert curve.rates.max() == pytest.approx(40 * 50, rel=1e-3)


def test_a_curve_is_read_from_a_file(tmp_path: Path) -> None:
    # GIVEN a time in UTC, and one with an offset
    file = tmp_path / "traffic.csv"
    file.write_text("time,rps\n2026-12-01T09:00,10\n2026-12-01T11:00:10+01:00,20\n")
    # WHEN
    curve = read_curve(str(file))
    # THEN the rate grows evenly over an hour and ten seconds
    assert curve.begin == datetime(2026, 12, 1, 9, tzinfo=UTC)
    assert len(curve.rates) == 3610
    assert curve.rates.sum() == pytest.approx(3610 * 15)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"traffic\.csv is empty: expected the columns time and rps"),
        ("time,rate\n06:00,1\n07:00,1\n", r"traffic\.csv has no column rps: expected"),
        ("a,b\n06:00,1\n", "has no column time and no column rps: expected"),
        (
            "time,rps\n06:00,1\nnoon,1\n",
            r"traffic\.csv, line 3: time is 'noon', expected a time in UTC, such as 2026-11-27T",
        ),
        (f"time,rps\n{'x' * 99},1\n", "line 2: time is 'x{20}...', expected"),
        ("time,rps\n06:00,\n", "line 2: rps is empty, expected requests per second, 0 or more"),
        ("time,rps\n06:00\n", "line 2: rps is empty, expected"),
        ("time,rps\n,1\n", "line 2: time is empty, expected"),
        ("time,rps\n06:00,many\n", "line 2: rps is 'many', expected"),
        ("time,rps\n06:00,1\n", "two or more times in ascending order"),
        ("time,rps\n06:00,1\n25:00,1\n", "line 3: time is '25:00'"),
        ("time,rps\n06:00,1\n06:99,1\n", "line 3: time is '06:99'"),
        ("time,rps\n06:00,0\n07:00,0\n", "one above 0"),
        ("time,rps\n06:00,1\n06:00,2\n", "line 3: expected a later time than in the previous"),
        ("time,rps\n06:00,1\n07:00,-2\n", "line 3: rps is '-2'"),
        ("time,rps\n06:00,1\n07:00,nan\n", "line 3: rps is 'nan'"),
        ("time,rps\n06:00,1\n07:00,1e999\n", "line 3: rps is '1e999'"),
        ("time,rps\n06:00,\0\n", "line 2: rps is"),
        ("time,rps\n2026-01-01T00:00,1\n2026-02-01T00:00,1\n", "1 second to 7 days, got 31 days"),
        ("time,rps\n06:00:00:00,1\n07:00,1\n", "line 2: time is '06:00:00:00'"),
    ],
)
def test_refuses_a_file_that_is_no_curve(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "traffic.csv"
    file.write_text(text)
    with pytest.raises(SimulationError, match=message):
        read_curve(str(file))


def test_refuses_a_file_that_is_no_text(tmp_path: Path) -> None:
    file = tmp_path / "traffic.csv"
    file.write_bytes(b"time,rps\n\xff,1\n")
    with pytest.raises(SimulationError, match=f"{file} is not a CSV file of UTF-8 text"):
        read_curve(str(file))


def test_reads_what_a_spreadsheet_saves(tmp_path: Path) -> None:
    # GIVEN UTF-8 with a byte order mark
    file = tmp_path / "traffic.csv"
    file.write_text("time,rps\n08:00,10\n09:00,20\n", "utf-8-sig")
    assert len(read_curve(str(file)).rates) == 3600


def test_names_the_built_in_curve_when_there_is_no_such_file() -> None:
    with pytest.raises(SimulationError, match=r"white-monday: No such file.*or use black-friday"):
        read_curve("white-monday")


def test_a_curve_of_one_point_is_none() -> None:
    with pytest.raises(SimulationError, match="two or more times in ascending order"):
        draw_curve("test", [(BEGIN, 1)])
