"""Metric math, the expressions of CloudWatch's alarms and dashboards, as far as we use them.

Source: docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/using-metric-math.html. A series has
values for some of the times in question. Where only one operand has a value, the other counts as 0;
where an operation would divide by zero, the result has no value.
"""

import ast
import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Any

type Series = Mapping[datetime, float]
type Value = float | Series | list[Value]

# Python's grammar has the same precedence as metric math, with other logical operators.
PYTHON_WORDS = {"AND": " and ", "&&": " and ", "OR": " or ", "||": " or "}
OPERATIONS: Mapping[type[ast.AST], Callable[..., float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.USub: operator.neg,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.And: lambda *values: all(values),
    ast.Or: lambda *values: any(values),
}


class ExpressionError(ValueError):
    """An expression is wrong, or uses something that is not supported here."""


def calculate(
    wanted: str,
    expressions: Mapping[str, str],
    metrics: Mapping[str, Series],
    times: Sequence[datetime],
) -> Series:
    """Return the series whose id is `wanted`; `times` are all times in question, in order.

    Raises ExpressionError if an expression is wrong or not supported here.
    """
    if wanted in metrics:
        return metrics[wanted]
    if wanted not in expressions:
        raise ExpressionError(f"no metric or expression has the id '{wanted}'")
    expression = expressions[wanted]
    others = {key: value for key, value in expressions.items() if key != wanted}
    source = re.sub(r"\b(?:AND|OR)\b|&&|\|\|", lambda word: PYTHON_WORDS[word[0]], expression)
    lookup = partial(calculate, expressions=others, metrics=metrics, times=times)
    try:
        value = _value(ast.parse(source.strip(), mode="eval").body, lookup, times)
    except (SyntaxError, TypeError, ZeroDivisionError) as error:
        raise ExpressionError(f"'{expression}' cannot be calculated: {error}") from error
    if not isinstance(value, Mapping):
        raise ExpressionError(f"'{expression}' is not one time series")
    return value


def _value(node: ast.AST, lookup: Callable[[str], Series], times: Sequence[datetime]) -> Value:
    def values(nodes: Iterable[ast.AST]) -> list[Value]:
        return [_value(node, lookup, times) for node in nodes]

    match node:
        case ast.Constant(value=int() | float() as number):
            return float(number)
        case ast.Name(id=name):
            return lookup(name)
        case ast.List(elts=nodes):
            return values(nodes)
        case ast.Call(func=ast.Name(id=name), args=nodes) if name in FUNCTIONS:
            return FUNCTIONS[name](times, *values(nodes))
    operator_, operands = _operation(node)
    return _apply(OPERATIONS[type(operator_)], *values(operands))


def _operation(node: ast.AST) -> tuple[ast.AST, Sequence[ast.AST]]:
    match node:
        case ast.UnaryOp(op=ast.USub() as operator_, operand=operand):
            return operator_, [operand]
        case ast.BinOp(left=left, op=operator_, right=right) if type(operator_) in OPERATIONS:
            return operator_, [left, right]
        case ast.Compare(left=left, ops=[operator_], comparators=[right]) if (
            type(operator_) in OPERATIONS
        ):
            return operator_, [left, right]
        case ast.BoolOp(op=operator_, values=operands):
            return operator_, operands
    raise ExpressionError(f"'{ast.unparse(node)}' is not supported here")


def _apply(operation: Callable[..., float], *operands: Value) -> Value:
    """Apply an operation to numbers, or to series at each time that one of them has."""
    if any(isinstance(operand, list) for operand in operands):
        raise TypeError("an array can only be the argument of a function")
    series = [operand for operand in operands if isinstance(operand, Mapping)]
    if not series:
        return float(operation(*operands))
    result = {}
    for time in sorted(set[datetime]().union(*series)):
        with suppress(ZeroDivisionError):
            result[time] = float(operation(*(_at(time, operand, 0.0) for operand in operands)))
    return result


def _at(time: datetime, value: Value, missing: Any) -> Any:
    return value.get(time, missing) if isinstance(value, Mapping) else value


def _fill(times: Sequence[datetime], series: Value, filler: Value) -> Value:
    """Return the series with a value for each time: its own, or the filler's."""
    if not isinstance(series, Mapping):
        raise TypeError("FILL takes a time series")
    filled = {time: series.get(time, _at(time, filler, None)) for time in times}
    return {time: value for time, value in filled.items() if value is not None}


def _if(_: Sequence[datetime], condition: Value, yes: Value, no: Value | None = None) -> Value:
    """Return `yes` (or 0 where it has no value) where the condition is not 0, else `no`."""
    no = {} if no is None else no
    if not isinstance(condition, Mapping):
        return yes if condition else no
    chosen = {
        time: _at(time, yes, 0.0) if true else _at(time, no, None)
        for time, true in condition.items()
    }
    return {time: value for time, value in chosen.items() if value is not None}


def _aggregate(
    function: Callable[[Iterable[float]], float], _: Sequence[datetime], value: Value
) -> Value:
    """Reduce a series to a number, or an array of series to one series."""
    if isinstance(value, list):
        return _apply(lambda *numbers: function(numbers), *value)
    if isinstance(value, Mapping):
        return float(function(value.values() or [0.0]))
    raise TypeError("a time series or an array is expected")


FUNCTIONS: Mapping[str, Callable[..., Value]] = {
    "FILL": _fill,
    "IF": _if,
    "MAX": partial(_aggregate, max),
    "MIN": partial(_aggregate, min),
    "SUM": partial(_aggregate, sum),
    "TIME_SERIES": lambda times, number: _fill(times, {}, number),
}
