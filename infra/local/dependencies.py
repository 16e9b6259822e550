"""Which resources of a template depend on which."""

import re
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from graphlib import CycleError, TopologicalSorter
from typing import Any

from infra.local.errors import TemplateError

VARIABLE = re.compile(r"\$\{([A-Za-z0-9]+)(?:\.[^}]+)?\}")

type Needs = Mapping[str, AbstractSet[str]]


def find_needs(resources: Mapping[str, Any]) -> Needs:
    """Return the logical ids that each resource names."""
    return {name: set(_read_needs(resource, resources)) for name, resource in resources.items()}


def sort_by_needs(needs: Needs) -> Sequence[str]:
    """Return logical ids so that each comes after all that it needs; raise TemplateError."""
    try:
        return list(TopologicalSorter(needs).static_order())
    except CycleError as error:
        raise TemplateError(f"circular dependency between resources: {error.args[1]}") from error


def order_around(resources: Mapping[str, Any], *slow: str) -> tuple[Sequence[str], Sequence[str]]:
    """Return logical ids in an order in which CloudFormation can change them: two parts.

    The first need not wait for the resources `slow`: CloudFormation changes all that it can at the
    same time. The second must wait for one. Raises TemplateError if resources wait for each other.
    """
    needs = find_needs(resources)
    ordered = sort_by_needs(needs)
    waiting = set(slow)
    for name in ordered:
        if needs[name] & waiting:
            waiting.add(name)
    waiting_others = waiting.difference(slow)
    return (
        [name for name in ordered if name not in waiting],
        [name for name in ordered if name in waiting_others],
    )


def _read_needs(node: Any, resources: Mapping[str, Any]) -> Iterator[str]:
    """Yield the resources that are named by Ref, Fn::GetAtt, Fn::Sub or DependsOn."""
    match node:
        case {"Ref": str() as name} | {"Fn::GetAtt": [str() as name, *_]}:
            names = [name]
        case {"Fn::GetAtt": str() as text}:
            names = [text.partition(".")[0]]
        case {"Fn::Sub": str() as text}:
            names = VARIABLE.findall(text)
        case {"Fn::Sub": [str() as text, dict() as variables]}:
            names = [name for name in VARIABLE.findall(text) if name not in variables]
            yield from _read_needs(variables, resources)
        case dict():
            needed = node.get("DependsOn", [])
            names = [needed] if isinstance(needed, str) else list(needed)
            for child in node.values():
                yield from _read_needs(child, resources)
        case list():
            names = []
            for child in node:
                yield from _read_needs(child, resources)
        case _:
            names = []
    yield from (name for name in names if name in resources)
