"""Metric values on their way to CloudWatch: from EMF lines and from the platform itself."""

import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from infra.local.clock import Clock, read

# CloudWatch has a value one to two minutes after it was measured.
DELAY_SECONDS = 90
PERCENTILE_RANK = re.compile(r"PR\(([\d.]*):([\d.]*)\)")

Dimensions = tuple[tuple[str, str], ...]


class Series(NamedTuple):
    """What CloudWatch keeps apart: a metric name alone says little."""

    namespace: str
    name: str
    unit: str
    dimensions: Dimensions


class Sample(NamedTuple):
    """Values of one series at one time, in seconds since 1970."""

    series: Series
    time: float
    values: list[float]


class Metrics:
    """Collects samples, and hands them over by series and second when flushed.

    `clock` turns their time into the cloud's, where a rehearsal's minutes may be shorter. They are
    handed over when they are `delay` seconds of that clock old.
    """

    def __init__(
        self,
        put: Callable[[Iterable[Sample]], None],
        clock: Clock = lambda time: time,
        delay: float = 0,
    ) -> None:
        self._put = put
        self._clock = clock
        self._delay = delay
        self._samples: list[Sample] = []

    def add(self, samples: Iterable[Sample]) -> None:
        """Keep samples until the next flush."""
        self._samples.extend(samples)

    def flush(self) -> None:
        """Hand over everything that was added and is old enough."""
        samples, self._samples = self._samples, []
        latest = read(self._clock) - self._delay
        merged: dict[tuple[Series, int], list[float]] = {}
        for sample in samples:
            time = self._clock(sample.time)
            if time <= latest:
                merged.setdefault((sample.series, int(time)), []).extend(sample.values)
            else:
                self._samples.append(sample)
        self._put(Sample(series, time, values) for (series, time), values in merged.items())


def read_emf(line: str) -> list[Sample] | None:
    """Read a log line in embedded metric format as CloudWatch does; None if it is not in it.

    Every metric goes to every dimension set; a metric or a dimension whose target the record lacks
    is dropped. Source: docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/
    CloudWatch_Embedded_Metric_Format_Specification.html.
    """
    if '"_aws"' not in line:
        return None
    try:
        record = json.loads(line)
        metadata = record["_aws"]
        directives = metadata["CloudWatchMetrics"]
        return [
            sample
            for directive in directives
            for sample in _read_directive(record, directive, metadata["Timestamp"] / 1000)
        ]
    except (ValueError, KeyError, TypeError):
        return None


def _read_directive(
    record: Mapping[str, Any], directive: Mapping[str, Any], time: float
) -> Iterator[Sample]:
    for metric in directive["Metrics"]:
        values = record.get(metric["Name"])
        values = values if isinstance(values, list) else [values]
        numbers = [float(value) for value in values if isinstance(value, int | float)]
        for names in directive["Dimensions"]:
            if numbers and all(isinstance(record.get(name), str) for name in names):
                dimensions = tuple((name, record[name]) for name in names)
                unit = metric.get("Unit", "None")
                series = Series(directive["Namespace"], metric["Name"], unit, dimensions)
                yield Sample(series, time, numbers)


def platform_samples(
    namespace: str,
    time: float,
    dimension_sets: Iterable[Dimensions],
    *,
    counts: Mapping[str, float],
    milliseconds: Mapping[str, float],
) -> Iterator[Sample]:
    """Make the samples that a service itself writes, one for each metric and dimension set."""
    for dimensions in dimension_sets:
        for unit, values in (("Count", counts), ("Milliseconds", milliseconds)):
            for name, value in values.items():
                yield Sample(Series(namespace, name, unit, dimensions), time, [value])


def extended_statistic(stat: str, values: Sequence[float]) -> float:
    """Return a percentile, as p99, or a percentile rank, as PR(:500), of values.

    A rank is the percentage of the values above its first number and up to its second. Source:
    docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/Statistics-definitions.html. Raises
    ValueError for any other statistic.
    """
    if rank := PERCENTILE_RANK.fullmatch(stat):
        low, high = float(rank[1] or -math.inf), float(rank[2] or math.inf)
        return 100 * sum(low < value <= high for value in values) / len(values)
    return percentile(values, float(stat.removeprefix("p")))


def percentile(values: Iterable[float], percent: float) -> float:
    """Return the value below which `percent` of the values are, between the two nearest of them.

    CloudWatch's own way from one value to the next is not documented.
    """
    ordered = sorted(values)
    rank = (len(ordered) - 1) * percent / 100
    low, high = ordered[math.floor(rank)], ordered[math.ceil(rank)]
    return low + (high - low) * (rank - math.floor(rank))
