"""An ONNX file without its weights: what it takes and gives, what it needs and is made of."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # it has none
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, helper
from onnx.external_data_helper import ExternalDataInfo, uses_external_data

from infra.model.errors import ModelError
from infra.model.locales import make_portable
from infra.model.values import find_values

type Tensor = dict[str, Any]  # an input or output as model.json has it

GRAPH, CONTRACT = "model.onnx", "model.json"
DYNAMIC = -1
ML = "ai.onnx.ml"
MATRIX = 2  # dimensions
PROTOBUF_LIMIT = 2**31  # bytes of one message
LABEL = re.compile(r'[^"\\\x00-\x1f]{1,200}')  # as functions/serving/manifest.py has it
# What exporters write where they know nothing: tf2onnx and onnx a number for each dimension.
NAMELESS = re.compile(r"\W*|none|unknown|unk__\d+", re.IGNORECASE)
OVERRIDABLE_SINCE = 4  # IR version; before that every weight had to be listed as an input

# Element types that the Open Inference Protocol and onnxruntime's Python API both carry.
DATATYPES: dict[int, str] = {
    TensorProto.BOOL: "BOOL",
    TensorProto.UINT8: "UINT8",
    TensorProto.UINT16: "UINT16",
    TensorProto.UINT32: "UINT32",
    TensorProto.UINT64: "UINT64",
    TensorProto.INT8: "INT8",
    TensorProto.INT16: "INT16",
    TensorProto.INT32: "INT32",
    TensorProto.INT64: "INT64",
    TensorProto.FLOAT16: "FP16",
    TensorProto.BFLOAT16: "BF16",
    TensorProto.FLOAT: "FP32",
    TensorProto.DOUBLE: "FP64",
    TensorProto.STRING: "BYTES",
}

# Attributes of ai.onnx.ml's OneHotEncoder, LabelEncoder and CategoryMapper.
CATEGORIES = ("cats_strings", "keys_strings")

# Domains of the operators that onnxruntime brings along.
DOMAINS = ("", ML, "ai.onnx.training", "ai.onnx.preview.training", "com.microsoft")


@dataclass(frozen=True)
class Graph:
    """A model that was read; `problems` forbid to serve it, `changes` allow it."""

    source: Path
    model: ModelProto
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    operators: Mapping[str, int]  # how many of each; those of another domain as domain:name
    external: Mapping[str, Path]  # files with external data, by their place beside the model
    changes: tuple[str, ...]
    problems: tuple[str, ...]

    @property
    def bytes(self) -> int:
        """Size of all the files of the model."""
        return sum(path.stat().st_size for path in (self.source, *self.external.values()))

    @property
    def producer(self) -> str:
        """What exported the model."""
        return f"{self.model.producer_name} {self.model.producer_version}".strip()

    @property
    def opsets(self) -> dict[str, int]:
        """Version of each domain's operators."""
        return {opset.domain or "ai.onnx": opset.version for opset in self.model.opset_import}


def read_graph(source: Path) -> Graph:
    """Read a model and whatever can be told of it without running it.

    Raises ModelError if it is no model at all.
    """
    source = source.resolve()
    model = _load(source)
    classes = _remove_zipmaps(model)
    locales, strange_locales = make_portable([*_walk(model, NodeProto)])
    typed = _infer_shapes(model)
    values, optional = _inputs(typed)
    limited = find_values(model, values)
    problems: list[str] = []
    inputs = _each(lambda value: _tensor("input", value), values, problems)
    outputs = _each(lambda value: _tensor("output", value), typed.graph.output, problems)
    files = _each(lambda name: (name, _find(source.parent, name)), _locations(model), problems)
    problems += [*_custom_operators(model), *strange_locales]
    if not values:
        problems.append("the model has no inputs: its answer never changes")
    return Graph(
        source=source,
        model=model,
        inputs=tuple(
            one
            | ({"optional": True} if one["name"] in optional else {})
            | limited.get(one["name"], {})
            for one in inputs
        ),
        outputs=tuple(
            one | ({"labels": classes[one["name"]]} if one["name"] in classes else {})
            for one in outputs
        ),
        operators=_count_operators(model),
        external=dict(files),
        changes=(
            *(
                f"output '{name}' is a sequence of maps made by ZipMap: removed automatically, the "
                f"output is the tensor of {len(labels)} columns before it"
                for name, labels in classes.items()
            ),
            *locales,
        ),
        problems=tuple(problems),
    )


