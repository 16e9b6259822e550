"""An ONNX file without its weights: what it takes and gives, what it needs and is made of."""

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # it has none
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, helper
from onnx.external_data_helper import uses_external_data

from infra.model.errors import ModelError
from infra.model.graph.locales import make_portable
from infra.model.graph.value_limits import find_values
from infra.model.isolation import isolated

type Tensor = dict[str, Any]  # an input or output as model.json has it
type Shapes = Mapping[str, list[int]]  # by output

GRAPH, CONTRACT = "model.onnx", "model.json"
DYNAMIC = -1
ML = "ai.onnx.ml"
MATRIX = 2  # dimensions
PROTOBUF_LIMIT = 2**31  # bytes of one message
MOST_BYTES = 10_240 * 2**20  # all the memory that Lambda gives to a function
MOST_DIMENSIONS = 64  # of numpy's arrays
BYTES = re.compile("[0-9]{1,19}")  # a number of them
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
    producer: str  # what exported the model
    description: str
    ir_version: int
    opsets: Mapping[str, int]  # version of each domain's operators
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    operators: Mapping[str, int]  # how many of each; those of another domain as domain:name
    categories: frozenset[str]  # texts that its encoders know as the values of a column
    external: Mapping[str, Path]  # files with external data, by their place beside the model
    size: int  # of all the files of the model, in bytes
    changed: bytes | None  # the file as it must be served, if that is another
    changes: tuple[str, ...]
    problems: tuple[str, ...]


@isolated
def read_graph(source: Path) -> Graph:
    """Read a model and whatever can be told of it without running it.

    Nothing of the model itself is left but plain data: whoever asks has no need to parse it.
    Raises ModelError if it is no model at all.
    """
    source = source.resolve()
    model, classes, locales, strange_locales = _adapt(source)
    typed = _infer_shapes(model)
    values, optional = _inputs(typed)
    limited = find_values(model, values)
    problems: list[str] = []
    inputs = _each(lambda value: _tensor("input", value), values, problems)
    outputs = _each(lambda value: _tensor("output", value), typed.graph.output, problems)
    files = dict(_each(lambda one: _find(source.parent, *one), _external(model).items(), problems))
    problems += [*_custom_operators(model), *strange_locales]
    if not values:
        problems.append("the model has no inputs: its answer never changes")
    changes = [
        f"output '{name}' is a sequence of maps made by ZipMap: removed automatically, the "
        f"output is the tensor of {len(labels)} columns before it"
        for name, labels in classes.items()
    ]
    changes += locales
    size = sum(path.stat().st_size for path in (source, *files.values()))
    if size > MOST_BYTES:  # before anything copies it
        problems.append(f"the model has {size:,} bytes: Lambda gives a function {MOST_BYTES:,}")
    return Graph(
        source=source,
        producer=f"{_text(model.producer_name)} {_text(model.producer_version)}".strip(),
        description=_text(model.doc_string).strip(),
        ir_version=model.ir_version,
        opsets={_text(one.domain) or "ai.onnx": one.version for one in model.opset_import},
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
        categories=_read_categories(model),
        external=files,
        size=size,
        changed=model.SerializeToString(deterministic=True) if changes else None,
        changes=tuple(changes),
        problems=tuple(problems),
    )


@isolated
def change(source: Path, shapes: Shapes) -> bytes:
    """Return the model as it must be served, with other shapes of some outputs."""
    model, *_ = _adapt(source)
    for value in model.graph.output:
        if value.name in shapes:
            value.type.tensor_type.ClearField("shape")
            for length in shapes[value.name]:
                dimension = value.type.tensor_type.shape.dim.add()
                if length != DYNAMIC:
                    dimension.dim_value = length
            value.type.tensor_type.shape.SetInParent()
    return model.SerializeToString(deterministic=True)  # type: ignore[no-any-return]


