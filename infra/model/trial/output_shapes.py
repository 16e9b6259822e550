"""The real shapes of outputs for which the graph declares wrong ones.

onnxmltools, for example, declares LightGBM's `label` as [1] for any number of rows.
"""

from collections.abc import Sequence
from dataclasses import replace

from infra.model.graph.graph import Graph, rewrite
from infra.model.tensor import DYNAMIC, Shapes, Tensor, row_shape

UNKNOWN = -2  # a length about which the graph says nothing


def find_shapes(
    inputs: Sequence[Tensor], outputs: Sequence[Tensor], answers: Sequence[Shapes]
) -> dict[str, list[int]]:
    """Return the shape of each output that is declared with another one than `answers` have.

    Each of the answers is to a different number of rows, if the model takes more than one.
    """
    # A length that all answers share is fixed, unless an input that did not vary can change it.
    varied = [tensor["shape"] if len(answers) == 1 else row_shape(tensor) for tensor in inputs]
    is_fixed = not any(DYNAMIC in shape for shape in varied)
    found = {}
    for tensor in outputs if answers else ():
        seen = [answer[tensor["name"]] for answer in answers]
        shape = _find_shape(tensor["shape"], seen, is_fixed=is_fixed)
        if shape != tensor["shape"]:
            found[tensor["name"]] = shape
    return found


async def declare(graph: Graph, shapes: Shapes) -> Graph:
    """Return the graph with the real shapes of some outputs."""
    if not shapes:
        return graph
    declared = {tensor["name"]: tensor["shape"] for tensor in graph.outputs}
    changes = [
        f"output '{name}' is declared with the shape {declared[name]}, but the model returns "
        f"{shape} (-1: any length): corrected"
        for name, shape in shapes.items()
    ]
    return replace(
        graph,
        changed=await rewrite(graph.source, shapes),
        outputs=tuple(correct(tensor, shapes) for tensor in graph.outputs),
        changes=(*graph.changes, *changes),
    )


def correct(tensor: Tensor, shapes: Shapes) -> Tensor:
    """Return an output with its real shape; it keeps its labels if they fit the columns.

    It loses the names of its dimensions, which belong to the wrong declaration.
    """
    if tensor["name"] not in shapes:
        return tensor
    shape = shapes[tensor["name"]]
    keeps_labels = shape[-1:] == [len(tensor.get("labels", ()))]
    left_out = ("dimensions",) if keeps_labels else ("dimensions", "labels")
    return {key: value for key, value in tensor.items() if key not in left_out} | {"shape": shape}


def _find_shape(declared: list[int], seen: Sequence[list[int]], *, is_fixed: bool) -> list[int]:
    if len({len(shape) for shape in seen}) > 1:
        return declared  # no contract can say that the rank varies
    if len(declared) != len(seen[0]):
        declared = [UNKNOWN] * len(seen[0])
    return [
        _find_length(length, set(lengths), is_fixed=is_fixed)
        for length, lengths in zip(declared, zip(*seen, strict=True), strict=True)
    ]


def _find_length(declared: int, seen: set[int], *, is_fixed: bool) -> int:
    if declared == DYNAMIC or seen == {declared}:
        return declared
    return seen.pop() if is_fixed and len(seen) == 1 else DYNAMIC
