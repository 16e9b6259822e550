"""Prices stand in infra/prices.py; where another file has to repeat one, it is the same."""

import pytest

from infra.prices import HTTP_API_REQUEST, LAMBDA_GB_SECOND, LAMBDA_REQUEST
from tests.sam_template import parse, properties

UNIT = 1e10  # the dashboard has prices of a million, in USD / 10000


def test_dashboard_has_the_prices_of_the_table() -> None:
    # GIVEN what the dashboard's expression of cost is filled with
    _, variables = properties(parse(), "Dashboard")["DashboardBody"]["Fn::Sub"]
    # THEN both processors and a request are as in the table
    condition, arm, x86 = variables["GbSecond"]["Fn::If"]
    assert condition == "IsArm"
    assert float(arm) == pytest.approx(LAMBDA_GB_SECOND["arm64"] * UNIT)
    assert float(x86) == pytest.approx(LAMBDA_GB_SECOND["x86_64"] * UNIT)
    request = LAMBDA_REQUEST + HTTP_API_REQUEST
    assert float(variables["Request"]) == pytest.approx(request * UNIT)


def test_dashboard_has_the_memory_of_the_function() -> None:
    template = parse()
    memory = properties(template, "InferenceFunction")["MemorySize"]
    _, variables = properties(template, "Dashboard")["DashboardBody"]["Fn::Sub"]
    assert variables["Gb"] == f"{memory} / 1024"
