"""Arrays and contracts as JSON."""

import json
from typing import Any

import numpy as np

from infra.model.tensor import Array

LINE = 96  # characters of JSON on one line


def to_lists(array: Array) -> Any:
    """Return an array as nested lists, each number in the fewest digits that give it back."""
    if array.dtype in (np.float16, np.float32):
        return array.astype(str).astype(np.float64).tolist()
    return array.tolist()


def to_json(value: Any, indent: str = "") -> str:
    """Write JSON with one line for whatever fits on it, and for each list of numbers."""
    flat = json.dumps(value)
    is_list = isinstance(value, list) and any(isinstance(part, dict | list) for part in value)
    if not (is_list or isinstance(value, dict)) or len(indent) + len(flat) <= LINE:
        return flat
    inner = f"{indent}  "
    if isinstance(value, dict):
        parts = [f"{json.dumps(key)}: {to_json(part, inner)}" for key, part in value.items()]
    else:
        parts = [to_json(part, inner) for part in value]
    body = f",\n{inner}".join(parts)
    return f"{flat[0]}\n{inner}{body}\n{indent}{flat[-1]}"
