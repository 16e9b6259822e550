"""Values of a template's parameters: those that CloudFormation would refuse are refused."""

from typing import Any

import pytest

from infra.local.errors import TemplateError
from infra.local.template import give_values

NUMBER = {"Type": "Number", "MinValue": 1, "MaxValue": "10"}
NAME = {"Type": "String", "AllowedPattern": "[a-z]+", "MinLength": 2, "MaxLength": "4"}


@pytest.mark.parametrize(
    ("parameter", "value", "message"),
    [
        (NUMBER, "0", "Parameter 'P' must be a number not less than 1"),
        (NUMBER, "10.5", "Parameter 'P' must be a number not greater than 10"),
        (NUMBER, "many", "Parameter 'P' must be a number"),
        (NAME, "a", "Parameter 'P' must contain at least 2 characters"),
        (NAME, "abcde", "Parameter 'P' must contain at most 4 characters"),
        (NAME, "abC", r"Parameter 'P' must match pattern \[a-z\]\+"),
        (NAME, "ab\n", r"Parameter 'P' must match pattern \[a-z\]\+"),
        (NUMBER | {"Default": 11}, None, "Parameter 'P' must be a number not greater than 10"),
        (NUMBER | {"ConstraintDescription": "1 to 10."}, "0", "failed to satisfy constraint: 1 "),
        (NAME | {"AllowedPattern": "("}, "ab", "AllowedPattern of parameter P is no pattern"),
        ({**NAME, "Type": "CommaDelimitedList"}, "ab,abC", "must match pattern"),
    ],
)
def test_refuses_a_value_as_cloudformation_does(
    parameter: dict[str, Any], value: str | None, message: str
) -> None:
    given = {} if value is None else {"P": value}
    with pytest.raises(TemplateError, match=message):
        give_values({"P": parameter}, given)


def test_takes_values_within_their_limits() -> None:
    assert give_values({"P": NUMBER, "Q": NAME}, {"P": "10", "Q": "ab"}) == {"P": 10, "Q": "ab"}


def test_takes_what_nobody_knows_yet() -> None:
    given = {"P": "${Topic.Arn}", "Q": "${Other.Outputs.X}"}
    assert give_values({"P": NAME, "Q": NUMBER}, given) == given
