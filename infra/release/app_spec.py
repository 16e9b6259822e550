"""CodeDeploy's AppSpec of a Lambda function: from which version a deployment goes to which."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import yaml

from infra.release.errors import ReleaseError

FUNCTION = "aws::lambda::function"


class Shift(NamedTuple):
    """The versions that a deployment goes from and to, by their numbers."""

    current: str
    target: str


def read_app_spec(revision: Mapping[str, Any]) -> Shift:
    """Read the versions out of a deployment's revision, which holds an AppSpec as JSON or YAML.

    The case of keys does not matter, and `Resources` may be a list or a mapping: AWS's reference
    has both. Raises ReleaseError, which says what is wrong, unless there is exactly one function
    with both versions.
    Sources: docs.aws.amazon.com/codedeploy/latest/APIReference/API_RevisionLocation.html and
    .../userguide/reference-appspec-file-structure-resources.html.
    """
    held = revision.get("appSpecContent") or revision.get("string") or {}
    if not held.get("content"):
        kind = revision.get("revisionType", "unknown")
        raise ReleaseError(f"its revision of type {kind} holds no AppSpec")
    try:
        spec = yaml.safe_load(held["content"])
    except yaml.YAMLError as error:
        raise ReleaseError("its AppSpec is neither JSON nor YAML") from error
    functions = list(_list_functions(_lower(spec).get("resources")))
    if len(functions) != 1:
        raise ReleaseError(f"its AppSpec has {len(functions)} Lambda functions, expected one")
    return Shift(*(_read_number(functions[0], key) for key in ("CurrentVersion", "TargetVersion")))


def _list_functions(resources: Any) -> Iterator[Mapping[str, Any]]:
    """Yield the properties of each Lambda function, with their names in lower case."""
    entries = resources if isinstance(resources, list) else [resources]
    for entry in entries:
        for resource in map(_lower, entry.values() if isinstance(entry, Mapping) else ()):
            if str(resource.get("type", "")).lower() == FUNCTION:
                yield _lower(resource.get("properties"))


def _lower(value: Any) -> Mapping[str, Any]:
    """Return a mapping with its keys in lower case; of anything else an empty one."""
    if not isinstance(value, Mapping):
        return {}
    return {str(key).lower(): one for key, one in value.items()}


def _read_number(properties: Mapping[str, Any], key: str) -> str:
    """Return a version's number; raise ReleaseError for anything else."""
    number = properties.get(key.lower())
    if isinstance(number, bool) or not str(number).isdecimal():
        raise ReleaseError(f"its AppSpec has {key} {number!r}, expected a version's number")
    return str(number)