def read_categories(model: ModelProto) -> frozenset[str]:
    """Return the texts that the encoders of a model know as the values of a column."""
    return frozenset(
        text.decode(errors="replace")
        for node in _walk(model, NodeProto)
        for attribute in node.attribute
        if attribute.name in CATEGORIES
        for text in attribute.strings
    )


def is_inside(name: str) -> bool:
    """Tell whether a path stays in the folder that it is relative to, and is spelt plainly."""
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts and name == str(path) != "."


def _load(path: Path) -> ModelProto:
    try:
        if path.stat().st_size >= PROTOBUF_LIMIT:
            raise ModelError(f"{path.name} is larger than the 2 GB that an ONNX file can have")
        model = onnx.load(path, load_external_data=False)
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}") from error
    except DecodeError as error:
        raise ModelError(f"{path.name} is not an ONNX model") from error
    if not model.graph.output:
        raise ModelError(f"{path.name} is not an ONNX model: it has no outputs")
    return model


def _infer_shapes(model: ModelProto) -> ModelProto:
    """Complete the outputs' shapes: onnxruntime infers them too, and serves what it inferred."""
    try:
        return onnx.shape_inference.infer_shapes(model)
    except Exception:  # onnx's errors have no base of their own; onnxruntime will say what is wrong
        return model


def _remove_zipmaps(model: ModelProto) -> dict[str, list[str]]:
    """Let each output that a ZipMap makes be the tensor which that takes; return their classes.

    A ZipMap turns rows of probabilities into a list of {class: probability}; skl2onnx and
    onnxmltools end classifiers with one unless told not to.
    """
    graph = model.graph
    outputs = {value.name: value for value in graph.output}
    read = {name for node in _walk(graph, NodeProto) for name in node.input}
    classes: dict[str, list[str]] = {}
    for node in graph.node:
        if (node.domain, node.op_type) != (ML, "ZipMap") or node.output[0] in read:
            continue
        name, attributes = node.output[0], {one.name: one for one in node.attribute}
        if name in outputs:
            strings = attributes.get("classlabels_strings", onnx.AttributeProto()).strings
            integers = attributes.get("classlabels_int64s", onnx.AttributeProto()).ints
            classes[name] = [label.decode() for label in strings] or [str(i) for i in integers]
            columns = [None, len(classes[name])]
            outputs[name].CopyFrom(helper.make_tensor_value_info(name, TensorProto.FLOAT, columns))
            node.CopyFrom(helper.make_node("Identity", node.input, node.output, node.name))
    if classes and all(opset.domain for opset in model.opset_import):
        model.opset_import.append(helper.make_opsetid("", 13))  # Identity's
    return classes


def _inputs(model: ModelProto) -> tuple[list[ValueInfoProto], set[str]]:
    """Return what a request can bring, and for which of it the graph has a value of its own.

    A weight that is listed among the inputs is none: before IR version 4 all had to be, and some
    exporters list all of them to this day.
    """
    graph = model.graph
    weights = {tensor.name: len(tensor.dims) for tensor in graph.initializer}
    weights |= {tensor.values.name: len(tensor.dims) for tensor in graph.sparse_initializer}
    listed = {value.name for value in graph.input} & weights.keys()
    is_habit = listed == weights.keys() and max(weights.values(), default=0) >= MATRIX
    optional = set() if is_habit or model.ir_version < OVERRIDABLE_SINCE else listed
    return [value for value in graph.input if value.name not in weights.keys() - optional], optional


