"""What things cost, worked out by hand from AWS's price pages."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.prices import (
    count_gb_seconds,
    find_break_even,
    price_fargate_month,
    price_logs,
    price_million_predictions,
    price_provisioned,
    price_sagemaker_month,
    price_sagemaker_serverless_million,
    price_snapstart_month,
    price_standing_month,
    price_traces,
)

# A million requests: Lambda, the API, 1.38 kB of logs, and the trace of one in twenty.
REQUESTS = 0.20 + 1.00 + 0.69 + 0.25


@pytest.mark.parametrize(("milliseconds", "billed"), [(1, 1), (1.01, 2), (24.2, 25), (0, 0)])
def test_a_run_is_billed_to_the_next_millisecond(milliseconds: float, billed: int) -> None:
    # THEN of one GB
    assert count_gb_seconds(1024, milliseconds) == pytest.approx(billed / 1000)


@pytest.mark.parametrize(
    ("processor", "usd"), [("x86_64", REQUESTS + 16.6667), ("arm64", REQUESTS + 13.3334)]
)
def test_a_million_seconds_of_a_gb_cost_what_the_page_says(processor: object, usd: float) -> None:
    assert price_million_predictions(1024, processor, 1000) == pytest.approx(usd)  # type: ignore[arg-type]


def test_one_cold_start_in_a_hundred_is_billed_with_its_initialisation() -> None:
    # GIVEN 1 GB, 100 ms warm, 1 % of requests with 2 s of initialisation
    cold = price_million_predictions(1024, "x86_64", 100, cold_share=0.01, cold_ms=2000)
    warm = price_million_predictions(1024, "x86_64", 100)
    # THEN a million requests have 10,000 x 2 s more
    assert cold - warm == pytest.approx(20_000 * 16.6667e-6)


def test_without_the_api_a_million_costs_a_dollar_and_its_log_less() -> None:
    with_api = price_million_predictions(1769, "arm64", 10)
    alone = price_million_predictions(1769, "arm64", 10, http_api=False)
    assert with_api - alone == pytest.approx(1 + 0.2)


def test_logs_are_charged_by_the_gigabyte() -> None:
    assert price_logs(1e6) == pytest.approx(0.98 * 0.5)
    assert price_logs(0, 1e6) == pytest.approx(0.4 * 0.5)


@pytest.mark.parametrize(
    ("requests", "traces"), [(100, 100), (3600, 3600), (3600 + 1000, 3650), (1e6, 3600 + 49_820)]
)
def test_one_request_a_second_is_traced_and_a_twentieth_of_the_others(
    requests: float, traces: float
) -> None:
    assert price_traces(requests, 3600) == pytest.approx(traces * 5e-6)


def test_what_stands_is_counted_in_the_template() -> None:
    # GIVEN an alarm on a metric, one on two metrics of an expression, and one on both
    stat = {"Id": "a", "MetricStat": {}}
    resources = {
        "A": {"Type": "AWS::CloudWatch::Alarm", "Properties": {"MetricName": "Errors"}},
        "B": {
            "Type": "AWS::CloudWatch::Alarm",
            "Properties": {"Metrics": [{"Id": "e", "Expression": "a / b"}, stat, stat]},
        },
        "C": {"Type": "AWS::CloudWatch::CompositeAlarm", "Properties": {"AlarmRule": "a"}},
        "K": {"Type": "AWS::KMS::Key"},
        "L": {"Type": "AWS::KMS::Key"},
    }
    assert price_standing_month([{"Resources": resources}]) == pytest.approx(
        {"alarms": 0.3 + 0.5, "metrics": 6, "dashboard": 0, "key": 2, "traces, up to": 13.14}
    )


def test_provisioned_environments_are_charged_in_steps_of_five_minutes() -> None:
    # GIVEN 2 environments of 2 GB for an hour and a second
    usd = price_provisioned(2048, "x86_64", 2, 3601)
    # THEN it is an hour and five minutes
    assert usd == pytest.approx(2 * 2 * 3900 * 4.1667e-6)


def test_a_provisioned_environment_for_a_month() -> None:
    # THEN one of one vCPU, as published calculations have it
    assert price_provisioned(1769, "x86_64", 1, 730 * 3600) == pytest.approx(18.92, abs=0.01)


def test_snapstart_is_charged_for_each_version_and_each_restore() -> None:
    usd = price_snapstart_month(1769, versions=3, restores=1000)
    one_version, restores = 1769 / 1024 * 730 * 3600 * 1.5046e-6, 0.2415
    assert usd == pytest.approx(3 * one_version + restores, rel=1e-3)


def test_sagemaker_serverless_takes_the_next_whole_gb() -> None:
    # GIVEN 1,769 MB, so 2 GB; 25 ms
    assert price_sagemaker_serverless_million(1769, 25) == pytest.approx(1.00)
    assert price_sagemaker_serverless_million(3072, 1000) == pytest.approx(60)


def test_sagemaker_serverless_ends_at_six_gb() -> None:
    with pytest.raises(ValueError, match="up to 6144 MB, not 7000"):
        price_sagemaker_serverless_million(7000, 25)


def test_what_is_always_on_is_charged_by_the_hour() -> None:
    assert price_sagemaker_month("ml.m5.large", 2) == pytest.approx(2 * 83.95)
    hour = 2 * (0.04048 + 2 * 0.004445) + 0.0225
    assert price_fargate_month("x86_64") == pytest.approx(730 * hour)


@given(month=st.floats(1, 1e4), million=st.floats(0.1, 1e3))
def test_at_the_break_even_both_cost_the_same(month: float, million: float) -> None:
    assert find_break_even(month, million) * million == pytest.approx(month)
    assert 1 + find_break_even(month, million, 1) * million == pytest.approx(max(1, month))
