"""What else AWS charges: what a service watches itself with, SnapStart, and other services.

USD as in infra/prices.py; from aws.amazon.com/{lambda,cloudwatch,kms,fargate,elasticloadbalancing}/
pricing and aws.amazon.com/sagemaker/ai/pricing. No formula includes the capacity units of a load
balancer.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from infra.prices import TRACE, Processor, count_gb_seconds

HOURS_PER_MONTH = 730

ALARM_METRIC_MONTH = 0.10  # for each metric that an alarm reads, also in metric math
COMPOSITE_ALARM_MONTH = 0.50
METRIC_MONTH = 0.30
METRIC_SERIES = 20  # ten metrics, each of the service and of the version that serves
DASHBOARD_MONTH = 3.00
KEY_MONTH = 1.00  # and once more for each of its first two yearly rotations

SNAPSTART_CACHE_GB_SECOND = 1.5046e-6  # of each published version
SNAPSTART_RESTORE_GB = 139.7998e-6  # of each restore

SAGEMAKER_SERVERLESS_GB_SECOND = 20e-6
SAGEMAKER_SERVERLESS_MB = (1024, 2048, 3072, 4096, 5120, 6144)  # sizes to choose from
SAGEMAKER_HOUR = {"ml.t3.medium": 0.05, "ml.m5.large": 0.115}

FARGATE_VCPU_HOUR: dict[Processor, float] = {"x86_64": 0.04048, "arm64": 0.03238}
FARGATE_GB_HOUR: dict[Processor, float] = {"x86_64": 0.004445, "arm64": 0.00356}
LOAD_BALANCER_HOUR = 0.0225


def price_standing_month(templates: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """Return USD a month for what a service watches itself with, by purpose, used or not.

    `templates` are the service's and those of the stacks nested in it. The traces are those of the
    first request of each second, the most that they can be; the share of the others is in the price
    of a request.
    """
    resources = [one for template in templates for one in template["Resources"].values()]
    kinds = [resource["Type"] for resource in resources]
    alarms = [one["Properties"] for one in resources if one["Type"] == "AWS::CloudWatch::Alarm"]
    read = sum(_count_metrics(alarm) for alarm in alarms)
    composite = kinds.count("AWS::CloudWatch::CompositeAlarm")
    return {
        "alarms": read * ALARM_METRIC_MONTH + composite * COMPOSITE_ALARM_MONTH,
        "metrics": METRIC_SERIES * METRIC_MONTH,
        "dashboard": kinds.count("AWS::CloudWatch::Dashboard") * DASHBOARD_MONTH,
        "key": kinds.count("AWS::KMS::Key") * KEY_MONTH,
        "traces, up to": TRACE * HOURS_PER_MONTH * 3600,
    }


def _count_metrics(alarm: Mapping[str, Any]) -> int:
    """Return how many metrics an alarm is charged for."""
    if "Metrics" not in alarm:
        return 1
    return sum("MetricStat" in one for one in alarm["Metrics"])


def price_snapstart_month(memory_mb: float, versions: int, restores: float) -> float:
    """Return USD a month for SnapStart: snapshots of so many published versions, and restores.

    Invocations cost extra. Each version that is kept is charged for, in use or not.
    """
    seconds = HOURS_PER_MONTH * 3600
    per_gb = versions * seconds * SNAPSTART_CACHE_GB_SECOND + restores * SNAPSTART_RESTORE_GB
    return memory_mb / 1024 * per_gb


def choose_sagemaker_serverless_mb(memory_mb: float) -> int:
    """Return the smallest SageMaker Serverless size that is enough; raise ValueError if none is."""
    size = next((size for size in SAGEMAKER_SERVERLESS_MB if size >= memory_mb), None)
    if size is None:
        raise ValueError(
            f"SageMaker Serverless has up to {SAGEMAKER_SERVERLESS_MB[-1]} MB, not {memory_mb:g}"
        )
    return size


def price_sagemaker_serverless_million(memory_mb: float, warm_ms: float) -> float:
    """Return USD of compute for a million requests on SageMaker Serverless Inference.

    Its memory comes in whole GB, up to 6. Raises ValueError for more.
    """
    size = choose_sagemaker_serverless_mb(memory_mb)
    return 1e6 * count_gb_seconds(size, warm_ms) * SAGEMAKER_SERVERLESS_GB_SECOND


def price_sagemaker_month(instance: str, count: int = 1) -> float:
    """Return USD a month for a real-time endpoint of so many instances, which are always on."""
    return count * HOURS_PER_MONTH * SAGEMAKER_HOUR[instance]


def price_fargate_month(
    processor: Processor, tasks: int = 2, vcpus: float = 1, gb: float = 2
) -> float:
    """Return USD a month for containers behind a load balancer, all always on."""
    task = vcpus * FARGATE_VCPU_HOUR[processor] + gb * FARGATE_GB_HOUR[processor]
    return HOURS_PER_MONTH * (tasks * task + LOAD_BALANCER_HOUR)


def find_break_even(month_usd: float, million_usd: float, standing_usd: float = 0) -> float:
    """Return up to how many million predictions a month it is cheaper to pay for each one.

    `standing_usd` is paid each month in addition; if that alone is more, the answer is 0.
    """
    return max(0, month_usd - standing_usd) / million_usd
