"""Metrics of the local run in CloudWatch, with the dimensions that AWS gives them."""

import json
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from mypy_boto3_cloudwatch import CloudWatchClient

from infra.local.control.cloud import Cloud
from infra.local.platform import Platform
from tests import local_aws
from tests.tiny_stack import Starter

NAME = ("FunctionName", "shop-InferenceFunction")
RESOURCE = ("Resource", "shop-InferenceFunction:live")
EXECUTED = ("ExecutedVersion", "1")
API = ("ApiId", "local")
STAGE = ("Stage", "$default")

type Dimensions = tuple[tuple[str, str], ...]


def connect(local: Platform) -> CloudWatchClient:
    client: CloudWatchClient = local_aws.connect(local.cloud.variables(), "cloudwatch")
    return client


@pytest.fixture
def cloudwatch(local: Platform) -> CloudWatchClient:
    return connect(local)


def read(
    cloudwatch: CloudWatchClient, namespace: str, name: str, dimensions: Dimensions
) -> dict[str, Any]:
    """Return all statistics of the last hour, empty if there is no data."""
    now = datetime.now(UTC)
    points = cloudwatch.get_metric_statistics(
        Namespace=namespace,
        MetricName=name,
        Dimensions=[{"Name": key, "Value": value} for key, value in dimensions],
        StartTime=now - timedelta(hours=1),
        EndTime=now + timedelta(minutes=1),
        Period=7200,
        Statistics=["SampleCount", "Sum", "Minimum", "Maximum", "Average"],
    )["Datapoints"]
    return dict(points[0]) if points else {}


async def test_platform_metrics_count_every_request(
    client: httpx.AsyncClient, local: Platform, cloudwatch: CloudWatchClient
) -> None:
    # GIVEN three good requests, one that fails, one that crashes, and one without a route
    for path in ("/echo", "/echo", "/echo", "/raise", "/kill", "/"):
        await client.get(path)
    # WHEN the metrics are written
    await local.flush()
    # THEN Lambda's have all three dimension sets, each with every invocation once
    for dimensions in ((NAME,), (NAME, RESOURCE), (NAME, RESOURCE, EXECUTED)):
        sums = {
            metric: read(cloudwatch, "AWS/Lambda", metric, dimensions)["Sum"]
            for metric in ("Invocations", "Errors", "Throttles")
        }
        assert sums == {"Invocations": 5, "Errors": 2, "Throttles": 0}
        concurrency = read(cloudwatch, "AWS/Lambda", "ConcurrentExecutions", dimensions)
        assert concurrency["Maximum"] == 1
        duration = read(cloudwatch, "AWS/Lambda", "Duration", dimensions)
        assert (duration["SampleCount"], duration["Unit"]) == (5, "Milliseconds")
        assert 0 < duration["Minimum"] <= duration["Average"] <= duration["Maximum"]
    # AND API Gateway's have both of theirs
    for dimensions in ((API,), (API, STAGE)):
        sums = {
            metric: read(cloudwatch, "AWS/ApiGateway", metric, dimensions)["Sum"]
            for metric in ("Count", "4xx", "5xx")
        }
        assert sums == {"Count": 6, "4xx": 1, "5xx": 2}
        latency, integration = (
            read(cloudwatch, "AWS/ApiGateway", metric, dimensions)
            for metric in ("Latency", "IntegrationLatency")
        )
        assert (latency["SampleCount"], integration["SampleCount"]) == (6, 5)
        assert latency["Maximum"] >= integration["Maximum"] > 0


@pytest.mark.parametrize("dimensions", [(RESOURCE,), (NAME, EXECUTED), (NAME, RESOURCE, STAGE)])
async def test_other_dimension_sets_have_no_data(
    client: httpx.AsyncClient,
    local: Platform,
    cloudwatch: CloudWatchClient,
    dimensions: Dimensions,
) -> None:
    await client.get("/echo")
    await local.flush()
    assert read(cloudwatch, "AWS/Lambda", "Invocations", dimensions) == {}


