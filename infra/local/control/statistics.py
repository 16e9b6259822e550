"""Metrics of moto's CloudWatch as CloudWatch has them: exact dimension sets, percentiles, ranks."""

from datetime import UTC, datetime
from typing import Any

from moto.cloudwatch.models import MetricAggregatedDatum, MetricDatum, Statistics
from moto.cloudwatch.responses import CloudWatchResponse
from moto.core.responses import ActionResult

from infra.local.metrics import Sample, extended_statistic

EXTENDED = ("p", "PR(")  # what the names of percentiles and their ranks begin with


class Datum(MetricAggregatedDatum):
    """All values of a series in one second.

    As on CloudWatch a query sees it by its exact dimension set; moto's own data also answers to a
    part of theirs, which would count a request once for each of its dimension sets.
    """

    def __init__(self, sample: Sample) -> None:
        series, time, self.values = sample
        self.series = series
        super().__init__(
            series.namespace,
            series.name,
            min(self.values),
            max(self.values),
            len(self.values),
            sum(self.values),
            [{"Name": name, "Value": value} for name, value in series.dimensions],
            datetime.fromtimestamp(time, UTC).replace(tzinfo=None),
            series.unit,
        )

    def filter(
        self,
        namespace: str | None,
        name: str | None,
        dimensions: list[dict[str, str]],
        already_present_metrics: list[Any] | None = None,
    ) -> bool:
        """Return whether the datum answers a query, or ListMetrics if that asks what there is."""
        if already_present_metrics is None:
            fits = len(dimensions) == len(self.dimensions)
        else:
            fits = all(self.series != getattr(o, "series", None) for o in already_present_metrics)
        return fits and bool(super().filter(namespace, name, dimensions))


class Percentiles(Statistics):
    """The statistics of one period; moto itself knows no percentiles and no percentile ranks.

    As on CloudWatch there are none if a value is negative, nor of a statistic set unless all its
    values are the same. Source: docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/
    API_GetMetricStatistics.html.
    """

    def get_statistics_for_type(self, stat: str) -> Any:
        """Return one statistic, None if there is none."""
        if not stat.startswith(EXTENDED):
            return super().get_statistics_for_type(stat)
        values: list[float] = []
        for datum in self.metric_data:
            match datum:
                case Datum():
                    values += datum.values
                case MetricDatum():
                    values.append(datum.value)
                case MetricAggregatedDatum(min=low, max=high) if low == high:
                    values += [low] * int(datum.sample_count)
                case _:
                    return None
        return extended_statistic(stat, values) if min(values) >= 0 else None

    @property
    def extended_statistics(self) -> dict[str, float] | None:
        """What GetMetricStatistics is asked for besides moto's own statistics."""
        asked = [stat for stat in self.stats if stat.startswith(EXTENDED)]
        values = {stat: self.get_statistics_for_type(stat) for stat in asked}
        return {stat: value for stat, value in values.items() if value is not None} or None


_get_plain_statistics = CloudWatchResponse.get_metric_statistics


def get_metric_statistics(response: CloudWatchResponse) -> ActionResult:
    """Answer GetMetricStatistics, also with the percentiles that moto leaves out."""
    response.params.setdefault("Statistics", response.params.get("ExtendedStatistics", []))
    return _get_plain_statistics(response)
