"""The parts of an ONNX graph: nodes, their operators, inputs and attributes."""

from collections.abc import Iterator
from typing import Any

from onnx import ModelProto, NodeProto, TensorProto, helper

ML = "ai.onnx.ml"  # the domain of the operators for classical machine learning


def to_text(value: str | bytes) -> str:
    """Return a text of a model; protobuf gives bytes where it is not UTF-8."""
    return value.decode(errors="backslashreplace") if isinstance(value, bytes) else value


def list_operators(model: ModelProto) -> Iterator[tuple[str, str]]:
    """Yield the domain and name of each node's operator, those of subgraphs and functions too."""
    for node in walk(model, NodeProto):
        yield node.domain, node.op_type


def walk[Part](message: Any, kind: type[Part]) -> Iterator[Part]:
    """Yield every part of a kind, at any depth: nodes and functions hold graphs of their own."""
    for field, value in message.ListFields():
        if field.message_type is not None:
            for part in value if field.is_repeated else [value]:
                if isinstance(part, kind):
                    yield part
                yield from walk(part, kind)


def name_operator(node: NodeProto) -> str:
    """Return the operator's name, as domain:name unless it is a standard operator."""
    return node.op_type if node.domain in {"", "ai.onnx"} else f"{node.domain}:{node.op_type}"


def name_input(node: NodeProto, place: int) -> str:
    """Return the name of an input, or "" if the node has no such input."""
    return node.input[place] if place < len(node.input) else ""


def read_integer(node: NodeProto, name: str, default: int = 0) -> int:
    """Return the value of an attribute."""
    return next((one.i for one in node.attribute if one.name == name), default)


def read_integers(node: NodeProto, name: str) -> list[int]:
    """Return the values of an attribute; none if the node does not have it."""
    return next((list(one.ints) for one in node.attribute if one.name == name), [])


def list_constants(node: NodeProto) -> Iterator[TensorProto]:
    """Yield the tensor of a Constant node, if it is a dense one of numbers."""
    for one in node.attribute:
        match one.name:
            case "value":
                yield one.t
            case "value_int":
                yield helper.make_tensor("", TensorProto.INT64, [], [one.i])
            case "value_ints":
                yield helper.make_tensor("", TensorProto.INT64, [len(one.ints)], one.ints)
            case "value_floats":
                yield helper.make_tensor("", TensorProto.FLOAT, [len(one.floats)], one.floats)
