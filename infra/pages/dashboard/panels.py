"""What a dashboard shows: its widgets filled with CloudWatch's metrics and alarms."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import batched
from typing import TYPE_CHECKING, Any

from infra.cloudwatch.alarms import Metric, read_data
from infra.cloudwatch.metric_math import ExpressionError, Series, calculate
from infra.pages.chart import Axis, Chart, Line, Threshold
from infra.pages.dashboard.body import DashboardError, Query, Search, Widget, read_queries

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch import CloudWatchClient

QUERIES = 500  # that GetMetricData takes
ALARMS = 100  # that DescribeAlarms takes
SUMS = {"Sum", "SampleCount"}


@dataclass(frozen=True)
class Tile:
    """An alarm: its state is OK, ALARM, INSUFFICIENT_DATA, or NOT_FOUND if there is none."""

    name: str
    state: str
    reason: str
    description: str


@dataclass(frozen=True)
class Panel:
    """A widget and what it shows: one of the three."""

    widget: Widget
    chart: Chart | None = None
    tiles: Sequence[Tile] = ()
    markdown: str = ""


def load(
    client: "CloudWatchClient", widgets: Sequence[Widget], begin: datetime, end: datetime
) -> list[Panel]:
    """Fill the widgets with what CloudWatch has from `begin` to `end`.

    Metric math and searches are worked out here, so that AWS and moto, which lacks both, agree.
    Raises DashboardError.
    """
    queries = {
        index: [
            found for query in read_queries(widget.properties) for found in _search(client, query)
        ]
        for index, widget in enumerate(widgets)
        if widget.kind == "metric"
    }
    metrics = {
        query.source
        for some in queries.values()
        for query in some
        if isinstance(query.source, Metric)
    }
    data = _read(client, metrics, begin, end)
    found = {
        query.found
        for some in queries.values()
        for query in some
        if isinstance(query.source, Metric) and data[query.source]
    }
    colors = {value: color for color, value in enumerate(sorted(found - {""}, key=_natural))}
    times = partial(list_times, begin, end)
    panels = []
    for index, widget in enumerate(widgets):
        match widget.kind:
            case "metric":
                lines = _calculate(widget, queries[index], data, colors, times)
                panels.append(Panel(widget, chart=_chart(widget, lines)))
            case "alarm":
                panels.append(Panel(widget, tiles=_read_tiles(client, widget.properties["alarms"])))
            case _:
                panels.append(Panel(widget, markdown=str(widget.properties["markdown"])))
    return panels


def _search(client: "CloudWatchClient", query: Query) -> Iterator[Query]:
    """Yield a query for each metric that a search finds; any other query as it is."""
    search = query.source
    if not isinstance(search, Search):
        yield query
        return
    found = sorted(
        _find(client, search), key=lambda dimensions: [_natural(v) for _, v in dimensions]
    )
    for index, dimensions in enumerate(found):
        values = " ".join(_distinguish(dimensions, found, search))
        metric = Metric(
            search.namespace, search.given["MetricName"], dimensions, search.stat, search.period
        )
        label = f"{query.label} {values}".strip()
        yield replace(query, id=f"{query.id}_{index}", label=label, source=metric, found=values)


def _find(client: "CloudWatchClient", search: Search) -> Iterator[tuple[tuple[str, str], ...]]:
    """Yield the dimensions of each metric that a search finds, in the order of its schema."""
    filters: Any = [
        {"Name": name} | ({"Value": search.given[name]} if name in search.given else {})
        for name in search.dimensions
    ]
    pages = client.get_paginator("list_metrics").paginate(
        Namespace=search.namespace, MetricName=search.given["MetricName"], Dimensions=filters
    )
    for page in pages:
        for metric in page["Metrics"]:
            values = {one["Name"]: one["Value"] for one in metric["Dimensions"]}
            if values.keys() == set(search.dimensions):
                yield tuple((name, values[name]) for name in search.dimensions)


def _natural(value: str) -> tuple[int, str]:
    """Order version 2 before version 10."""
    return len(value), value


def _distinguish(
    dimensions: Sequence[tuple[str, str]], found: Sequence[Any], search: Search
) -> Iterator[str]:
    """Yield the values that tell one found metric from the others, or all that was not given."""
    for position, (name, value) in enumerate(dimensions):
        same = len(found) > 1 and len({others[position] for others in found}) == 1
        qualifies = any(value.startswith(f"{other}:") for _, other in dimensions)
        if name not in search.given and not same and not qualifies:
            yield value


def _read(
    client: "CloudWatchClient", metrics: Iterable[Metric], begin: datetime, end: datetime
) -> dict[Metric, Series]:
    """Read metrics; a request is for one period, with which its time is aligned."""
    data: dict[Metric, Series] = {}
    by_period: dict[int, list[Metric]] = {}
    for metric in metrics:
        by_period.setdefault(metric.period, []).append(metric)
    for period, ones in by_period.items():
        for some in batched(ones, QUERIES, strict=False):
            named = {f"m{index}": metric for index, metric in enumerate(some)}
            found = read_data(client, named, align(begin, period), end)
            data |= {metric: found[name] for name, metric in named.items()}
    return data


def align(time: datetime, period: int) -> datetime:
    """Return the begin of the period in which a time is."""
    return datetime.fromtimestamp(time.timestamp() // period * period, UTC)


def list_times(begin: datetime, end: datetime, period: int) -> list[datetime]:
    """Return the begins of all periods that are looked at."""
    first, step = align(begin, period), timedelta(seconds=period)
    return [first + step * i for i in range(int((end - first) / step) + 1)]


def _calculate(
    widget: Widget,
    queries: Sequence[Query],
    data: Mapping[Metric, Series],
    colors: Mapping[str, int],
    times: Callable[[int], list[datetime]],
) -> list[Line]:
    """Return the lines of a widget; a version that is found has one colour in all widgets."""
    expressions = {one.id: one.source for one in queries if isinstance(one.source, str)}
    metrics = {one.id: data[one.source] for one in queries if isinstance(one.source, Metric)}
    lines: list[Line] = []
    for query in queries:
        if not query.is_visible:
            continue
        try:
            points = calculate(query.id, expressions, metrics, times(query.period))
        except ExpressionError as error:
            raise DashboardError(f"widget {widget.title!r}: {error}") from error
        if query.found and not points:  # a version of other days
            continue
        is_sum = isinstance(query.source, Metric) and query.source.stat in SUMS
        line = Line(query.label, points, query.period, is_sum, query.on_right)
        if query.found:
            line = replace(line, color=colors[query.found], dash=query.entry)
        else:
            line = replace(line, color=len(lines), dash=max(0, len(lines) - 1))
        lines.append(line)
    return lines


def _chart(widget: Widget, lines: Sequence[Line]) -> Chart:
    properties = widget.properties
    axes = {
        side: Axis(str(axis.get("label", "")), axis.get("min"), axis.get("max"))
        for side, axis in properties.get("yAxis", {}).items()
    }
    thresholds = [
        Threshold(str(one.get("label", "")), float(one["value"]), one.get("yAxis") == "right")
        for one in properties.get("annotations", {}).get("horizontal", [])
    ]
    left, right = axes.get("left", Axis()), axes.get("right", Axis())
    return Chart(widget.title, lines, thresholds, left, right)


def _read_tiles(client: "CloudWatchClient", arns: Sequence[str]) -> list[Tile]:
    """Return the alarms, those that ring first."""
    names = [arn.partition(":alarm:")[2] for arn in arns]
    held = {
        alarm["AlarmName"]: alarm
        for some in batched(names, ALARMS, strict=False)
        for alarm in _describe(client, some)
    }
    tiles = [
        Tile(
            name,
            held[name]["StateValue"] if name in held else "NOT_FOUND",
            held[name].get("StateReason", "") if name in held else "",
            held[name].get("AlarmDescription", "") if name in held else "",
        )
        for name in names
    ]
    return sorted(tiles, key=lambda tile: tile.state != "ALARM")


def _describe(client: "CloudWatchClient", names: Sequence[str]) -> Iterator[Mapping[str, Any]]:
    answer = client.describe_alarms(AlarmNames=names, AlarmTypes=["MetricAlarm", "CompositeAlarm"])
    yield from answer["MetricAlarms"]
    yield from answer["CompositeAlarms"]