def is_inside(name: str) -> bool:
    """Tell whether a path stays in the folder that it is relative to, and is spelt plainly."""
    path = PurePosixPath(name)
    is_plain = name.isprintable() and name == str(path) != "."
    return is_plain and not path.is_absolute() and ".." not in path.parts


def _adapt(source: Path) -> tuple[ModelProto, dict[str, list[str]], list[str], list[str]]:
    """Load a model and change what Lambda cannot serve.

    Returns it, the classes of the ZipMaps that are gone, the locales that are others, and those
    that forbid to serve it.
    """
    model = _load(source)
    classes = _remove_zipmaps(model)
    return model, classes, *make_portable([*_walk(model, NodeProto)])


def _load(path: Path) -> ModelProto:
    try:
        if path.stat().st_size >= PROTOBUF_LIMIT:
            raise ModelError(f"{path.name} is larger than the 2 GB that an ONNX file can have")
        model = onnx.load(path, "protobuf", load_external_data=False)
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}") from error
    except DecodeError as error:
        raise ModelError(f"{path.name} is not an ONNX model") from error
    if not model.graph.output:
        raise ModelError(f"{path.name} is not an ONNX model: it has no outputs")
    for operator in dict.fromkeys(_operators(model)):
        if not all(isinstance(text, str) for text in operator):
            name = ":".join(map(_text, operator))
            raise ModelError(f"{path.name} is not an ONNX model: operator '{name}' is not UTF-8")
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
        if (node.domain, node.op_type) != (ML, "ZipMap") or read.intersection(node.output):
            continue
        name = next(iter(node.output), "")
        attributes = {one.name: one for one in node.attribute}
        if name in outputs:
            strings = attributes.get("classlabels_strings", onnx.AttributeProto()).strings
            integers = attributes.get("classlabels_int64s", onnx.AttributeProto()).ints
            classes[name] = [_text(label) for label in strings] or [str(i) for i in integers]
            columns = [None, len(classes[name])]
            kind = helper.make_tensor_type_proto(TensorProto.FLOAT, columns)
            outputs[name].type.CopyFrom(kind)
            node.op_type = "Identity"
            node.ClearField("domain")
            node.ClearField("attribute")
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
    name = _text(value.name)
    if not LABEL.fullmatch(name):
        raise ModelError(
            f"{kind} '{name}': a name has 1 to 200 characters, none of them a quote, a backslash "
            "or a control character; rename it in the model"
        )
    which = value.type.WhichOneof("value")
    if which != "tensor_type":
        found = f"the type {which.removesuffix('_type').replace('_', ' ')}" if which else "no type"
        raise ModelError(
            f"{kind} '{name}' has {found}: only dense tensors can be served; export the "
            "model so that it is one"
        )
    tensor = value.type.tensor_type
    if tensor.elem_type not in DATATYPES:
        kinds = {number: held for held, number in TensorProto.DataType.items()}
        held = kinds.get(tensor.elem_type, f"elements of type {tensor.elem_type}")
        raise ModelError(
            f"{kind} '{name}' holds {held}, which no request can carry: cast it in the model"
        )
    if kind == "input" and not tensor.HasField("shape"):
        raise ModelError(f"input '{name}' has no shape: export the model with one")
    shape = [
        dimension.dim_value if dimension.HasField("dim_value") else DYNAMIC
        for dimension in tensor.shape.dim
    ]
    if len(shape) > MOST_DIMENSIONS or min(shape, default=0) < DYNAMIC:
        raise ModelError(
            f"{kind} '{name}' has {len(shape)} dimensions, the shortest of {min(shape)}: expected "
            f"at most {MOST_DIMENSIONS}, none of them negative"
        )
    row = math.prod(map(abs, shape)) * helper.tensor_dtype_to_np_dtype(tensor.elem_type).itemsize
    if kind == "input" and row > MOST_BYTES:
        raise ModelError(
            f"input '{name}' has {row:,} bytes a row: Lambda gives a function {MOST_BYTES:,}"
        )
    names = [_name(_text(dimension.dim_param)) for dimension in tensor.shape.dim]
    named = {"dimensions": names} if any(names) else {}
    return {"name": name, "datatype": DATATYPES[tensor.elem_type], "shape": shape, **named}


