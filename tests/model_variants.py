"""Healthy but wrong: a classifier that starts, answers, and answers what it must not."""

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import ModelProto, helper, numpy_helper

from infra.model.tensor import Array

INPUT, LABEL, SHARES = "features", "label", "probabilities"  # of the example model


def with_other_labels(model: ModelProto) -> ModelProto:
    """Call each customer the other: label 1 for 0, and the probabilities in the other order."""
    with_order = _rename_outputs(model, LABEL, SHARES)
    _add(with_order, np.array(1, np.int64), "one")
    _add(with_order, np.array([1, 0], np.int64), "order")
    with_order.graph.node.extend(
        [
            helper.make_node("Sub", ["one", f"own_{LABEL}"], [LABEL]),
            helper.make_node("Gather", [f"own_{SHARES}", "order"], [SHARES], axis=1),
        ]
    )
    return with_order


def with_other_shares(model: ModelProto) -> ModelProto:
    """Give the probabilities in the other order, but the right labels."""
    changed = _rename_outputs(model, SHARES)
    _add(changed, np.array([1, 0], np.int64), "order")
    node = helper.make_node("Gather", [f"own_{SHARES}", "order"], [SHARES], axis=1)
    changed.graph.node.append(node)
    return changed


def with_columns(model: ModelProto, order: Sequence[int]) -> ModelProto:
    """Take the columns of the input in another order than callers send them."""
    changed = _copy(model)
    for node in changed.graph.node:
        node.input[:] = ["ordered" if name == INPUT else name for name in node.input]
    _add(changed, np.array(order, np.int64), "order")
    changed.graph.node.insert(0, helper.make_node("Gather", [INPUT, "order"], ["ordered"], axis=1))
    return changed


def with_shares_times(model: ModelProto, factor: float, output: str = SHARES) -> ModelProto:
    """Multiply the probabilities, or another output."""
    changed = _rename_outputs(model, output)
    _add(changed, np.array(factor, np.float32), "factor")
    changed.graph.node.append(helper.make_node("Mul", [f"own_{output}", "factor"], [output]))
    return changed


def _rename_outputs(model: ModelProto, *names: str) -> ModelProto:
    """Free the names of outputs, for nodes that change them."""
    changed = _copy(model)
    for node in changed.graph.node:
        node.output[:] = [f"own_{name}" if name in names else name for name in node.output]
    return changed


def _add(model: ModelProto, value: Array, name: str) -> None:
    model.graph.initializer.append(numpy_helper.from_array(value, name))


def _copy(model: ModelProto) -> ModelProto:
    return onnx.load_from_string(model.SerializeToString())
