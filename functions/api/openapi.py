"""The OpenAPI description of one model: tensors, features, a working example, every error."""

import re
from typing import Any

from protocols import open_inference, scoring
from serving.manifest import Tensor
from serving.model import Model
from serving.tensors import DATATYPES

ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {"error": {"type": "string", "description": "What was wrong, and where."}},
}
ERRORS = {
    400: "The request does not fit the protocol or the model's contract, or its inputs each other.",
    404: "No such model or version.",
    405: "No such method here.",
    413: "More rows, elements or bytes than the model's limits allow.",
    415: "A content type or content encoding that is not understood here.",
    500: "The model or the service failed.",
}
HEADER_LENGTH = {
    "name": "Inference-Header-Content-Length",
    "in": "header",
    "required": False,
    "description": "Length of the JSON in bytes, when binary tensors come after it.",
    "schema": {"type": "integer", "minimum": 0},
}
BINARY_CONTENT = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
KINDS = {  # by numpy's kind of dtype
    "b": {"type": "boolean"},
    "i": {"type": "integer"},
    "u": {"type": "integer"},
    "O": {"type": "string"},
}


def describe(model: Model, path: str) -> dict[str, Any]:
    """Describe the route of a path, as arguments of FastAPI's `add_api_route`."""
    infers, scores = path.endswith("/infer"), path == "/invocations"
    names = re.findall(r"{(\w+)}", path)
    extra: dict[str, Any] = {"parameters": [_path_parameter(model, name) for name in names]}
    errors = {405, 500} | ({404} if names else set())
    if infers:
        errors |= {400, 413, 415}
        extra["parameters"].append(HEADER_LENGTH)
        extra["requestBody"] = _request_body(model)
    if scores:
        errors |= {400, 413, 415}
        example = scoring.example_request(model)
        content: dict[str, Any] = {
            "application/json": {"schema": {"type": "object"}, "example": example},
            "text/csv": {"schema": {"type": "string"}},
            "application/x-npy": {"schema": {"type": "string", "format": "binary"}},
            **BINARY_CONTENT,  # compressed JSON
        }
        extra["requestBody"] = {"required": True, "content": content}
    responses = {status: _json(ERRORS[status], ERROR) for status in sorted(errors)}
    success = _json("Success.", {"type": ["object", "array"]})
    if infers:
        success = _json("Success.", _response(model))
        success["content"] |= BINARY_CONTENT
    return {"openapi_extra": extra, "responses": {200: success, **responses}}


def _path_parameter(model: Model, name: str) -> dict[str, Any]:
    served = getattr(model.manifest, name)
    schema = {"type": "string", "enum": [served], "default": served}
    return {"name": name, "in": "path", "required": True, "schema": schema}


def _request_body(model: Model) -> dict[str, Any]:
    inputs = model.manifest.inputs
    required = [tensor for tensor in inputs if not tensor.optional]
    json: dict[str, Any] = {
        "schema": {
            "type": "object",
            "required": ["inputs"],
            "properties": {
                "id": {"type": "string", "description": "Comes back with the answer."},
                "inputs": {
                    "type": "array",
                    "minItems": len(required),
                    "maxItems": len(inputs),
                    "items": {"anyOf": [_tensor(tensor) for tensor in inputs]},
                },
                "outputs": {
                    "type": "array",
                    "description": "The outputs that are wanted; without it, all.",
                    "items": {
                        "type": "object",
                        "required": ["name"],
                        "properties": {"name": {"enum": list(model.outputs)}},
                    },
                },
            },
        }
    }
    example = open_inference.example_request(model)
    if example:
        json["example"] = example
    return {"required": True, "content": {"application/json": json, **BINARY_CONTENT}}


def _response(model: Model) -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["model_name", "model_version", "outputs"],
        "properties": {
            "model_name": {"const": model.manifest.name},
            "model_version": {"const": model.manifest.version},
            "id": {"type": "string"},
            "outputs": {
                "type": "array",
                "items": {"anyOf": [_tensor(tensor) for tensor in model.manifest.outputs]},
            },
        },
    }


def _tensor(tensor: Tensor) -> dict[str, Any]:
    """Describe the JSON form of a tensor; `data` may also be nested like `shape`."""
    described: dict[str, Any] = {
        "title": tensor.name,
        "type": "object",
        "required": ["name", "datatype", "shape", "data"],
        "properties": {
            "name": {"const": tensor.name},
            "datatype": {"const": tensor.datatype},
            "shape": {
                "description": f"{tensor.shape}, where -1 is any length.",
                "type": "array",
                "minItems": len(tensor.shape),
                "maxItems": len(tensor.shape),
                "items": {"type": "integer", "minimum": 0},
            },
            "data": {"type": "array", "items": {"anyOf": [_element(tensor), {"type": "array"}]}},
        },
    }
    columns = [
        f"{i}. `{feature.name}`: {feature.description or 'no description'}"
        + (f", in {feature.unit}" if feature.unit else "")
        + (
            f"; mostly {feature.minimum:g} to {feature.maximum:g} in training"
            if feature.minimum is not None and feature.maximum is not None
            else ""
        )
        for i, feature in enumerate(tensor.features)
    ] or [f"{i}. {label}" for i, label in enumerate(tensor.labels)]
    lines = ["Columns:", "", *columns] if columns else []
    lines += [
        f"Column {column} is an index from {low} to {high}."
        for column, (low, high) in tensor.index_ranges()
        if column is not None
    ] + [
        f"Column {column} is one of {len(categories)} categories."
        for column, categories in tensor.known_categories()
        if column is not None
    ]
    if lines:
        described["description"] = "\n".join(lines)
    return described


def _element(tensor: Tensor) -> dict[str, Any]:
    kind = DATATYPES[tensor.datatype].dtype.kind
    if tensor.categories is not None:
        return {"enum": tensor.categories}
    if tensor.index_range is None:
        return KINDS.get(kind, {"type": "number"})
    low, high = tensor.index_range
    if kind == "f":  # the model cuts fractions off
        return {"type": "number", "exclusiveMinimum": low - 1, "exclusiveMaximum": high + 1}
    return {"type": "integer", "minimum": low, "maximum": high}


def _json(description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}
