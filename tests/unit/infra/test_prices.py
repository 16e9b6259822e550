"""What things cost, worked out by hand from AWS's price pages."""

import pytest

from infra.prices import (
    count_gb_seconds,
    price_logs,
    price_million_predictions,
    price_provisioned,
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


def test_provisioned_environments_are_charged_in_steps_of_five_minutes() -> None:
    # GIVEN 2 environments of 2 GB for an hour and a second
    usd = price_provisioned(2048, "x86_64", 2, 3601)
    # THEN it is an hour and five minutes
    assert usd == pytest.approx(2 * 2 * 3900 * 4.1667e-6)


def test_a_provisioned_environment_for_a_month() -> None:
    # THEN one of one vCPU, as published calculations have it
    assert price_provisioned(1769, "x86_64", 1, 730 * 3600) == pytest.approx(18.92, abs=0.01)
