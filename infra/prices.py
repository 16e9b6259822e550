"""What AWS charges: one table of prices, and the formulas that use it.

USD without tax and free tier, us-east-1, on-demand, first tier of each, as of November 2026:
aws.amazon.com/{lambda,api-gateway,cloudwatch,xray}/pricing. No formula includes the storage of logs
(0.03 for each GB and month, compressed) and of packages (0.023 in S3), e-mails, or data transfer.
"""

import math
from typing import Literal

type Processor = Literal["x86_64", "arm64"]

AS_OF, REGION = "November 2026", "us-east-1"

LAMBDA_REQUEST = 0.20e-6
LAMBDA_GB_SECOND: dict[Processor, float] = {"x86_64": 16.6667e-6, "arm64": 13.3334e-6}
# Provisioned concurrency: a GB-second of being provisioned, and one of running, which is added.
PROVISIONED_GB_SECOND: dict[Processor, float] = {"x86_64": 4.1667e-6, "arm64": 3.3334e-6}
PROVISIONED_RUN_GB_SECOND: dict[Processor, float] = {"x86_64": 9.7222e-6, "arm64": 7.7778e-6}
PROVISIONED_STEP_SECONDS = 300  # it is charged in steps of five minutes

HTTP_API_REQUEST = 1.00e-6  # of up to 512 KB

LOGS_GB = 0.50  # of ingestion; a GB is taken as 10^9 bytes, which never gives too little
# Measured on the local platform: the record of a request with Lambda's START, END and REPORT, and
# the line of the API's access log. Lambda adds about 80 bytes to REPORT when it traces a request.
FUNCTION_LOG_BYTES, ACCESS_LOG_BYTES = 980, 400
TRACE = 5.00e-6
# Lambda traces the first request of each second to a function, and this share of the others:
# docs.aws.amazon.com/lambda/latest/dg/services-xray.html.
TRACED_SHARE = 0.05


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


def price_provisioned(
    memory_mb: float, processor: Processor, environments: float, seconds: float
) -> float:
    """Return USD to keep environments provisioned for a time, rounded up to five minutes.

    The requests that they answer cost extra, at PROVISIONED_RUN_GB_SECOND.
    """
    charged = math.ceil(seconds / PROVISIONED_STEP_SECONDS) * PROVISIONED_STEP_SECONDS
    return environments * memory_mb / 1024 * charged * PROVISIONED_GB_SECOND[processor]
