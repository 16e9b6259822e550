"""What callers of a version rely on, and whether another version still keeps it."""

from collections.abc import Callable, Iterator

from msgspec import Struct

from serving.manifest import DYNAMIC, Manifest, Tensor


class TensorMetadata(Struct, frozen=True):
    """An input or output, as a version tells it."""

    name: str
    datatype: str
    shape: list[int]


class ModelMetadata(Struct, frozen=True):
    """What `GET /v2/models/{name}` tells."""

    name: str
    versions: list[str]
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]
    properties: dict[str, str]


def find_breaks(old: ModelMetadata, new: Manifest) -> Iterator[str]:
    """Yield what of a caller's code for `old` would break with `new`, a phrase each."""
    if new.name != old.name:
        yield f"the model '{old.name}' is called '{new.name}' now"
    yield from _compare("input", old.inputs, new.inputs, _takes)
    yield from _compare("output", old.outputs, new.outputs, _resembles)
    known = {tensor.name for tensor in old.inputs}
    for tensor in new.inputs:
        if not tensor.optional and tensor.name not in known:
            yield f"input '{tensor.name}' is new and not optional"


def _compare(
    kind: str,
    old: list[TensorMetadata],
    new: list[Tensor],
    fits: Callable[[list[int], list[int]], bool],
) -> Iterator[str]:
    tensors = {tensor.name: tensor for tensor in new}
    for before in old:
        now = tensors.get(before.name)
        if now is None:
            yield f"{kind} '{before.name}' is gone"
        elif now.datatype != before.datatype:
            yield f"{kind} '{before.name}' is {now.datatype} now, it was {before.datatype}"
        elif not fits(now.shape, before.shape):
            yield f"{kind} '{before.name}' has shape {now.shape} now, it had {before.shape}"


def _takes(new: list[int], old: list[int]) -> bool:
    """Tell whether an input of shape `new` takes all that one of shape `old` did."""
    return len(new) == len(old) and all(
        now in {DYNAMIC, before} for now, before in zip(new, old, strict=True)
    )


def _resembles(new: list[int], old: list[int]) -> bool:
    """Tell whether an output can have both shapes: exporters know more or less of the same one."""
    return len(new) == len(old) and all(
        DYNAMIC in pair or pair[0] == pair[1] for pair in zip(new, old, strict=True)
    )
