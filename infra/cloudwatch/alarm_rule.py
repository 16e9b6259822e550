"""The rule of a composite alarm: for which states of other alarms it goes to ALARM.

Source: docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutCompositeAlarm.html.
"""

import ast
import re
from collections.abc import Mapping

from infra.cloudwatch.alarms import AlarmError

CHILD = re.compile(r'\b(ALARM|OK|INSUFFICIENT_DATA)\s*\(\s*(?:"([^"]+)"|([^"()]+?))\s*\)')
# Python's grammar has the same precedence as alarm rules, with other words.
PYTHON_WORDS = {"AND": "and", "OR": "or", "NOT": "not", "TRUE": "True", "FALSE": "False"}


def list_alarms(rule: str) -> list[str]:
    """Return the names of the alarms in a rule."""
    return [_name(child) for child in CHILD.finditer(rule)]


def is_met(rule: str, states: Mapping[str, str]) -> bool:
    """Return whether a rule holds. An alarm that is missing from `states` is in no state.

    Raises AlarmError if the text is not a rule.
    """

    def is_in_state(child: re.Match[str]) -> str:
        return str(states.get(_name(child)) == child[1])

    python = CHILD.sub(is_in_state, rule)
    python = re.sub(r"\b[A-Z]+\b", lambda word: PYTHON_WORDS.get(word[0], word[0]), python)
    try:
        return _decide(ast.parse(" ".join(python.split()), mode="eval").body)
    except (SyntaxError, ValueError) as error:
        raise AlarmError(f"'{rule}' is not the rule of a composite alarm") from error


def _name(child: re.Match[str]) -> str:
    """Return the name of an alarm, which may be given as an ARN."""
    text: str = child[2] or child[3]
    return text.rpartition(":alarm:")[2]


def _decide(node: ast.AST) -> bool:
    match node:
        case ast.Constant(value=bool() as value):
            return value
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return not _decide(operand)
        case ast.BoolOp(op=operator, values=nodes):
            values = [_decide(one) for one in nodes]  # all, so that no wrong part is missed
            return all(values) if isinstance(operator, ast.And) else any(values)
    raise ValueError(ast.unparse(node))
