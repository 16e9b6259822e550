"""An ONNX file without its weights: inputs, outputs, operators, and why it may be unservable."""

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # it has none
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, helper

from infra.model.errors import ModelError
from infra.model.graph.files import find_external_file, list_external_data
from infra.model.graph.locales import make_portable
from infra.model.graph.nodes import ML, list_operators, to_text, walk
from infra.model.graph.value_limits import find_value_limits
from infra.model.graph.zipmap import remove_zipmaps
from infra.model.isolation import isolated
from infra.model.tensor import DATATYPES, DYNAMIC, Shapes, Tensor

MATRIX = 2  # dimensions
PROTOBUF_LIMIT = 2**31  # bytes of one message
MOST_BYTES = 10_240 * 2**20  # the most memory that a Lambda function can have
MOST_DIMENSIONS = 64  # of a numpy array
LABEL = re.compile(r'[^"\\\x00-\x1f]{1,200}')  # as functions/serving/manifest.py has it
# Names that mean "unknown length"; tf2onnx and onnx number such dimensions.
NAMELESS = re.compile(r"\W*|none|unknown|unk__\d+", re.IGNORECASE)
OVERRIDABLE_SINCE = 4  # IR version; before it, every weight had to be listed as an input


# Attributes of OneHotEncoder, LabelEncoder and CategoryMapper that list texts.
CATEGORIES = ("cats_strings", "keys_strings")

# Domains whose operators onnxruntime has.
DOMAINS = ("", ML, "ai.onnx.training", "ai.onnx.preview.training", "com.microsoft")


@dataclass(frozen=True)
class Graph:
    """A model that was read.

    `problems` say why it cannot be served; `changes` say what had to be changed so that it can.
    """

    source: Path
    producer: str  # what exported the model
    description: str
    ir_version: int
    opsets: Mapping[str, int]  # version of each domain's operators
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    operators: Mapping[str, int]  # how many of each, as domain:name unless standard
    categories: frozenset[str]  # texts that its encoders know
    external: Mapping[str, Path]  # files with external data, by path from the model
    size: int  # bytes of all files together
    changed: bytes | None  # the file to serve instead, if it had to be changed
    changes: tuple[str, ...]
    problems: tuple[str, ...]


@isolated
def read_graph(source: Path) -> Graph:
    """Read everything about a model that can be known without running it.

    The result is plain data, so the caller never parses the model. Raises ModelError if the file is
    not a model at all.
    """
    source = source.resolve()
    model, classes, locales, strange_locales = _adapt(source)
    typed = _infer_shapes(model)
    values, optional = _inputs(typed)
    limited = find_value_limits(model, values)
    problems: list[str] = []
    inputs = _each(lambda value: _tensor("input", value), values, problems)
    outputs = _each(lambda value: _tensor("output", value), typed.graph.output, problems)
    files = dict(
        _each(
            lambda one: find_external_file(source.parent, *one),
            list_external_data(model).items(),
            problems,
        )
    )
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
    if size > MOST_BYTES:  # checked before anything copies it
        problems.append(f"the model has {size:,} bytes, and a function at most {MOST_BYTES:,}")
    return Graph(
        source=source,
        producer=f"{to_text(model.producer_name)} {to_text(model.producer_version)}".strip(),
        description=to_text(model.doc_string).strip(),
        ir_version=model.ir_version,
        opsets={to_text(one.domain) or "ai.onnx": one.version for one in model.opset_import},
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
def rewrite(source: Path, shapes: Shapes) -> bytes:
    """Return the file to serve for a model, which declares `shapes` for some outputs."""
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


def _adapt(source: Path) -> tuple[ModelProto, dict[str, list[str]], list[str], list[str]]:
    """Load a model and change what Lambda cannot serve.

    Returns the model, the classes of the ZipMaps that were removed, what was changed about locales,
    and which locales cannot be changed.
    """
    model = _load(source)
    classes = remove_zipmaps(model)
    return model, classes, *make_portable([*walk(model, NodeProto)])


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
    for operator in dict.fromkeys(list_operators(model)):
        if not all(isinstance(text, str) for text in operator):
            name = ":".join(map(to_text, operator))
            raise ModelError(f"{path.name} is not an ONNX model: operator '{name}' is not UTF-8")
    return model


def _infer_shapes(model: ModelProto) -> ModelProto:
    """Complete the shapes of outputs, as onnxruntime does when it loads the model."""
    try:
        return onnx.shape_inference.infer_shapes(model)
    except Exception:  # onnx's errors share no base class; onnxruntime will say what is wrong
        return model


def _inputs(model: ModelProto) -> tuple[list[ValueInfoProto], set[str]]:
    """Return the inputs that a request can bring, and the names of those that have a default.

    Weights that are listed among the inputs are left out: before IR version 4 all of them had to be
    listed, and some exporters still do.
    """
    graph = model.graph
    weights = {tensor.name: len(tensor.dims) for tensor in graph.initializer}
    weights |= {tensor.values.name: len(tensor.dims) for tensor in graph.sparse_initializer}
    listed = {value.name for value in graph.input} & weights.keys()
    is_habit = listed == weights.keys() and max(weights.values(), default=0) >= MATRIX
    optional = set() if is_habit or model.ir_version < OVERRIDABLE_SINCE else listed
    return [value for value in graph.input if value.name not in weights.keys() - optional], optional


def _tensor(kind: str, value: ValueInfoProto) -> Tensor:
    """Return an input or output as model.json describes it.

    An output of unknown rank gets the shape [], as onnxruntime gives it. Raises ModelError if it is
    nothing that a request can carry.
    """
    name = to_text(value.name)
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
            f"input '{name}' has {row:,} bytes a row, and a function at most {MOST_BYTES:,}"
        )
    names = [_name(to_text(dimension.dim_param)) for dimension in tensor.shape.dim]
    named = {"dimensions": names} if any(names) else {}
    return {"name": name, "datatype": DATATYPES[tensor.elem_type], "shape": shape, **named}


def _name(dimension: str) -> str | None:
    """Return the name of a dimension, or None if it only means an unknown length."""
    return None if NAMELESS.fullmatch(dimension) or not LABEL.fullmatch(dimension) else dimension


def _read_categories(model: ModelProto) -> frozenset[str]:
    return frozenset(
        to_text(text)
        for node in walk(model, NodeProto)
        for attribute in node.attribute
        if attribute.name in CATEGORIES
        for text in attribute.strings
    )


def _count_operators(model: ModelProto) -> dict[str, int]:
    names = (f"{domain}:{name}" for domain, name in list_operators(model))
    return {name.removeprefix(":"): count for name, count in Counter(names).most_common()}


def _custom_operators(model: ModelProto) -> list[str]:
    own = {(to_text(function.domain), to_text(function.name)) for function in model.functions}
    return [
        f"operator {domain}:{name} is not part of onnxruntime: a custom operator needs a library "
        "that the runtime layer does not have; export the model without it"
        for domain, name in dict.fromkeys(list_operators(model))
        if domain not in DOMAINS and (domain, name) not in own
    ]


def _each[Item, Result](
    read: Callable[[Item], Result], items: Iterable[Item], problems: list[str]
) -> tuple[Result, ...]:
    """Read every item that can be read; append what is wrong with the others to `problems`."""
    results = []
    for item in items:
        try:
            results.append(read(item))
        except ModelError as error:
            problems.extend(error.problems)
    return tuple(results)
