"""Which values an input can have, as far as the graph shows on which onnxruntime fails.

They are indices of a table, which leaves them a range, categories that are all known, or sizes of
what the model makes. Only what is certain counts: all elements of the input, or of a column of it,
are used so in every request.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper
from onnx.external_data_helper import uses_external_data

type Range = tuple[int, int]  # the lowest and the highest
type Categories = tuple[int | str, ...]
type Columns = tuple[int, ...]

UNKNOWN = -1  # length of a dimension
MOST = 10_000  # columns that are told apart, and elements of a constant that chooses some
INTEGERS = {TensorProto.INT32, TensorProto.INT64}  # that can be indices
ELEMENTS: dict[int, np.dtype[Any]] = {
    kind: np.dtype(helper.tensor_dtype_to_np_dtype(kind))
    for kind in (
        *(TensorProto.INT8, TensorProto.INT16, TensorProto.INT32, TensorProto.INT64),
        *(TensorProto.UINT8, TensorProto.UINT16, TensorProto.UINT32, TensorProto.UINT64),
        *(TensorProto.FLOAT16, TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.STRING),
    )
}

# The output has every element of the first input, in another order or shape.
REARRANGING = {"Reshape", "Squeeze", "Unsqueeze", "Flatten", "Transpose"}
# The output has the shape of the first input.
ALIKE = {"Identity", "Cast", "DequantizeLinear"}
# Inputs whose elements are lengths of the output, or how often something is repeated in it.
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
# The output can be told without the elements of an input: onnxruntime may drop what makes those.
BLIND = {"Shape", "Size", "CastLike", "EyeLike", "RandomNormalLike", "RandomUniformLike"}


@dataclass(frozen=True)
class Source:
    """Where the elements of a value come from: each element of an input, or of its `columns`.

    They are as the request has them, or without their fractions. `rank` is that of the value where
    the columns are its last dimension, and else 0.
    """

    name: str
    kind: int  # of element, as TensorProto has it
    columns: Columns  # (0,) where the last dimension of the input has no fixed length
    rank: int


def find_values(model: ModelProto, inputs: Iterable[ValueInfoProto]) -> dict[str, dict[str, Any]]:
    """Return the fields of model.json that tell of values, by input that cannot have all.

    `inputs` are those that a request can bring. What subgraphs and functions look up is left out:
    they need not run.
    """
    tracer = _Tracer(model, list(inputs))
    for node in model.graph.node:  # which the format has in the order of their work
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
        """Yield each input that cannot have all values, with its fields."""
        for name, source in self._inputs.items():
            ranges, categories = self._ranges.get(name, {}), self._categories.get(name, {})
            fields = _describe("index_range", "column_index_ranges", source.columns, ranges)
            fields |= _describe("categories", "column_categories", source.columns, categories)
            if self._sizes.get(name, set()).issuperset(source.columns):
                fields["sizes"] = True
            if fields:
                yield name, fields

    def follow(self, node: NodeProto) -> None:
        """Note what a node looks up, and what its outputs are made of."""
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
            for source in self._sources.get(_input(node, 0), []):
                self._note_categories(source, categories)
        self._keep_shape(node)
        for output, sources in zip(node.output, self._pass_on(node), strict=False):
            self._sources[output] = sources

    def _look_up(self, node: NodeProto) -> Iterator[tuple[str, Sequence[int], bool]]:
        """Yield indices, the length of what they index, and whether they may count from its end.

        Where the last dimension of the indices is a tuple, there is a length for each of it.
        """
        table = self._shapes.get(_input(node, 0), [])
        match _operator(node):
            case "Gather" | "GatherElements" | "ScatterElements" | "Scatter":
                axis = _integer(node, "axis")
                if -len(table) <= axis < len(table):
                    yield _input(node, 1), [table[axis]], True
            case "GatherND" | "ScatterND":
                yield _input(node, 1), table[_integer(node, "batch_dims") :], True
            case "ai.onnx.ml:ArrayFeatureExtractor":
                yield _input(node, 1), table[-1:], False
            case "com.microsoft:EmbedLayerNormalization":
                for indices, weight in ((0, 2), (1, 4), (8, 3)):
                    table = self._shapes.get(_input(node, weight), [])
                    yield _input(node, indices), table[:1], False

    def _list_sizes(self, node: NodeProto) -> Iterator[str]:
        """Yield inputs of a node whose product is how many elements it makes, or repeats."""
        operator = _operator(node)
        yield from (_input(node, place) for place in SIZES.get(operator, ()))
        if operator == "Range" and self._read(node, 0) in ([0], [1]) and self._read(node, 2) == [1]:
            yield _input(node, 1)
        if operator == "Loop" and not _input(node, 1):  # no condition ends it
            yield _input(node, 0)

    def _note_range(self, source: Source, lengths: Sequence[int], *, is_signed: bool) -> None:
        """Narrow the range of each column that is looked up."""
        is_tuple = source.rank > 0 and len(source.columns) <= len(lengths)
        for place, column in enumerate(source.columns):
            # Which of a tuple it is may be unknown: then it is in the range of the longest.
            candidates = [lengths[place]] if is_tuple and len(lengths) > 1 else lengths
            length = max(candidates) if min(candidates, default=0) > 0 else 0
            if length:
                ranges = self._ranges.setdefault(source.name, {})
                low, high = ranges.get(column, (-length, length - 1))
                low = max(low, -length if is_signed else 0)
                ranges[column] = low, min(high, length - 1)

    def _note_categories(self, source: Source, known: Categories) -> None:
        """Keep the categories of each column that is encoded: those that all encoders know."""
        categories = self._categories.setdefault(source.name, {})
        for column in source.columns:
            if column in categories:
                others = set(categories[column])
                categories[column] = tuple(one for one in known if one in others)
            else:
                categories[column] = known

    def _keep_shape(self, node: NodeProto) -> None:
        """Remember a constant, and the shape of what has that of another value."""
        first, operator = _input(node, 0), _operator(node)
        if operator == "Constant":
            for tensor in _constants(node):
                self._constants[node.output[0]] = tensor
                self._shapes[node.output[0]] = list(tensor.dims)
        elif first in self._shapes and operator.removeprefix("com.microsoft:") in ALIKE:
            self._shapes[node.output[0]] = self._shapes[first]
        elif first in self._shapes and operator == "Transpose":
            shape = self._shapes[first]
            order = _integers(node, "perm") or range(len(shape))[::-1]
            if sorted(order) == list(range(len(shape))):
                self._shapes[node.output[0]] = [shape[i] for i in order]

    def _pass_on(self, node: NodeProto) -> list[list[Source]]:
        """Return what each output is made of, as far as that is certain."""
        sources = self._sources.get(_input(node, 0), [])
        match _operator(node):
            case "Identity":
                return [sources]
            case "Cast":
                return [[cast for one in sources if (cast := _cast(one, _integer(node, "to")))]]
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
        """Return the columns of `source` that go to each output, and the output's rank."""
        count, last = len(source.columns), {-1, source.rank - 1}
        match _operator(node):
            case "Gather" if _integer(node, "axis") in last:
                shape = self._shapes.get(_input(node, 1), [])
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
            case "Split" if _integer(node, "axis") in last:
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
        """Return a constant input, or in older versions an attribute; None if it is no constant."""
        if not _input(node, place):
            return _integers(node, attribute)
        tensor = self._constants.get(_input(node, place), TensorProto())
        is_short = len(tensor.dims) <= 1 and 0 <= math.prod(tensor.dims) <= MOST
        if tensor.data_type not in INTEGERS or uses_external_data(tensor) or not is_short:
            return None
        try:
            numbers: list[int] = numpy_helper.to_array(tensor).ravel().tolist()
        except ValueError:  # it has not as many elements as it says
            return None
        return numbers