def _tensor(kind: str, value: ValueInfoProto) -> Tensor:
    """Read the type of an input or output; -1 stands for a dimension of any length.

    onnxruntime gives the shape [] to an output whose rank it cannot infer; so do we.
    """
    which = value.type.WhichOneof("value")
    if which != "tensor_type":
        found = f"the type {which.removesuffix('_type').replace('_', ' ')}" if which else "no type"
        raise ModelError(
            f"{kind} '{value.name}' has {found}: only dense tensors can be served; export the "
            "model so that it is one"
        )
    tensor = value.type.tensor_type
    if tensor.elem_type not in DATATYPES:
        name = TensorProto.DataType.Name(tensor.elem_type)
        raise ModelError(
            f"{kind} '{value.name}' holds {name}, which no request can carry: cast it in the model"
        )
    if kind == "input" and not tensor.HasField("shape"):
        raise ModelError(f"input '{value.name}' has no shape: export the model with one")
    shape = [
        dimension.dim_value if dimension.HasField("dim_value") else DYNAMIC
        for dimension in tensor.shape.dim
    ]
    names = [_name(dimension.dim_param) for dimension in tensor.shape.dim]
    named = {"dimensions": names} if any(names) else {}
    return {"name": value.name, "datatype": DATATYPES[tensor.elem_type], "shape": shape, **named}


def _name(dimension: str) -> str | None:
    """Return the name of a dimension, unless it says no more than that the length is unknown."""
    return None if NAMELESS.fullmatch(dimension) or not LABEL.fullmatch(dimension) else dimension


def _count_operators(model: ModelProto) -> dict[str, int]:
    names = (f"{node.domain}:{node.op_type}" for node in _walk(model, NodeProto))
    return {name.removeprefix(":"): count for name, count in Counter(names).most_common()}


def _custom_operators(model: ModelProto) -> list[str]:
    own = {(function.domain, function.name) for function in model.functions}
    used = dict.fromkeys((node.domain, node.op_type) for node in _walk(model, NodeProto))
    return [
        f"operator {domain}:{name} is none of onnxruntime's: a custom operator needs a library "
        "that the runtime layer does not have; export the model without it"
        for domain, name in used
        if domain not in DOMAINS and (domain, name) not in own
    ]


def _locations(model: ModelProto) -> dict[str, None]:
    """Return where the external data is, relative to the model."""
    return dict.fromkeys(
        str(ExternalDataInfo(tensor).location)
        for tensor in _walk(model, TensorProto)
        if uses_external_data(tensor)
    )


def _walk[Part](message: Any, kind: type[Part]) -> Iterator[Part]:
    """Yield every part of a kind, wherever it is: graphs nest in nodes and functions."""
    for field, value in message.ListFields():
        if field.message_type is not None:
            for part in value if field.is_repeated else [value]:
                if isinstance(part, kind):
                    yield part
                yield from _walk(part, kind)


def _find(folder: Path, location: str) -> Path:
    """Return the file with external data, which must be a plain file inside `folder`."""
    if not is_inside(location):
        raise ModelError(f"external data '{location}': the path must stay in the model's folder")
    if location in {GRAPH, CONTRACT}:
        raise ModelError(f"external data '{location}': the name is taken, rename the file")
    found = folder / location
    if found.resolve() != found:
        raise ModelError(f"external data '{location}': links are not followed")
    if not found.is_file():
        raise ModelError(f"external data '{location}' is not beside the model")
    return found


def _each[Item, Result](
    read: Callable[[Item], Result], items: Iterable[Item], problems: list[str]
) -> tuple[Result, ...]:
    """Read every item that can be read; what is wrong with the others goes to `problems`."""
    results = []
    for item in items:
        try:
            results.append(read(item))
        except ModelError as error:
            problems.extend(error.problems)
    return tuple(results)
