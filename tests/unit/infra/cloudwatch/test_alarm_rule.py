"""The rule of a composite alarm, on the examples of CloudWatch's own documentation and beyond."""

import pytest

from infra.cloudwatch.alarm_rule import is_met, list_alarms
from infra.cloudwatch.alarms import AlarmError

STATES = {"high": "ALARM", "fine": "OK", "new one": "INSUFFICIENT_DATA"}


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ('ALARM("high")', True),
        ("ALARM(high)", True),
        ("ALARM( high )", True),
        ('ALARM("arn:aws:cloudwatch:eu-west-1:123456789012:alarm:high")', True),
        ('OK("fine")', True),
        ('INSUFFICIENT_DATA("new one")', True),
        ('ALARM("fine")', False),
        ('ALARM("absent") OR OK("absent")', False),
        ('ALARM("fine") OR ALARM("high")', True),
        ('ALARM("fine") AND ALARM("high")', False),
        ("ALARM(high) AND NOT ALARM(fine)", True),
        ("(ALARM(high) OR ALARM(fine)) AND OK(high)", False),
        ("ALARM(high) OR ALARM(fine) AND OK(high)", True),
        ("TRUE", True),
        ("NOT TRUE OR FALSE", False),
        ("ALARM(fine) OR\n  ALARM(high)", True),
    ],
)
def test_says_whether_it_goes_to_alarm(rule: str, expected: bool) -> None:
    assert is_met(rule, STATES) is expected


@pytest.mark.parametrize(
    "rule",
    ["", "ALARM()", "high", "ALARM(high) XOR OK(fine)", "ALARM(high", "1", "NOT", "TRUE OR 1"],
)
def test_refuses_what_is_no_rule(rule: str) -> None:
    with pytest.raises(AlarmError, match="is not the rule of a composite alarm"):
        is_met(rule, STATES)


def test_lists_the_alarms_of_a_rule() -> None:
    assert list_alarms('ALARM("a") OR (OK(b) AND NOT ALARM("arn:aws:x:alarm:c"))') == [
        "a",
        "b",
        "c",
    ]
