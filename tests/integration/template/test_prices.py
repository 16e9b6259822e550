"""A price that a file repeats is that of infra or of the benchmarks, in their prices.py."""

from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from infra.local.platform import serve
from infra.local.stack import read_stack
from infra.prices import (
    ACCESS_LOG_BYTES,
    FUNCTION_LOG_BYTES,
    HTTP_API_REQUEST,
    LAMBDA_GB_SECOND,
    LAMBDA_REQUEST,
    TRACE,
    TRACED_SHARE,
    price_logs,
)
from telemetry import METRICS
from tests.benchmarks.prices import METRIC_SERIES, price_standing_month
from tests.example_model import INFER, write_build
from tests.sam_template import parse, parse_monitoring, properties, translate

UNIT = 1e10  # the dashboard has prices of a million, in USD / 10000


def test_dashboard_has_the_prices_of_the_table() -> None:
    # GIVEN what the dashboard's expression of cost is filled with
    _, variables = properties(parse_monitoring(), "Dashboard")["DashboardBody"]["Fn::Sub"]
    # THEN both processors and a request are as in the table
    condition, arm, x86 = variables["GbSecond"]["Fn::If"]
    assert condition == "IsArm"
    assert float(arm) == pytest.approx(LAMBDA_GB_SECOND["arm64"] * UNIT)
    assert float(x86) == pytest.approx(LAMBDA_GB_SECOND["x86_64"] * UNIT)
    request = LAMBDA_REQUEST + HTTP_API_REQUEST + price_logs(1, 1) + TRACED_SHARE * TRACE
    assert float(variables["Request"]) == pytest.approx(request * UNIT)


async def test_a_request_writes_as_much_log_as_the_prices_assume(
    managed_python: Path, tmp_path: Path
) -> None:
    # GIVEN the built function, under a name as long as in production
    stack = read_stack(write_build(tmp_path / "build"), "serverless-onnx-prod", "us-east-1")
    # One environment in a hundred logs at DEBUG, which is more.
    environment = {**stack.function.environment, "POWERTOOLS_LOGGER_SAMPLE_RATE": "0"}
    stack = stack.with_function(replace(stack.function, environment=environment))
    async with (
        serve(stack, python=managed_python, directory=tmp_path / "run", watch=False) as local,
        httpx.AsyncClient(base_url=local.url) as client,
    ):
        tensor = {"name": "features", "datatype": "FP32", "shape": [1, 4], "data": [2, 12, 38, 20]}
        for _ in range(3):
            answer = await client.post(INFER, json={"inputs": [tensor]})
            assert answer.status_code == 200
        await local.flush()
    # WHEN the last request is looked at, for which nothing started
    log = (tmp_path / "run/logs/1.log").read_bytes()
    written = log[log.rindex(b"START RequestId") :]
    assert written.count(b"\n") == 4
    # THEN
    assert len(written) == pytest.approx(FUNCTION_LOG_BYTES, rel=0.05)


def test_an_access_log_line_is_as_long_as_the_prices_assume() -> None:
    # GIVEN what API Gateway puts into the line
    values = {
        "requestId": "JKJaXmPLvHcESHA=",
        "requestTimeEpoch": "1795543076027",
        "identity.userArn": "arn:aws:sts::123456789012:assumed-role/shop/i-0abcdef1234567890",
        "identity.sourceIp": "203.0.113.199",
        "httpMethod": "POST",
        "path": INFER,
        "status": "200",
        "responseLength": "214",
        "responseLatency": "12",
        "integrationLatency": "9",
        "integrationStatus": "200",
        "error.message": "-",
        "integrationErrorMessage": "-",
    }
    line = properties(parse(), "Api")["AccessLogSettings"]["Format"]
    for name in sorted(values, key=len, reverse=True):
        assert f"$context.{name}" in line
        line = line.replace(f"$context.{name}", values[name])
    assert "$context" not in line
    assert len(line) == pytest.approx(ACCESS_LOG_BYTES, rel=0.05)


def test_series_are_those_of_every_metric() -> None:
    service, version = (("service",), ("service", "function_version"))
    assert len(METRICS) * len((service, version)) == METRIC_SERIES


def test_what_stands_is_the_same_before_and_after_the_transform(
    built: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    costs = price_standing_month([translate(parse(), built), parse_monitoring()])
    assert costs == price_standing_month([parse(), parse_monitoring()])
    assert costs["alarms"] > 0
