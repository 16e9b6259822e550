"""What AWS charges: one table of prices, and the formulas that use it.

USD without tax and free tier, us-east-1, on-demand, first tier of each, as of November 2026:
aws.amazon.com/{lambda,api-gateway,cloudwatch,xray,kms,fargate,elasticloadbalancing}/pricing and
aws.amazon.com/sagemaker/ai/pricing. No formula includes the storage of logs (0.03 for each GB and
month, compressed) and of packages (0.023 in S3), e-mails, data transfer, or the capacity units of a
load balancer.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any, Literal

type Processor = Literal["x86_64", "arm64"]

AS_OF, REGION = "November 2026", "us-east-1"
HOURS_PER_MONTH = 730

LAMBDA_REQUEST = 0.20e-6
LAMBDA_GB_SECOND: dict[Processor, float] = {"x86_64": 16.6667e-6, "arm64": 13.3334e-6}
# Provisioned concurrency: a GB-second of being provisioned, and one of running, which is added.
PROVISIONED_GB_SECOND: dict[Processor, float] = {"x86_64": 4.1667e-6, "arm64": 3.3334e-6}
PROVISIONED_RUN_GB_SECOND: dict[Processor, float] = {"x86_64": 9.7222e-6, "arm64": 7.7778e-6}
PROVISIONED_STEP_SECONDS = 300  # it is charged in steps of five minutes
SNAPSTART_CACHE_GB_SECOND = 1.5046e-6  # of each published version
SNAPSTART_RESTORE_GB = 139.7998e-6  # of each restore

HTTP_API_REQUEST = 1.00e-6  # of up to 512 KB

LOGS_GB = 0.50  # of ingestion; a GB is taken as 10^9 bytes, which never gives too little
# Measured on the local platform: the record of a request with Lambda's START, END and REPORT, and
# the line of the API's access log. Lambda adds about 80 bytes to REPORT when it traces a request.
FUNCTION_LOG_BYTES, ACCESS_LOG_BYTES = 980, 400
TRACE = 5.00e-6
# Lambda traces the first request of each second to a function, and this share of the others:
# docs.aws.amazon.com/lambda/latest/dg/services-xray.html.
TRACED_SHARE = 0.05

ALARM_METRIC_MONTH = 0.10  # for each metric that an alarm reads, also in metric math
COMPOSITE_ALARM_MONTH = 0.50
METRIC_MONTH = 0.30
METRIC_SERIES = 20  # ten metrics, each of the service and of the version that serves
DASHBOARD_MONTH = 3.00
KEY_MONTH = 1.00  # and once more for each of its first two yearly rotations

SAGEMAKER_SERVERLESS_GB_SECOND = 20e-6
SAGEMAKER_SERVERLESS_MB = (1024, 2048, 3072, 4096, 5120, 6144)  # sizes to choose from
SAGEMAKER_HOUR = {"ml.t3.medium": 0.05, "ml.m5.large": 0.115}
FARGATE_VCPU_HOUR: dict[Processor, float] = {"x86_64": 0.04048, "arm64": 0.03238}
FARGATE_GB_HOUR: dict[Processor, float] = {"x86_64": 0.004445, "arm64": 0.00356}
LOAD_BALANCER_HOUR = 0.0225


def count_gb_seconds(memory_mb: float, milliseconds: float) -> float:
    """Return the GB-seconds of one invocation, whose time is rounded up to whole milliseconds."""
    return memory_mb / 1024 * math.ceil(milliseconds) / 1000


def price_million_predictions(  # noqa: PLR0913 what the price depends on
    memory_mb: float,
    processor: Processor,
    warm_ms: float,
    *,
    cold_share: float = 0,
    cold_ms: float = 0,
    http_api: bool = True,
) -> float:
    """Return USD for a million requests on Lambda, with their logs and traces.

    `warm_ms` is the billed time of a warm request. `cold_share` (0 to 1) of the requests meet a
    cold start, which adds `cold_ms` of initialisation; AWS bills these since August 2025.
    """
    gb_seconds = count_gb_seconds(memory_mb, warm_ms)
    gb_seconds += cold_share * count_gb_seconds(memory_mb, cold_ms)
    request = LAMBDA_REQUEST + price_logs(1) + TRACED_SHARE * TRACE
    if http_api:
        request += HTTP_API_REQUEST + price_logs(0, 1)
    return 1e6 * (request + gb_seconds * LAMBDA_GB_SECOND[processor])


def price_logs(invocations: float, api_requests: float = 0) -> float:
    """Return USD for the logs of so many invocations and requests to the API."""
    written = invocations * FUNCTION_LOG_BYTES + api_requests * ACCESS_LOG_BYTES
    return written / 1e9 * LOGS_GB


def price_traces(requests: float, seconds: float) -> float:
    """Return USD for the traces of requests, with at least one request in each of the seconds."""
    first = min(requests, seconds)
    return TRACE * (first + TRACED_SHARE * (requests - first))


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


def price_provisioned(
    memory_mb: float, processor: Processor, environments: float, seconds: float
) -> float:
    """Return USD to keep environments provisioned for a time, rounded up to five minutes.

    The requests that they answer cost extra, at PROVISIONED_RUN_GB_SECOND.
    """
    charged = math.ceil(seconds / PROVISIONED_STEP_SECONDS) * PROVISIONED_STEP_SECONDS
    return environments * memory_mb / 1024 * charged * PROVISIONED_GB_SECOND[processor]


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
