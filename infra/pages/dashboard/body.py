"""The body of a CloudWatch dashboard: its widgets, and what each line of them shows.

Source: docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/
CloudWatch-Dashboard-Body-Structure.html.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from infra.cloudwatch.alarms import Metric
from infra.errors import OperatorError

CONTENTS = {"alarm": "alarms", "metric": "metrics", "text": "markdown"}  # by type of widget
VIEWS = ("singleValue", "timeSeries")
SIZE = 6  # of a widget that sets none
PLACE = ("x", "y", "width", "height")  # of a widget on the grid
PERIOD = 300  # seconds, of a metric for which neither it nor its widget sets any
STAT = "Average"

SEARCH = re.compile(r"SEARCH\(\s*'([^']*)'\s*,\s*'([^']+)'\s*(?:,\s*(\d+)\s*)?\)")
SCHEMA = re.compile(r"\s*\{([^}]+)\}(.*)", re.DOTALL)
TERM = re.compile(r"\s*(?:AND\s+)?([\w:]+)\s*=\s*\"([^\"]*)\"")


class DashboardError(OperatorError):
    """Raised when a dashboard is missing, or holds what cannot be shown."""


@dataclass(frozen=True)
class Search:
    """All metrics of a namespace with exactly these dimensions, of which some values are given."""

    namespace: str
    dimensions: tuple[str, ...]
    given: Mapping[str, str]  # MetricName, or a dimension
    stat: str
    period: int


@dataclass(frozen=True)
class Query:
    """One entry of a widget's metrics; a source that is a string is metric math.

    `found` tells a metric that a search has found from the others.
    """

    entry: int  # in the widget
    id: str
    label: str
    source: Metric | Search | str
    is_visible: bool
    on_right: bool
    period: int
    found: str = ""


@dataclass(frozen=True)
class Widget:
    """A part of the dashboard: its place on a grid of 24 columns, and its properties."""

    kind: str
    title: str
    column: int | None
    row: int | None
    width: int
    height: int
    properties: Mapping[str, Any]


def read_widgets(body: str) -> list[Widget]:
    """Read the widgets of a dashboard; raise DashboardError."""
    try:
        return [_read_widget(widget) for widget in json.loads(body)["widgets"]]
    except (ValueError, KeyError, TypeError) as error:
        raise DashboardError(f"the dashboard's body is wrong: {error!r}") from error


def _read_widget(widget: Mapping[str, Any]) -> Widget:
    kind, properties = widget["type"], widget["properties"]
    title = str(properties.get("title", ""))
    view = properties.get("view", "timeSeries")
    if kind not in CONTENTS:
        raise DashboardError(f"a widget of type {kind} is not one of {', '.join(CONTENTS)}")
    if CONTENTS[kind] not in properties:
        raise DashboardError(f"widget {title!r} of type {kind} has no {CONTENTS[kind]}")
    if view not in VIEWS or properties.get("stacked"):
        shown = "stacked" if view in VIEWS else view
        raise DashboardError(f"widget {title!r}: {shown} is not one of {', '.join(VIEWS)}")
    size = {"width": SIZE, "height": SIZE} | {k: widget[k] for k in PLACE if k in widget}
    for key, number in size.items():
        if type(number) is not int:
            raise DashboardError(f"widget {title!r}: {key} is not a whole number")
    width, height = size["width"], size["height"]
    return Widget(kind, title, size.get("x"), size.get("y"), width, height, properties)


def read_queries(properties: Mapping[str, Any]) -> list[Query]:
    """Read the metrics of a metric widget; raise DashboardError."""
    queries = []
    names: Sequence[str] = ()
    for index, entry in enumerate(properties["metrics"]):
        *given, options = entry if isinstance(entry[-1], dict) else [*entry, {}]
        options = {**properties, **options}
        period = int(options.get("period", PERIOD))
        if "expression" in options:
            expression = options["expression"]
            is_search = expression.lstrip().startswith("SEARCH")
            source = read_search(expression, period) if is_search else expression
            label = str(options.get("label", expression))
        else:
            names = expand(given, names)
            dimensions = tuple(zip(names[2::2], names[3::2], strict=True))
            stat = options.get("stat", STAT)
            source = Metric(names[0], names[1], dimensions, stat, period)
            label = str(options.get("label", names[1]))
        query = Query(
            entry=index,
            id=options.get("id", f"entry{index}"),
            label=label,
            source=source,
            is_visible=options.get("visible", True),
            on_right=options.get("yAxis") == "right",
            period=source.period if isinstance(source, Search) else period,
        )
        queries.append(query)
    return queries


def expand(names: Sequence[str], before: Sequence[str]) -> list[str]:
    """Replace what stands for the entry before: "." for one name, "..." for as many as fit."""
    names = list(names)
    if "..." in names:
        at = names.index("...")
        after = names[at + 1 :]
        names[at:] = [*before[at : len(before) - len(after)], *after]
    known = all(name != "." or index < len(before) for index, name in enumerate(names))
    if not names[1:] or len(names) % 2 or not known:
        raise DashboardError(f"{names} names no metric: namespace, name and pairs of dimensions")
    return [before[index] if name == "." else name for index, name in enumerate(names)]


def read_search(expression: str, period: int) -> Search:
    """Read a search with a schema and exact terms; raise DashboardError for any other.

    Source: docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/search-expression-syntax.html.
    """
    found = SEARCH.fullmatch(expression.strip())
    schema = SCHEMA.fullmatch(found[1]) if found else None
    terms = schema[2].strip() if schema else ""
    given = dict(TERM.findall(terms))
    if not found or not schema or TERM.sub("", terms).strip() or "MetricName" not in given:
        raise DashboardError(
            f'{expression}: expected SEARCH(\'{{namespace,dimensions}} MetricName="name" '
            "dimension=\"value\" ...', 'statistic', period)"
        )
    namespace, *dimensions = [name.strip().strip('"') for name in schema[1].split(",")]
    if unknown := given.keys() - {"MetricName", *dimensions}:
        raise DashboardError(f"{expression}: {', '.join(unknown)} is not in its schema")
    return Search(namespace, tuple(dimensions), given, found[2], int(found[3] or period))
