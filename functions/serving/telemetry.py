"""Logger and metrics, and every metric name. Nothing else builds a logger or a metric."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit

SERVICE = os.environ.get("POWERTOOLS_SERVICE_NAME", "inference")
FUNCTION_VERSION = os.environ.get("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")

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

MOST_VALUES = 100  # of a metric in one record (Amazon CloudWatch, "Embedded metric format")

logger = Logger(service=SERVICE)
_values: dict[str, list[float]] = {name: [] for name in METRICS}
_emf = Metrics(namespace="ServerlessOnnx", service=SERVICE).provider
_emf.add_dimensions(service=SERVICE, function_version=FUNCTION_VERSION)  # beside {service}


def record(**values: float) -> None:
    """Add values of metrics, by name, to this invocation's one EMF record.

    Where nobody flushes, as around a local server, the record is printed when it is full.
    """
    for name, value in values.items():
        if len(_values[name]) == MOST_VALUES:
            flush()
        _values[name].append(value)


@contextmanager
def timed(measured: dict[str, float], metric: str) -> Iterator[None]:
    """Put into `measured` how many milliseconds the block takes, if it succeeds."""
    started = time.perf_counter()
    yield
    measured[metric] = (time.perf_counter() - started) * 1e3


def flush(**properties: str | int) -> None:
    """Print the record, if there is one, with `properties` beside the metrics.

    It is the log line of the request, too: a second one would cost as much again. CloudWatch keeps
    each dimension set as metrics of their own, so an alarm sees nothing unless it names one of
    these two exactly (Amazon CloudWatch, "Embedded metric format"): one is for dashboards, one for
    the canary of a version.
    """
    # All at once: metric by metric, Powertools would take three times as long.
    metrics = {
        name: {"Unit": METRICS[name].value, "Value": values.copy()}
        for name, values in _values.items()
        if values
    }
    if metrics:
        for values in _values.values():
            values.clear()
        line = _emf.serialize_metric_set(metrics, {"service": SERVICE}, properties)
        sys.stdout.write(f"{msgspec.json.encode(line).decode()}\n")