def _describe(
    whole: str, by_column: str, columns: Columns, found: Mapping[int, Sequence[Any]]
) -> dict[str, Any]:
    """Return the one field that says what was found of the columns, if anything was."""
    values = [list(found.get(column, ())) or None for column in columns]
    if values.count(None) == len(values):
        return {}
    return {whole: values[0]} if values.count(values[0]) == len(values) else {by_column: values}


def _source(value: ValueInfoProto) -> Source | None:
    """Return what an input is made of, if it holds numbers or text."""
    kind = value.type.tensor_type.elem_type
    shape = _shape(value)
    if kind not in ELEMENTS:
        return None
    if 0 < (shape or [0])[-1] <= MOST:
        return Source(value.name, kind, tuple(range(shape[-1])), len(shape))
    return Source(value.name, kind, (0,), 0)


def _cast(source: Source, kind: int) -> Source | None:
    """Return the source after a cast, unless that makes valid indices of other numbers, too.

    A fraction is cut off, and what is then too large becomes the smallest integer or stays too
    large; but an integer that is too large loses its upper bits.
    """
    before, after = ELEMENTS.get(source.kind), ELEMENTS.get(kind)
    if before is None or after is None:
        return None
    keeps = before.kind == after.kind or (before.kind, after.kind) == ("u", "i")
    if (keeps and np.can_cast(before, after)) or (before.kind == "f" and kind in INTEGERS):
        return replace(source, kind=kind)
    return None


def _find_needed(model: ModelProto) -> set[str]:
    """Return the values without whose elements the outputs cannot be told."""
    needed = {value.name for value in model.graph.output}
    for node in reversed(model.graph.node):
        if node.op_type not in BLIND and needed.intersection(node.output):
            needed.update(node.input)
    return needed


def _shape(value: ValueInfoProto) -> list[int]:
    dimensions = value.type.tensor_type.shape.dim
    return [one.dim_value if one.HasField("dim_value") else UNKNOWN for one in dimensions]


def _operator(node: NodeProto) -> str:
    return node.op_type if node.domain in {"", "ai.onnx"} else f"{node.domain}:{node.op_type}"


def _input(node: NodeProto, place: int) -> str:
    """Return the name of an input, or nothing if there is none."""
    return node.input[place] if place < len(node.input) else ""


def _integer(node: NodeProto, name: str, default: int = 0) -> int:
    return next((one.i for one in node.attribute if one.name == name), default)


def _integers(node: NodeProto, name: str) -> list[int]:
    return next((list(one.ints) for one in node.attribute if one.name == name), [])


def _categories(node: NodeProto) -> Categories:
    """Return the only values that a node takes, if there are such."""
    if _operator(node) != "ai.onnx.ml:OneHotEncoder" or _integer(node, "zeros", 1):
        return ()
    texts = [text for one in node.attribute if one.name == "cats_strings" for text in one.strings]
    try:
        return (*_integers(node, "cats_int64s"), *(text.decode() for text in texts))
    except UnicodeDecodeError:
        return ()


def _constants(node: NodeProto) -> Iterator[TensorProto]:
    """Yield the tensor of a Constant, if it is a dense one of numbers."""
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
