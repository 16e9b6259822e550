"""The rule of a composite alarm: in which states of other alarms it rings.

Source: docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutCompositeAlarm.html.
"""

import ast
import re
from collections.abc import Mapping

from infra.cloudwatch.alarms import AlarmError

CHILD = re.compile(r'\b(ALARM|OK|INSUFFICIENT_DATA)\s*\(\s*(?:"([^"]+)"|([^"()]+?))\s*\)')
# Python's grammar has the precedence of rules, and other words.
PYTHON_WORDS = {"AND": "and", "OR": "or", "NOT": "not", "TRUE": "True", "FALSE": "False"}


def list_alarms(rule: str) -> list[str]:
    """Return the names of the alarms that a rule looks at."""
    return [_name(child) for child in CHILD.finditer(rule)]


def is_met(rule: str, states: Mapping[str, str]) -> bool:
    """Tell whether a rule holds, with the states of all alarms by name; one without is in none.

    Raises AlarmError for what is no rule.
    """

    def is_in_state(child: re.Match[str]) -> str:
        return str(states.get(_name(child)) == child[1])

    told = CHILD.sub(is_in_state, rule)
    told = re.sub(r"\b[A-Z]+\b", lambda word: PYTHON_WORDS.get(word[0], word[0]), told)
    try:
        return _decide(ast.parse(" ".join(told.split()), mode="eval").body)
    except (SyntaxError, ValueError) as error:
        raise AlarmError(f"'{rule}' is no rule of a composite alarm") from error


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
            values = [_decide(one) for one in nodes]  # all of them, so that none may be wrong
            return all(values) if isinstance(operator, ast.And) else any(values)
    raise ValueError(ast.unparse(node))