async def test_throttled_requests_are_no_invocations(start: Starter) -> None:
    # GIVEN a limit of one execution
    local = await start(concurrency=1)
    cloudwatch = connect(local)
    async with httpx.AsyncClient(base_url=local.url) as client:
        # WHEN a function asks its own API while it runs THEN that request is throttled
        assert (await client.get("/ask", params={"url": f"{local.url}/echo"})).text == "503"
    await local.flush()
    sums = {
        metric: read(cloudwatch, "AWS/Lambda", metric, (NAME, RESOURCE, EXECUTED))["Sum"]
        for metric in ("Invocations", "Errors", "Throttles")
    }
    assert sums == {"Invocations": 1, "Errors": 0, "Throttles": 1}


async def test_emf_lines_become_metrics(
    client: httpx.AsyncClient, local: Platform, cloudwatch: CloudWatchClient
) -> None:
    # GIVEN a function that prints two records in embedded metric format
    record = {
        "_aws": {
            "Timestamp": int(time.time() * 1000),
            "CloudWatchMetrics": [
                {
                    "Namespace": "ServerlessOnnx",
                    "Dimensions": [["service"], ["service", "function_version"]],
                    "Metrics": [
                        {"Name": "Rows", "Unit": "Count"},
                        {"Name": "RequestLatency", "Unit": "Milliseconds"},
                    ],
                }
            ],
        },
        "service": "inference",
        "function_version": "1",
        "Rows": [3.0],
        "RequestLatency": [1.0, 5.0],
    }
    for _ in range(2):
        await client.post("/emf", json=record)
    # WHEN the metrics are written THEN both dimension sets have every value once
    await local.flush()
    service, version = ("service", "inference"), ("function_version", "1")
    for dimensions in ((service,), (version, service)):
        rows = read(cloudwatch, "ServerlessOnnx", "Rows", dimensions)
        assert (rows["Sum"], rows["SampleCount"], rows["Unit"]) == (6, 2, "Count")
        latency = read(cloudwatch, "ServerlessOnnx", "RequestLatency", dimensions)
        assert (latency["SampleCount"], latency["Minimum"], latency["Maximum"]) == (4, 1, 5)
    # AND a query by GetMetricData finds them whatever the order of the dimensions
    now = datetime.now(UTC)
    for order in ((service, version), (version, service)):
        metric: Any = {
            "Namespace": "ServerlessOnnx",
            "MetricName": "Rows",
            "Dimensions": [{"Name": name, "Value": value} for name, value in order],
        }
        [result] = cloudwatch.get_metric_data(
            MetricDataQueries=[
                {"Id": "rows", "MetricStat": {"Metric": metric, "Period": 7200, "Stat": "Sum"}}
            ],
            StartTime=now - timedelta(hours=1),
            EndTime=now + timedelta(minutes=1),
        )["MetricDataResults"]
        assert result["Values"] == [6]


async def test_metrics_are_listed_once(
    client: httpx.AsyncClient, local: Platform, cloudwatch: CloudWatchClient
) -> None:
    for _ in range(3):
        await client.get("/echo")
        await local.flush()
    listed = [
        (one["MetricName"], json.dumps(one["Dimensions"]))
        for one in cloudwatch.list_metrics(Namespace="AWS/Lambda")["Metrics"]
    ]
    assert len(listed) == len(set(listed)) == 5 * 3


def test_the_cloud_stops_though_its_server_was_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    # GIVEN a server that is down before it could be woken
    cloud = Cloud("eu-west-1")
    cloud.start(0)
    start = threading.Thread.start

    def start_and_wait(thread: threading.Thread) -> None:
        start(thread)
        thread.join()

    monkeypatch.setattr(threading.Thread, "start", start_and_wait)
    # WHEN it is stopped THEN nothing fails
    cloud.stop()
