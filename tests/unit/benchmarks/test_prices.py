"""What else AWS charges, worked out by hand from its price pages."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.benchmarks.prices import (
    find_break_even,
    price_fargate_month,
    price_sagemaker_month,
    price_sagemaker_serverless_million,
    price_snapstart_month,
    price_standing_month,
)


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
