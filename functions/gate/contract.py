"""What callers of a version rely on, and whether another version still keeps it."""

from collections.abc import Callable, Iterator, Sequence

from msgspec import Struct

from serving.manifest import DYNAMIC, Categories, Manifest, Range, Tensor


class TensorMetadata(Struct, frozen=True):
    """An input or output, as a version describes it."""

    name: str
    datatype: str
    shape: list[int]
    index_range: Range | None = None
    column_index_ranges: Sequence[Range | None] = ()
    categories: Categories | None = None
    column_categories: Sequence[Categories | None] = ()


class ModelMetadata(Struct, frozen=True):
    """What `GET /v2/models/{name}` answers."""

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
    if old.properties.get("sha256") != new.sha256:  # else only more is known of the same graph
        yield from _compare_values(old.inputs, new.inputs)
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


def _compare_values(old: list[TensorMetadata], new: list[Tensor]) -> Iterator[str]:
    known = {tensor.name: tensor for tensor in old}
    for tensor in new:
        if tensor.name in known:
            yield from _compare_index_ranges(known[tensor.name], tensor)
            yield from _compare_categories(known[tensor.name], tensor)


def _compare_index_ranges(old: TensorMetadata, new: Tensor) -> Iterator[str]:
    for column, (low, high) in new.index_ranges():
        for before in _of_column(old.index_range, old.column_index_ranges, column):
            if before is None or before[0] < low or before[1] > high:
                took = f"{before[0]} to {before[1]}" if before else "any number"
                yield f"{_name(new, column)} takes indices from {low} to {high} now, it took {took}"
                break


def _compare_categories(old: TensorMetadata, new: Tensor) -> Iterator[str]:
    for column, categories in new.known_categories():
        for before in _of_column(old.categories, old.column_categories, column):
            if before is None:
                yield f"{_name(new, column)} takes only certain categories now, it took any value"
                break
            if lost := set(before) - set(categories):
                yield f"{_name(new, column)} does not take {len(lost)} of its categories any more"
                break


def _of_column[Part](
    whole: Part | None, columns: Sequence[Part | None], column: int | None
) -> Sequence[Part | None]:
    """Return what holds for a column, or for each one of all."""
    return (columns if column is None else columns[column : column + 1]) or [whole]


def _name(tensor: Tensor, column: int | None) -> str:
    return f"input '{tensor.name}'" if column is None else f"column {column} of '{tensor.name}'"


def _takes(new: list[int], old: list[int]) -> bool:
    """Return whether an input of shape `new` takes all that one of shape `old` did."""
    return len(new) == len(old) and all(
        now in {DYNAMIC, before} for now, before in zip(new, old, strict=True)
    )


def _resembles(new: list[int], old: list[int]) -> bool:
    """Return whether an output can have both shapes: exporters know more or less of them."""
    return len(new) == len(old) and all(
        DYNAMIC in pair or pair[0] == pair[1] for pair in zip(new, old, strict=True)
    )
