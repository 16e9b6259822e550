"""The body of a dashboard, as CloudWatch takes it."""

import json
from typing import Any

import pytest

from infra.cloudwatch.alarms import Metric
from infra.pages.dashboard.body import (
    DashboardError,
    Search,
    expand,
    read_queries,
    read_search,
    read_widgets,
)

BEFORE = ["AWS/EC2", "DiskReadBytes", "InstanceId", "i-1", "Zone", "a"]
EXPRESSION = """SEARCH('{ServerlessOnnx,service,"function version"} MetricName="Rows" service="x"',
    'p99', 120)"""


def body(**widget: Any) -> str:
    return json.dumps({"widgets": [{"type": "metric", "properties": {"metrics": []}} | widget]})


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ([".", "DiskWriteBytes", ".", "."], ["AWS/EC2", "DiskWriteBytes", "InstanceId", "i-1"]),
        (["...", "b"], [*BEFORE[:5], "b"]),
        (["..."], BEFORE),
        ([".", "CPU", "..."], ["AWS/EC2", "CPU", *BEFORE[2:]]),
        ([".", "CPU", "...", "b"], ["AWS/EC2", "CPU", *BEFORE[2:5], "b"]),
        (["A", "B"], ["A", "B"]),
    ],
)
def test_shorthand_stands_for_the_entry_before(names: list[str], expected: list[str]) -> None:
    assert expand(names, BEFORE) == expected


@pytest.mark.parametrize("names", [["A"], ["A", "B", "Name"], [*BEFORE, ".", "."], ["..."]])
def test_rejects_entries_that_name_no_metric(names: list[str]) -> None:
    with pytest.raises(DashboardError, match="names no metric"):
        expand(names, BEFORE if "." in names else [])


def test_entries_take_from_the_widget_what_they_do_not_set() -> None:
    properties = {
        "stat": "Sum",
        "period": 60,
        "metrics": [
            ["N", "Rows", "service", "x"],
            [{"expression": "m * 2", "label": "twice", "id": "e"}],
            ["...", {"stat": "p99", "period": 300, "id": "m", "visible": False, "yAxis": "right"}],
        ],
    }
    rows, twice, hidden = read_queries(properties)
    dimensions = (("service", "x"),)
    assert rows.source == Metric("N", "Rows", dimensions, "Sum", 60)
    assert (rows.label, rows.is_visible, rows.on_right) == ("Rows", True, False)
    assert (twice.id, twice.label, twice.source, twice.period) == ("e", "twice", "m * 2", 60)
    assert hidden.source == Metric("N", "Rows", dimensions, "p99", 300)
    assert (hidden.id, hidden.is_visible, hidden.on_right) == ("m", False, True)


def test_reads_a_search() -> None:
    assert read_search(EXPRESSION, 60) == Search(
        namespace="ServerlessOnnx",
        dimensions=("service", "function version"),
        given={"MetricName": "Rows", "service": "x"},
        stat="p99",
        period=120,
    )
    assert read_search("SEARCH('{N} MetricName=\"Rows\"', 'Sum')", 60).period == 60


@pytest.mark.parametrize(
    "expression",
    [
        "SEARCH('MetricName=\"Rows\"', 'Sum', 60)",
        "SEARCH('{N,service} MetricName=\"Rows\" OR MetricName=\"Requests\"', 'Sum')",
        "SEARCH('{N,service} Rows', 'Sum')",
        "SEARCH('{N,service} service=\"x\"', 'Sum')",
        "SEARCH('{N,service} MetricName=\"Rows\" zone=\"x\"', 'Sum')",
        "SEARCH(m, 'Sum')",
    ],
)
def test_rejects_searches_that_it_would_get_wrong(expression: str) -> None:
    with pytest.raises(DashboardError, match=r"SEARCH"):
        read_search(expression, 60)


def test_widgets_have_places_only_if_the_body_sets_them() -> None:
    [free] = read_widgets(body())
    [placed] = read_widgets(body(x=6, y=2, width=12, height=4))
    assert (free.column, free.row, free.width, free.height) == (None, None, 6, 6)
    assert (placed.column, placed.row, placed.width, placed.height) == (6, 2, 12, 4)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}", "body is wrong: KeyError"),
        ("nothing", "body is wrong: JSONDecodeError"),
        (body(type="explorer"), "type explorer is not one of alarm, metric, text"),
        (body(properties={"title": "A"}), "widget 'A' of type metric has no metrics"),
        (body(properties={"metrics": [], "view": "pie"}), "widget '': pie is not one of"),
        (body(properties={"metrics": [], "stacked": True}), "stacked is not one of"),
    ],
)
def test_says_what_it_cannot_show(text: str, message: str) -> None:
    with pytest.raises(DashboardError, match=message):
        read_widgets(text)


@pytest.mark.parametrize("key", ["x", "y", "width", "height"])
@pytest.mark.parametrize("value", ['6"><script>', 1.5, True, None, [6]])
def test_places_are_whole_numbers(key: str, value: Any) -> None:
    with pytest.raises(DashboardError, match=f"widget 'T': {key} is not a whole number"):
        read_widgets(body(**{key: value, "properties": {"title": "T", "metrics": []}}))
