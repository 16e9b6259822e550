"""Scales, ticks and lines of charts."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.pages.chart import (
    MARGIN_TOP,
    Axis,
    Chart,
    Line,
    Scale,
    Threshold,
    draw,
    find_ticks,
    find_time_ticks,
    format_number,
    split_runs,
)

BEGIN = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
WIDTH, HEIGHT = 400, 180


def parse(chart: Chart, hours: float = 1) -> ET.Element:
    svg = draw(chart, BEGIN, BEGIN + timedelta(hours=hours), WIDTH, HEIGHT)
    return ET.fromstring(svg)  # noqa: S314 our own


def texts(svg: ET.Element, kind: str) -> list[str | None]:
    return [text.text for text in svg.iter("text") if text.get("class") == kind]


def places(svg: ET.Element, kind: str, axis: str) -> list[float]:
    return [float(text.get(axis, "")) for text in svg.iter("text") if text.get("class") == kind]


def line(*values: float | None, label: str = "line", on_right: bool = False) -> Line:
    points = {BEGIN + MINUTE * i: value for i, value in enumerate(values) if value is not None}
    return Line(label, points, 60, on_right=on_right)


@pytest.mark.parametrize(
    ("low", "high", "count", "expected"),
    [
        (0, 10, 4, [0, 2.5, 5, 7.5, 10]),
        (0, 7, 4, [0, 2, 4, 6, 8]),
        (0, 1234, 3, [0, 500, 1000, 1500]),
        (-3, 5, 4, [-4, -2, 0, 2, 4, 6]),
        (0, 0, 4, [0, 0.25]),
        (0, 0.004, 2, [0, 0.002, 0.004]),
    ],
)
def test_ticks_are_round(low: float, high: float, count: int, expected: list[float]) -> None:
    assert find_ticks(low, high, count) == pytest.approx(expected)


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e9), st.integers(2, 8), st.booleans())
def test_ticks_enclose_the_values(low: float, span: float, count: int, whole: bool) -> None:
    ticks = find_ticks(low, low + span, count, whole=whole)

    step = ticks[1] - ticks[0]
    assert ticks[0] <= low + 1e-6 * step
    assert ticks[-1] >= low + span - 1e-6 * step
    assert 2 <= len(ticks) <= 2 * count + 3
    assert all(b - a == pytest.approx(step, rel=1e-3) for a, b in pairwise(ticks))
    assert not whole or step >= 1


def test_counts_have_no_fractions_of_one() -> None:
    assert find_ticks(0, 1, 4, whole=True) == [0, 1]
    assert find_ticks(0, 9, 4, whole=True) == [0, 3, 6, 9]


@pytest.mark.parametrize(
    ("hours", "expected"),
    [
        (0.25, ["12:00", "12:05", "12:10", "12:15"]),
        (1, ["12:00", "12:10", "12:20", "12:30", "12:40", "12:50", "13:00"]),
        (3, ["12:00", "12:30", "13:00", "13:30", "14:00", "14:30", "15:00"]),
        (24, ["12:00", "18:00", "00:00", "06:00", "12:00"]),
    ],
)
def test_times_are_round(hours: float, expected: list[str]) -> None:
    ticks = find_time_ticks(BEGIN, BEGIN + timedelta(hours=hours), 6)
    assert [f"{tick:%H:%M}" for tick in ticks] == expected


def test_times_begin_within_the_chart() -> None:
    begin = BEGIN + timedelta(minutes=7)
    assert find_time_ticks(begin, begin + timedelta(hours=1), 6)[0] == BEGIN + timedelta(minutes=10)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, "0"),
        (0.1234567, "0.123"),
        (22.0267, "22"),
        (123.4, "123"),
        (1234, "1,234"),
        (56_789.4, "56,789"),
        (1_234_567, "1.23M"),
        (-5e9, "-5G"),
    ],
)
def test_numbers_are_short(value: float, expected: str) -> None:
    assert format_number(value) == expected


def test_scale_keeps_what_is_outside_at_its_edge() -> None:
    scale = Scale(0, 10, 100, 200)
    assert [scale(value) for value in (-1, 0, 5, 10, 99)] == [100, 100, 150, 200, 200]


def test_line_breaks_where_periods_have_no_data() -> None:
    runs = split_runs(line(1, 2, None, 3, None, None, 4, 5))
    assert [[value for _, value in run] for run in runs] == [[1, 2], [3], [4, 5]]


def test_line_goes_through_its_values() -> None:
    # GIVEN values 0, 10 and 5, a quarter of an hour apart in an hour
    points = {BEGIN + MINUTE * 15 * i: value for i, value in enumerate((0.0, 10.0, 5.0))}
    svg = parse(Chart("rows", [Line("rows", points, 900)]))
    # WHEN drawn THEN the second is a quarter to the right, at the top, the third half as high
    [path] = [one.get("d", "") for one in svg.iter("path") if one.get("class") == "line c0 d0"]
    (x0, y0), (x1, y1), (x2, y2) = [
        tuple(map(float, point.split())) for point in path.removeprefix("M").split("L")
    ]
    [bottom, *_, top] = places(svg, "left", "y")
    assert (y0, y1, y2) == pytest.approx((bottom, top, (bottom + top) / 2), abs=0.1)
    [first, *_, last] = places(svg, "time", "x")
    assert (x0, x1, x2) == pytest.approx(
        (first, first + (last - first) / 4, (first + last) / 2), abs=0.1
    )


def test_single_value_is_a_point_and_a_tooltip_has_all_values_of_a_time() -> None:
    svg = parse(Chart("a", [line(7, label="one"), line(8, label="two")]))
    assert len(list(svg.iter("circle"))) == 2
    [title] = [one.text for one in svg.iter("title")]
    assert title == "22 Nov 12:00 UTC\none: 7\ntwo: 8"


def test_right_axis_has_a_scale_of_its_own() -> None:
    svg = parse(Chart("a", [line(3, 4), line(900, 1000, on_right=True)]))
    assert texts(svg, "left")[-1] == "4"
    assert texts(svg, "right")[-1] == "1,000"


def test_axis_keeps_to_what_the_dashboard_sets() -> None:
    svg = parse(Chart("a", [line(50.5, 60.5)], left=Axis("percent", 50, 100)))
    assert texts(svg, "left") == ["60", "80", "100", "percent"]
    low, middle, high, _ = places(svg, "left", "y")
    assert middle == pytest.approx((low + high) / 2)
    assert high == MARGIN_TOP


def test_near_threshold_is_drawn_and_a_far_one_written() -> None:
    thresholds = [Threshold("objective", 12), Threshold("limit", 1000)]
    svg = parse(Chart("a", [line(8, 10)], thresholds))
    assert texts(svg, "threshold") == ["objective 12", "limit 1,000 \u2191"]
    assert [one.get("class") for one in svg.iter("path")].count("threshold") == 1
    assert texts(svg, "left")[-1] == "15"


def test_chart_without_data_says_so() -> None:
    svg = parse(Chart("a", [line()], [Threshold("limit", 5)]))
    assert texts(svg, "none") == ["no data"]
    assert texts(svg, "left") == []


def test_names_cannot_be_markup() -> None:
    svg = draw(
        Chart('"><script>', [line(1, label="<script>")], [Threshold("<script>", 1)]),
        *(BEGIN, BEGIN + MINUTE * 15, WIDTH, HEIGHT),
    )
    assert "<script>" not in svg
    assert ET.fromstring(svg).get("aria-label") == '"><script>'  # noqa: S314 our own
