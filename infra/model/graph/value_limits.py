"""Limits on the values of an input that the graph implies, because onnxruntime fails beyond them.

An input can hold indices of a table, which have a range; categories, which are all known; or sizes
of tensors that the model makes. A limit is found only where it is certain: where every request uses
all elements of the input, or of one of its columns, in that way.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper
from onnx.external_data_helper import uses_external_data

from infra.model.graph.nodes import (
    list_constants,
    name_input,
    name_operator,
    read_integer,
    read_integers,
)

type Range = tuple[int, int]  # the lowest and the highest
type Categories = tuple[int | str, ...]
type Columns = tuple[int, ...]

UNKNOWN = -1  # the length of a dimension
MOST = 10_000  # columns that are told apart, and elements of a constant that selects some
INTEGERS = {TensorProto.INT32, TensorProto.INT64}  # types that indices can have
ELEMENTS: dict[int, np.dtype[Any]] = {
    kind: np.dtype(helper.tensor_dtype_to_np_dtype(kind))
    for kind in (
        *(TensorProto.INT8, TensorProto.INT16, TensorProto.INT32, TensorProto.INT64),
        *(TensorProto.UINT8, TensorProto.UINT16, TensorProto.UINT32, TensorProto.UINT64),
        *(TensorProto.FLOAT16, TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.STRING),
    )
}

# The output has every element of the first input, in a different order or shape.
REARRANGING = {"Reshape", "Squeeze", "Unsqueeze", "Flatten", "Transpose"}
# The output has the shape of the first input.
ALIKE = {"Identity", "Cast", "DequantizeLinear"}
# Inputs whose elements are lengths of the output, or numbers of repetitions in it.
SIZES = {
    "ConstantOfShape": (0,),
    "Expand": (1,),
    "Tile": (1,),
    "OneHot": (1,),
    "Resize": (2, 3),
    "Upsample": (1,),
    "CenterCropPad": (1,),
    "MaxUnpool": (2,),
    "AffineGrid": (1,),
    "BlackmanWindow": (0,),
    "HammingWindow": (0,),
    "HannWindow": (0,),
}
# The output does not depend on the elements of the inputs, so onnxruntime may not compute them.
BLIND = {"Shape", "Size", "CastLike", "EyeLike", "RandomNormalLike", "RandomUniformLike"}


@dataclass(frozen=True)
class Source:
    """The origin of a value's elements: every element of `columns` of an input.

    They are the request's own numbers, or these without their fractions. `rank` is the rank of the
    value if its last dimension is these columns, else 0.
    """

    name: str
    kind: int  # of the elements, a TensorProto.DataType
    columns: Columns  # (0,) where the last dimension of the input has no fixed length
    rank: int


def find_value_limits(
    model: ModelProto, inputs: Iterable[ValueInfoProto]
) -> dict[str, dict[str, Any]]:
    """Return the fields of model.json that limit values, by the name of the input.

    `inputs` are those that a request can bring. Subgraphs and functions are left out, because they
    need not run.
    """
    tracer = _Tracer(model, list(inputs))
    for node in model.graph.node:  # sorted: the format requires it
        tracer.follow(node)
    return dict(tracer.describe())


class _Tracer:
    """Follows the elements of the inputs through the nodes of the graph."""

    def __init__(self, model: ModelProto, inputs: Sequence[ValueInfoProto]) -> None:
        self._inputs = {value.name: source for value in inputs if (source := _source(value))}
        self._sources = {name: [source] for name, source in self._inputs.items()}
        self._constants: dict[str, TensorProto] = {}
        self._shapes = {value.name: _shape(value) for value in inputs}
        self._ranges: dict[str, dict[int, Range]] = {}  # by input and column
        self._categories: dict[str, dict[int, Categories]] = {}
        self._sizes: dict[str, set[int]] = {}  # columns by input
        self._functions = {(function.domain, function.name) for function in model.functions}
        self._needed = _find_needed(model)
        for weight in model.graph.initializer:
            if weight.name not in self._shapes:
                self._constants[weight.name] = weight
                self._shapes[weight.name] = list(weight.dims)

    def describe(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield each input whose values are limited, with the fields that say how."""
        for name, source in self._inputs.items():
            ranges, categories = self._ranges.get(name, {}), self._categories.get(name, {})
            fields = _describe("index_range", "column_index_ranges", source.columns, ranges)
            fields |= _describe("categories", "column_categories", source.columns, categories)
            if self._sizes.get(name, set()).issuperset(source.columns):
                fields["sizes"] = True
            if fields:
                yield name, fields

    def follow(self, node: NodeProto) -> None:
        """Note which limits a node sets, and where the elements of its outputs come from."""
        if not node.output or (node.domain, node.op_type) in self._functions:
            return
        if self._needed.intersection(node.output):
            for indices, lengths, is_signed in self._look_up(node):
                for source in self._sources.get(indices, []):
                    self._note_range(source, lengths, is_signed=is_signed)
            for sizes in self._list_sizes(node):
                for source in self._sources.get(sizes, []):
                    self._sizes.setdefault(source.name, set()).update(source.columns)
        if categories := _categories(node):
            for source in self._sources.get(name_input(node, 0), []):
                self._note_categories(source, categories)
        self._keep_shape(node)
        for output, sources in zip(node.output, self._pass_on(node), strict=False):
            self._sources[output] = sources

    def _look_up(self, node: NodeProto) -> Iterator[tuple[str, Sequence[int], bool]]:
        """Yield inputs that are indices, the lengths they index, and whether they can be negative.

        There is one length, or one for each column where the last dimension is an index tuple.
        """
        table = self._shapes.get(name_input(node, 0), [])
        match name_operator(node):
            case "Gather" | "GatherElements" | "ScatterElements" | "Scatter":
                axis = read_integer(node, "axis")
                if -len(table) <= axis < len(table):
                    yield name_input(node, 1), [table[axis]], True
            case "GatherND" | "ScatterND":
                yield name_input(node, 1), table[read_integer(node, "batch_dims") :], True
            case "ai.onnx.ml:ArrayFeatureExtractor":
                yield name_input(node, 1), table[-1:], False
            case "com.microsoft:EmbedLayerNormalization":
                for indices, weight in ((0, 2), (1, 4), (8, 3)):
                    table = self._shapes.get(name_input(node, weight), [])
                    yield name_input(node, indices), table[:1], False

    def _list_sizes(self, node: NodeProto) -> Iterator[str]:
        """Yield the inputs of a node whose product is how many elements it makes or repeats."""
        operator = name_operator(node)
        yield from (name_input(node, place) for place in SIZES.get(operator, ()))
        if operator == "Range" and self._read(node, 0) in ([0], [1]) and self._read(node, 2) == [1]:
            yield name_input(node, 1)
        if operator == "Loop" and not name_input(node, 1):  # no condition ends it
            yield name_input(node, 0)

    def _note_range(self, source: Source, lengths: Sequence[int], *, is_signed: bool) -> None:
        """Narrow the range of each column that is used as an index."""
        is_tuple = source.rank > 0 and len(source.columns) <= len(lengths)
        for place, column in enumerate(source.columns):
            # If its place in the tuple is unknown, the longest range is the certain one.
            candidates = [lengths[place]] if is_tuple and len(lengths) > 1 else lengths
            length = max(candidates) if min(candidates, default=0) > 0 else 0
            if length:
                ranges = self._ranges.setdefault(source.name, {})
                low, high = ranges.get(column, (-length, length - 1))
                low = max(low, -length if is_signed else 0)
                ranges[column] = low, min(high, length - 1)

    def _note_categories(self, source: Source, known: Categories) -> None:
        """Note the categories of each column that is encoded: those that all encoders know."""
        categories = self._categories.setdefault(source.name, {})
        for column in source.columns:
            if column in categories:
                others = set(categories[column])
                categories[column] = tuple(one for one in known if one in others)
            else:
                categories[column] = known

    def _keep_shape(self, node: NodeProto) -> None:
        """Remember a constant, and the shape of an output that follows from the node's input."""
        first, operator = name_input(node, 0), name_operator(node)
        if operator == "Constant":
            for tensor in list_constants(node):
                self._constants[node.output[0]] = tensor
                self._shapes[node.output[0]] = list(tensor.dims)
        elif first in self._shapes and operator.removeprefix("com.microsoft:") in ALIKE:
            self._shapes[node.output[0]] = self._shapes[first]
        elif first in self._shapes and operator == "Transpose":
            shape = self._shapes[first]
            order = read_integers(node, "perm") or range(len(shape))[::-1]
            if sorted(order) == list(range(len(shape))):
                self._shapes[node.output[0]] = [shape[i] for i in order]

    def _pass_on(self, node: NodeProto) -> list[list[Source]]:
        """Return where the elements of each output come from, as far as that is certain."""
        sources = self._sources.get(name_input(node, 0), [])
        match name_operator(node):
            case "Identity":
                return [sources]
            case "Cast":
                return [[cast for one in sources if (cast := _cast(one, read_integer(node, "to")))]]
            case "Concat":
                parts = [one for name in node.input for one in self._sources.get(name, [])]
                return [list(dict.fromkeys(replace(one, rank=0) for one in parts))]
            case operator if operator in REARRANGING:
                return [[replace(one, rank=0) for one in sources]]
        outputs: list[list[Source]] = [[] for _ in node.output]
        for source in sources:
            chosen = self._choose_columns(node, source) if source.rank else []
            for output, (places, rank) in zip(outputs, chosen, strict=False):
                if places:
                    columns = tuple(source.columns[place] for place in places)
                    output.append(replace(source, columns=columns, rank=rank))
        return outputs

    def _choose_columns(self, node: NodeProto, source: Source) -> list[tuple[Sequence[int], int]]:
        """Return which columns of `source` go to each output, and the output's rank."""
        count, last = len(source.columns), {-1, source.rank - 1}
        match name_operator(node):
            case "Gather" if read_integer(node, "axis") in last:
                shape = self._shapes.get(name_input(node, 1), [])
                rank = source.rank if len(shape) == 1 else 0
                return [(self._read_places(node, count), rank)]
            case "ai.onnx.ml:ArrayFeatureExtractor":
                return [(self._read_places(node, count), 0)]
            case "Slice":
                names = enumerate(("starts", "ends", "axes", "steps"), 1)
                match [self._read(node, place, name) for place, name in names]:
                    case [[start], [end], [axis], [] | [_] as steps] if axis in last and steps != [
                        0
                    ]:
                        return [(range(count)[start : end : steps[0] if steps else 1], source.rank)]
            case "Split" if read_integer(node, "axis") in last:
                sizes = self._read(node, 1, "split")
                if sizes == [] and count % len(node.output) == 0:
                    sizes = [count // len(node.output)] * len(node.output)
                ends = accumulate(sizes or [], initial=0)
                return [(range(count)[i:j], source.rank) for i, j in pairwise(ends)]
        return []

    def _read_places(self, node: NodeProto, count: int) -> list[int]:
        places = self._read(node, 1) or []
        return places if all(-count <= place < count for place in places) else []

    def _read(self, node: NodeProto, place: int, attribute: str = "") -> list[int] | None:
        """Return a constant input, or the attribute of older opsets; None if it is not constant."""
        if not name_input(node, place):
            return read_integers(node, attribute)
        tensor = self._constants.get(name_input(node, place), TensorProto())
        is_short = len(tensor.dims) <= 1 and 0 <= math.prod(tensor.dims) <= MOST
        if tensor.data_type not in INTEGERS or uses_external_data(tensor) or not is_short:
            return None
        try:
            numbers: list[int] = numpy_helper.to_array(tensor).ravel().tolist()
        except ValueError:  # it has fewer elements than its shape says
            return None
        return numbers


def _describe(
    whole: str, by_column: str, columns: Columns, found: Mapping[int, Sequence[Any]]
) -> dict[str, Any]:
    """Return one field for all columns if they are alike, else one with an entry a column."""
    values = [list(found.get(column, ())) or None for column in columns]
    if values.count(None) == len(values):
        return {}
    return {whole: values[0]} if values.count(values[0]) == len(values) else {by_column: values}


def _source(value: ValueInfoProto) -> Source | None:
    """Return an input as the source of its own elements, if it holds numbers or text."""
    kind = value.type.tensor_type.elem_type
    shape = _shape(value)
    if kind not in ELEMENTS:
        return None
    if 0 < (shape or [0])[-1] <= MOST:
        return Source(value.name, kind, tuple(range(shape[-1])), len(shape))
    return Source(value.name, kind, (0,), 0)


def _cast(source: Source, kind: int) -> Source | None:
    """Return the source after a cast, or None if the cast can turn invalid indices into valid ones.

    A cast from a fraction cuts it off; a number that is too large becomes the smallest integer or
    stays too large. A cast to a smaller integer drops the upper bits, and so hides the number.
    """
    before, after = ELEMENTS.get(source.kind), ELEMENTS.get(kind)
    if before is None or after is None:
        return None
    keeps = before.kind == after.kind or (before.kind, after.kind) == ("u", "i")
    if (keeps and np.can_cast(before, after)) or (before.kind == "f" and kind in INTEGERS):
        return replace(source, kind=kind)
    return None


def _find_needed(model: ModelProto) -> set[str]:
    """Return the values whose elements the outputs depend on."""
    needed = {value.name for value in model.graph.output}
    for node in reversed(model.graph.node):
        if node.op_type not in BLIND and needed.intersection(node.output):
            needed.update(node.input)
    return needed


def _shape(value: ValueInfoProto) -> list[int]:
    dimensions = value.type.tensor_type.shape.dim
    return [one.dim_value if one.HasField("dim_value") else UNKNOWN for one in dimensions]


def _categories(node: NodeProto) -> Categories:
    """Return the only values that a node accepts, if it is limited to some."""
    if name_operator(node) != "ai.onnx.ml:OneHotEncoder" or read_integer(node, "zeros", 1):
        return ()
    texts = [text for one in node.attribute if one.name == "cats_strings" for text in one.strings]
    try:
        return (*read_integers(node, "cats_int64s"), *(text.decode() for text in texts))
    except UnicodeDecodeError:
        return ()
