"""GetMetricData of moto's CloudWatch, with one look at each value.

moto's own looks at all values of all metrics for each period of each query: after an hour of
traffic a dashboard would take minutes.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from moto.cloudwatch import models
from moto.cloudwatch.models import CloudWatchBackend

type Key = tuple[str, str, frozenset[tuple[str, str]]]

_get_plain_metric_data = CloudWatchBackend.get_metric_data


def get_metric_data(
    backend: CloudWatchBackend,
    queries: list[dict[str, Any]],
    start_time: datetime,
    end_time: datetime,
    scan_by: str = "TimestampAscending",
) -> list[dict[str, Any]]:
    """Take the place of the backend's method; it still answers requests that hold expressions."""
    start, end = start_time.replace(microsecond=0), end_time.replace(microsecond=0)
    if start >= end or any("MetricStat" not in query for query in queries):
        return _get_plain_metric_data(backend, queries, start_time, end_time, scan_by)
    data: dict[Key, list[Any]] = {_key(query["MetricStat"]["Metric"]): [] for query in queries}
    for datum in backend.get_all_metrics():
        if start <= datum.timestamp < end:
            dimensions = frozenset((one.name, one.value) for one in datum.dimensions)
            key = (datum.namespace, datum.name, dimensions)
            if key in data:
                data[key].append(datum)
    results = []
    for query in queries:
        asked = query["MetricStat"]
        series = data[_key(asked["Metric"])]
        unit = asked.get("Unit")
        points = _aggregate(
            [datum for datum in series if unit in {None, datum.unit}],
            start,
            int(asked["Period"]),
            asked["Stat"],
        )
        times = sorted(points, reverse=scan_by == "TimestampDescending")
        results.append(
            {
                "id": query["Id"],
                "label": query.get("Label") or asked["Metric"]["MetricName"],
                "timestamps": times,
                "values": [points[time] for time in times],
                "status_code": "Complete",
            }
        )
    returned = {query["Id"] for query in queries if query.get("ReturnData", True)}
    return [result for result in results if result["id"] in returned]


def _key(metric: Mapping[str, Any]) -> Key:
    dimensions = frozenset((one["Name"], one["Value"]) for one in metric.get("Dimensions", []))
    return metric["Namespace"], metric["MetricName"], dimensions


def _aggregate(
    series: Sequence[Any], start: datetime, period: int, stat: str
) -> dict[datetime, float]:
    periods: dict[int, list[Any]] = defaultdict(list)
    for datum in series:
        periods[int((datum.timestamp - start).total_seconds() // period)].append(datum)
    points = {}
    for index, data in periods.items():
        statistics = models.Statistics([stat], start)
        statistics.metric_data = data
        value = statistics.get_statistics_for_type(stat)
        if value is not None:
            points[start + timedelta(seconds=index * period)] = float(value)
    return points
