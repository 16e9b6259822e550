"""The logger, and every metric by name. Lanes alone use them: all else returns what it measured.

CloudWatch keeps the metrics of each dimension set apart, so an alarm sees nothing unless it names
one exactly (Amazon CloudWatch, "Embedded metric format"). The lane `api` has two sets, in which
nothing else is counted: one for dashboards and operation alarms, one for alarms that compare
versions. Other lanes have a set each, and the gate none, for it asks on behalf of no caller.
"""

import os
import sys

import msgspec
from aws_lambda_powertools import Logger
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.metrics.provider.cloudwatch_emf.cloudwatch import (
    AmazonCloudWatchEMFProvider,
)

METRICS = {
    "Requests": MetricUnit.Count,  # on any route
    "Rows": MetricUnit.Count,  # that were predicted and answered
    "ClientErrors": MetricUnit.Count,  # answers with a 4xx status, on any route
    "ServerErrors": MetricUnit.Count,  # answers with a 5xx status, on any route
    "NonFiniteOutputs": MetricUnit.Count,
    "InferenceLatency": MetricUnit.Milliseconds,  # the model alone, in an answered request
    "RequestLatency": MetricUnit.Milliseconds,  # an answered request, from bytes to bytes
    "ColdStart": MetricUnit.Count,
    "ModelLoadTime": MetricUnit.Milliseconds,
    "ModelLoadFailures": MetricUnit.Count,
}
LATENCIES = ("InferenceLatency", "RequestLatency")

API = "api"
COUNTED = (API, "batch", "stream", "watch")
LANES = (*COUNTED, "gate")

MOST_VALUES = 100  # of a metric in one record (Amazon CloudWatch, "Embedded metric format")

logger = Logger(service=os.environ.get("POWERTOOLS_SERVICE_NAME", "inference"))


class Metrics:
    """Values of metrics on their way to the one record of a request, which is its log line, too."""

    def __init__(self, function_version: str) -> None:
        service = os.environ.get("POWERTOOLS_SERVICE_NAME", "inference")
        self._service = {"service": service}
        self._api_sets = [self._service, {**self._service, "function_version": function_version}]
        self._emf = AmazonCloudWatchEMFProvider(namespace="ServerlessOnnx", service=service)
        self._values: dict[str, list[float]] = {}

    def record(self, **values: float) -> None:
        """Add values of metrics, by name."""
        for name, value in values.items():
            self._values.setdefault(name, []).append(value)

    def flush(self, lane: str = API, **properties: str | int) -> None:
        """Write the values as those of `lane`, and `properties` with them.

        Nobody waits for the answers to lanes other than `api`, so their latencies are left out. Of
        a lane that is not counted, the gate or an unknown one, only the properties are written.
        """
        values, self._values = self._values, {}
        first, *others = self._api_sets
        if lane != API:
            first, others = {**self._service, "lane": lane}, []
            values = {name: held for name, held in values.items() if name not in LATENCIES}
        if lane not in COUNTED:
            _write({"level": "INFO", **first, **properties})
            return
        self._emf.dimension_sets = others
        for start in range(0, max(map(len, values.values()), default=0), MOST_VALUES):
            # All at once: metric by metric, Powertools would take three times as long.
            metrics = {
                name: {"Unit": METRICS[name].value, "Value": part}
                for name, held in values.items()
                if (part := held[start : start + MOST_VALUES])
            }
            _write(self._emf.serialize_metric_set(metrics, first, properties))


def _write(line: object) -> None:
    sys.stdout.write(f"{msgspec.json.encode(line).decode()}\n")
