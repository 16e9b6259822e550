"""The request that shows how to call a model: the example of its model.json, or zeros.

It holds nobody's data: examples are made up, and golden requests, which may hold rows of samples,
are never shown.
"""

import math
from collections.abc import Mapping
from typing import Any


def make_example_request(contract: Mapping[str, Any]) -> dict[str, Any]:
    """Return an Open Inference request, in its JSON form, for the model of `contract`."""
    if example := contract.get("example"):
        return make_request(contract, example)
    needed = [tensor for tensor in contract["inputs"] if not tensor.get("optional")]
    return {"inputs": [_make_zeros(tensor) for tensor in needed]}


def make_request(contract: Mapping[str, Any], inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the Open Inference request, in its JSON form, that brings `inputs`.

    They are nested lists by name, as in model.json; a scalar is a value without brackets.
    """
    return {
        "inputs": [
            {
                "name": name,
                "shape": _measure(inputs[name]),
                "datatype": tensor["datatype"],
                "data": inputs[name] if isinstance(inputs[name], list) else [inputs[name]],
            }
            for tensor in contract["inputs"]
            if (name := tensor["name"]) in inputs
        ]
    }


def _make_zeros(tensor: Mapping[str, Any]) -> dict[str, Any]:
    """Return an input of zeros, empty texts, or first categories; any length is 1."""
    shape = [abs(length) for length in tensor["shape"]]
    zero: Any = {"BOOL": False, "BYTES": ""}.get(tensor["datatype"], 0)
    columns = tensor.get("column_categories") or [tensor.get("categories")]
    row = [categories[0] if categories else zero for categories in columns]
    data = [row[i % len(row)] for i in range(math.prod(shape))]
    return {"name": tensor["name"], "shape": shape, "datatype": tensor["datatype"], "data": data}


def _measure(data: Any) -> list[int]:
    return [len(data), *(_measure(data[0]) if data else [])] if isinstance(data, list) else []