def _name(dimension: str) -> str | None:
    """Return the name of a dimension, unless it says no more than that the length is unknown."""
    return None if NAMELESS.fullmatch(dimension) or not LABEL.fullmatch(dimension) else dimension


def _text(value: str | bytes) -> str:
    """Return text; protobuf gives bytes where a text of a model is not UTF-8."""
    return value.decode(errors="backslashreplace") if isinstance(value, bytes) else value


def _read_categories(model: ModelProto) -> frozenset[str]:
    return frozenset(
        _text(text)
        for node in _walk(model, NodeProto)
        for attribute in node.attribute
        if attribute.name in CATEGORIES
        for text in attribute.strings
    )


def _count_operators(model: ModelProto) -> dict[str, int]:
    names = (f"{domain}:{name}" for domain, name in _operators(model))
    return {name.removeprefix(":"): count for name, count in Counter(names).most_common()}


def _custom_operators(model: ModelProto) -> list[str]:
    own = {(_text(function.domain), _text(function.name)) for function in model.functions}
    return [
        f"operator {domain}:{name} is none of onnxruntime's: a custom operator needs a library "
        "that the runtime layer does not have; export the model without it"
        for domain, name in dict.fromkeys(_operators(model))
        if domain not in DOMAINS and (domain, name) not in own
    ]


def _operators(model: ModelProto) -> Iterator[tuple[str, str]]:
    """Yield domain and name of each node's operator."""
    for node in _walk(model, NodeProto):
        yield node.domain, node.op_type


def _external(model: ModelProto) -> dict[str, list[Mapping[str, str]]]:
    """Return what is asked of each file with external data; its key is relative to the model.

    Source: onnx/onnx, docs/ExternalData.md.
    """
    asked: dict[str, list[Mapping[str, str]]] = {}
    for tensor in _walk(model, TensorProto):
        if uses_external_data(tensor):
            entries = {_text(one.key): _text(one.value) for one in tensor.external_data}
            asked.setdefault(entries.get("location", ""), []).append(entries)
    return asked


def _walk[Part](message: Any, kind: type[Part]) -> Iterator[Part]:
    """Yield every part of a kind, wherever it is: graphs nest in nodes and functions."""
    for field, value in message.ListFields():
        if field.message_type is not None:
            for part in value if field.is_repeated else [value]:
                if isinstance(part, kind):
                    yield part
                yield from _walk(part, kind)


def _find(folder: Path, location: str, asked: Iterable[Mapping[str, str]]) -> tuple[str, Path]:
    """Return a file with external data: a plain one inside `folder`, with all that is asked."""
    if not is_inside(location):
        raise ModelError(
            f"external data '{location}': the path must stay in the model's folder and be plain"
        )
    if location in {GRAPH, CONTRACT}:
        raise ModelError(f"external data '{location}': the name is taken, rename the file")
    found = folder / location
    try:
        if found.resolve() != found:
            raise ModelError(f"external data '{location}': links are not followed")
        if not found.is_file():
            raise ModelError(f"external data '{location}' is not beside the model")
        size = found.stat().st_size
    except OSError as error:
        raise ModelError(f"external data '{location}' cannot be read: {error.strerror}") from error
    for entries in asked:
        texts = [entries.get(key, "0") for key in ("offset", "length")]
        if not all(map(BYTES.fullmatch, texts)):
            raise ModelError(
                f"external data '{location}': offset and length must be numbers of bytes, got "
                f"'{texts[0]}' and '{texts[1]}'"
            )
        if sum(map(int, texts)) > size:
            raise ModelError(
                f"external data '{location}' ends before what the model reads of it: expected "
                f"{sum(map(int, texts)):,} bytes, it has {size:,}"
            )
    return location, found


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
