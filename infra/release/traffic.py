"""What each version did with its requests, as CloudWatch counted them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from infra.cloudwatch.alarms import Metric, read_data
from infra.release.target import Target

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch import CloudWatchClient

MINUTE = 60
BATCH = 100  # versions in one question; GetMetricData takes 500 metrics


@dataclass(frozen=True)
class Traffic:
    """Requests of one version; `crashes` are those that it never answered, timeouts included.

    The latencies are of predictions, in milliseconds; None without any.
    """

    requests: int
    server_errors: int
    crashes: int
    p50_ms: float | None
    p99_ms: float | None

    @property
    def error_percent(self) -> float | None:
        """Percentage of requests that failed through no fault of the caller; None without any."""
        requests = self.requests + self.crashes  # the function counts what it answers
        return 100 * (self.server_errors + self.crashes) / requests if requests else None


def read_traffic(
    cloudwatch: "CloudWatchClient",
    target: Target,
    versions: Iterable[str],
    minutes: int,
    now: datetime,
) -> dict[str, Traffic]:
    """Return the traffic of each version in the last `minutes`, up to the minute of `now`."""
    end = datetime.fromtimestamp((now.timestamp() // MINUTE + 1) * MINUTE, UTC)
    start = end - timedelta(minutes=minutes)
    numbers = list(versions)
    values: dict[str, list[float]] = {}
    for first in range(0, len(numbers), BATCH):
        metrics: dict[str, Metric] = {}
        for version in numbers[first : first + BATCH]:
            metrics |= _metrics(target, version, minutes * MINUTE)
        series = read_data(cloudwatch, metrics, start, end)
        values |= {key: list(points.values()) for key, points in series.items()}
    return {version: _traffic(values, version) for version in numbers}


def _metrics(target: Target, version: str, period: int) -> dict[str, Metric]:
    own = (("service", target.stack), ("function_version", version))
    executed = (  # all three, or the metric does not exist
        ("FunctionName", target.function),
        ("Resource", f"{target.function}:{target.alias}"),
        ("ExecutedVersion", version),
    )
    return {
        f"requests{version}": Metric("ServerlessOnnx", "Requests", own, "Sum", period),
        f"errors{version}": Metric("ServerlessOnnx", "ServerErrors", own, "Sum", period),
        f"crashes{version}": Metric("AWS/Lambda", "Errors", executed, "Sum", period),
        f"p50{version}": Metric("ServerlessOnnx", "RequestLatency", own, "p50", period),
        f"p99{version}": Metric("ServerlessOnnx", "RequestLatency", own, "p99", period),
    }


def _traffic(values: Mapping[str, list[float]], version: str) -> Traffic:
    """Add up the counts; if CloudWatch cuts the window in two, the slower part has the latency."""
    return Traffic(
        requests=round(sum(values[f"requests{version}"])),
        server_errors=round(sum(values[f"errors{version}"])),
        crashes=round(sum(values[f"crashes{version}"])),
        p50_ms=max(values[f"p50{version}"], default=None),
        p99_ms=max(values[f"p99{version}"], default=None),
    )
