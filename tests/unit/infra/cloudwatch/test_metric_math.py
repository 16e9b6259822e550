"""Metric math, on the examples of its own documentation and beyond."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest

from infra.cloudwatch.metric_math import ExpressionError, Series, calculate

TIMES = [datetime(2026, 11, 22, 12, tzinfo=UTC) + timedelta(minutes=i) for i in range(5)]


def series(notation: str) -> Series:
    """Read values, one a minute, as CloudWatch's documentation writes them; - is a missing one."""
    values = zip(TIMES, notation.split(), strict=False)
    return {time: float(value) for time, value in values if value != "-"}


METRICS: Mapping[str, Series] = {
    "metric1": series("30 20 0 0"),
    "metric2": series("20 - 20 -"),
    "condition": series("1 1 0 0 -"),
    "yes": series("30 - 0 0 30"),
    "no": series("0 0 20 - 20"),
    "errors": series("- 1 2 - 3"),
    "requests": series("10 10 4 - -"),
    "empty": series(""),
}


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        # The examples of the page "Using metric math".
        ("metric1 < metric2", "0 0 1 0"),
        ("metric1 >= 30", "1 0 0 0"),
        ("metric1 > 15 AND metric2 > 15", "1 0 0 0"),
        ("IF(condition, yes, no)", "30 0 20 - -"),
        ("IF(condition, 5, no)", "5 5 20 - -"),
        ("IF(condition, yes, 5)", "30 0 5 5 -"),
        # Missing values are 0, and a division by 0 gives no value.
        ("100 * errors / requests", "0 10 50 - -"),
        ("errors + requests", "10 11 6 - 3"),
        ("requests - errors", "10 9 2 - -3"),
        ("-errors", "- -1 -2 - -3"),
        ("2 * (errors + 1)", "- 4 6 - 8"),
        ("errors == requests", "0 0 0 - 0"),
        ("errors != 2 && errors <= 2", "- 1 0 - 0"),
        ("errors > 2 || errors == 1", "- 1 0 - 1"),
        ("errors > 2 OR errors == 1", "- 1 0 - 1"),
        ("IF(errors >= 2, 100 * errors / requests, 0)", "- 0 50 - 0"),
        ("IF(errors > 1, errors)", "- - 2 - 3"),
        ("IF(1, errors)", "- 1 2 - 3"),
        ("IF(0, errors)", "- - - - -"),
        ("FILL(errors, 0)", "0 1 2 0 3"),
        ("FILL(errors, requests)", "10 1 2 - 3"),
        ("FILL(empty, 7)", "7 7 7 7 7"),
        ("TIME_SERIES(4 / 2)", "2 2 2 2 2"),
        ("SUM([errors, requests])", "10 11 6 - 3"),
        ("MAX([errors, requests])", "10 10 4 - 3"),
        ("MIN([errors, 2])", "- 1 2 - 2"),
        ("errors / SUM(requests)", "- 0.041666666666666664 0.08333333333333333 - 0.125"),
        ("requests + SUM(empty)", "10 10 4 - -"),
        ("share * 2", "0 0.2 1 - -"),
    ],
)
def test_calculates_as_cloudwatch_documents(expression: str, expected: str) -> None:
    expressions = {"wanted": expression, "share": "errors / requests"}

    assert calculate("wanted", expressions, METRICS, TIMES) == series(expected)


def test_a_metric_needs_no_expression() -> None:
    assert calculate("errors", {}, METRICS, TIMES) == METRICS["errors"]


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("errors +", "'errors \\+' cannot be calculated: invalid syntax"),
        ("100", "'100' is not one time series"),
        ("SUM(errors)", "not one time series"),
        ("1 / 0", "division by zero"),
        ("[errors] + 1", "an array can only be the argument of a function"),
        ("absent / 2", "no metric or expression has the id 'absent'"),
        ("wanted + 1", "no metric or expression has the id 'wanted'"),
        ("FILL(1, 0)", "FILL takes a time series"),
        ("FILL(errors)", "missing 1 required positional argument"),
        ("SUM(1)", "a time series or an array is expected"),
        ("RATE(errors)", r"'RATE\(errors\)' is not supported here"),
        ("errors.real", r"'errors\.real' is not supported here"),
        ("errors % 2", "'errors % 2' is not supported here"),
        ("1 < errors < 2", "'1 < errors < 2' is not supported here"),
        ("__import__('os')", "is not supported here"),
        ("'text'", "'text'' is not supported here"),
    ],
)
def test_refuses_what_it_does_not_know(expression: str, message: str) -> None:
    with pytest.raises(ExpressionError, match=message):
        calculate("wanted", {"wanted": expression}, METRICS, TIMES)
