"""Rows and named columns, as arrays for the model's inputs. Knows no HTTP.

An input whose features model.json names is made of their columns, side by side, or given whole
under its own name, as every other input is. A cell is written as in JSON in every form, CSV too,
so that one table gives the same arrays whichever way it comes.

Every function raises RequestError, or LimitError, for what does not fit the model.
"""

import io
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import chain, islice
from types import GenericAlias
from typing import Any

import msgspec
import numpy as np
from msgspec import UNSET, Raw, Struct, UnsetType
from msgspec.structs import astuple

from serving.errors import LimitError, RequestError
from serving.manifest import DYNAMIC, Tensor
from serving.model import Model
from serving.strict_json import JsonText, decode, refuse_repeated_keys
from serving.tensors import DATATYPES, NESTED, Array, Datatype, from_json


class _List(Struct, array_like=True, gc=False):
    """Any list; nothing of it is kept, so that counting lists costs little memory."""


class _First(Struct, array_like=True):
    """The first item of a list; nothing else of it is kept."""

    item: Raw | UnsetType = UNSET


class _Split(Struct):
    """A table as pandas writes it with `orient="split"`; its `index` means nothing here."""

    columns: list[str]
    data: Raw


@lru_cache(maxsize=64)
def object_type(fields: tuple[tuple[str, Any], ...], *, optional: bool = False) -> type[Struct]:
    """Make the type of a JSON object that has just these fields, which are `optional` or not."""
    default = (UNSET,) if optional else ()
    return msgspec.defstruct(
        "Object",
        [(f"c{i}", form, *default) for i, (_, form) in enumerate(fields)],
        rename={f"c{i}": name for i, (name, _) in enumerate(fields)},
        forbid_unknown_fields=True,
        gc=False,
    )


def read_tensor(model: Model, name: str, data: JsonText) -> Array:
    """Read a whole input from a nested list, whose first items tell the dynamic dimensions."""
    tensor = model.inputs[name]
    datatype = DATATYPES[tensor.datatype]
    shape = _measure(data, tensor.shape, datatype.json or Raw, f"input '{name}': data")
    model.check_input(name, tensor.datatype, shape)
    return _read(data if shape else _to_list([data]), datatype, shape, f"input '{name}'")


def read_named(model: Model, data: JsonText, place: str) -> dict[str, Array]:
    """Read an object of whole inputs, and of features as lists."""
    given = _given(model, data, place)
    arrays = _assemble(model, _choose(model, list(given)), given)
    refuse_repeated_keys(data, dict.fromkeys(given, 1), place)
    return arrays


def read_records(model: Model, data: JsonText, place: str) -> dict[str, Array]:
    """Read a list of objects, one a row, all of which have the names that the first has."""
    first = decode(data, _First, place).item
    names = _required(model) if first is UNSET else list(_given(model, first, f"{place}[0]"))
    choice = _choose(model, names)
    row = object_type(tuple(_cells(model, choice, names).items()))
    rows = decode(data, GenericAlias(list, (row,)), place)
    arrays = _assemble(model, choice, _transpose(model, names, list(map(astuple, rows))))
    refuse_repeated_keys(data, dict.fromkeys(names, len(rows)), place)
    return arrays


def read_split(model: Model, data: JsonText, place: str) -> dict[str, Array]:
    """Read a list of columns, and a list of rows that have a cell for each."""
    split = decode(data, _Split, place)
    refuse_repeated_keys(data, {"columns": 1, "data": 1}, place)
    choice = _choose(model, split.columns)
    row = GenericAlias(tuple, tuple(_cells(model, choice, split.columns).values()))
    rows = decode(split.data, GenericAlias(list, (row,)), f"{place}.data")
    return _assemble(model, choice, _transpose(model, split.columns, rows))


def read_csv(model: Model, data: bytes) -> dict[str, Array]:
    """Read comma-separated values with a header row (RFC 4180); `""` is the empty string."""
    import csv

    try:
        text = data.decode("utf-8-sig").rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise RequestError("CSV: Expected UTF-8") from error
    csv.field_size_limit(max(csv.field_size_limit(), len(text) + 1))  # it is the process's
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, quoting=csv.QUOTE_NOTNULL)
    try:
        names = [name or "" for name in next(reader, ())]
        rows = list(islice(reader, model.manifest.limits.rows + 1))
    except csv.Error as error:
        raise RequestError(f"CSV: line {reader.line_num}: {error}") from error
    if not names:
        raise RequestError("CSV: Expected a header row that names the columns")
    choice = _choose(model, names)
    for i, row in enumerate(rows):
        if len(row) != len(names):
            raise RequestError(f"CSV: data[{i}]: Expected {len(names)} cells, got {len(row)}")
    table = _transpose(model, names, rows)
    for name, columns in choice.items():
        for column in columns:
            table[column] = _csv_to_json(column, table[column], model.inputs[name])
    return _assemble(model, choice, table)


def _choose(model: Model, given: Sequence[str]) -> dict[str, list[str]]:
    """Name the columns that make up each input: its own name alone, or its features."""
    counts = Counter(given)
    choice: dict[str, list[str]] = {}
    for name, tensor in model.inputs.items():
        columns = [name] if name in counts else _columns(tensor)
        missing = next((column for column in columns if column not in counts), None)
        if missing is None:
            choice[name] = columns
        elif not tensor.optional or not counts.keys().isdisjoint(columns):
            why = "" if tensor.features else "; model.json names no features of that input"
            raise RequestError(f"column '{missing}' is missing{why}")
    wanted = Counter(chain.from_iterable(choice.values()))
    # No column is missing, so these are names, and not the values of a row in a header's place.
    unknown = next((name for name in counts if name not in wanted), None)
    if unknown is not None:
        raise RequestError(f"unknown column '{unknown:.40}'")
    for name, count in wanted.items():
        if max(count, counts[name]) > 1:
            raise RequestError(f"column '{name}' is there twice")
    return choice


def _columns(tensor: Tensor) -> list[str]:
    is_table = len(tensor.shape) == 2  # noqa: PLR2004 rows and columns
    return [feature.name for feature in tensor.features if is_table] or [tensor.name]


def _required(model: Model) -> list[str]:
    tensors = [tensor for tensor in model.inputs.values() if not tensor.optional]
    return list(chain.from_iterable(map(_columns, tensors)))


def _given(model: Model, data: JsonText, place: str) -> dict[str, Any]:
    """Return the members of an object by name; RequestError for a name that the model lacks."""
    features = chain.from_iterable(map(_columns, model.inputs.values()))
    names = dict.fromkeys([*model.inputs, *features], Raw | UnsetType)
    values = astuple(decode(data, object_type(tuple(names.items()), optional=True), place))
    return {name: raw for name, raw in zip(names, values, strict=True) if raw is not UNSET}


def _cells(
    model: Model, choice: Mapping[str, Sequence[str]], names: Sequence[str]
) -> dict[str, Any]:
    """Tell what a cell of each of the columns `names` must be, in msgspec's terms."""
    cells = {
        column: Raw if column == name else _cell(DATATYPES[model.inputs[name].datatype])
        for name, columns in choice.items()
        for column in columns
    }
    return {name: cells[name] for name in names}


def _cell(datatype: Datatype) -> Any:
    # from_json tells that there is no JSON form, and checks what msgspec's bounds cannot.
    return Raw if datatype.name in {"BF16", "UINT64"} else datatype.json


def _assemble(
    model: Model, choice: Mapping[str, Sequence[str]], table: Mapping[str, Any]
) -> dict[str, Array]:
    """Make the inputs of a table whose columns are JSON lists, or sequences of cells."""
    arrays: dict[str, Array] = {}
    for name, columns in choice.items():
        if name in columns:
            arrays[name] = read_tensor(model, name, _to_list(table[name]))
            continue
        datatype = DATATYPES[model.inputs[name].datatype]
        parts = [_to_cells(column, table[column], datatype) for column in columns]
        model.check_input(name, datatype.name, [len(parts[0]), len(columns)])
        arrays[name] = np.stack(
            [
                _column(column, cells, datatype, columns[0], len(parts[0]))
                for column, cells in zip(columns, parts, strict=True)
            ],
            axis=1,
        )
    return arrays


def _column(name: str, cells: Sequence[Any], datatype: Datatype, first: str, rows: int) -> Array:
    if len(cells) != rows:
        raise RequestError(
            f"column '{name}': Expected {rows} rows, got {len(cells)}; column '{first}' has {rows}"
        )
    if _cell(datatype) is Raw:
        return _read(_to_list(cells), datatype, [rows], f"column '{name}'")
    return np.fromiter(cells, datatype.dtype, rows)


def _transpose(model: Model, names: Sequence[str], rows: Sequence[Any]) -> dict[str, Any]:
    limit = model.manifest.limits.rows
    if len(rows) > limit:
        raise LimitError(f"at most {limit} rows a request")
    columns = zip(*rows, strict=True)
    return dict(zip(names, columns, strict=False)) or dict.fromkeys(names, ())


def _to_list(cells: Any) -> JsonText:
    """Make a JSON list of cells, unless they are one already."""
    return cells if isinstance(cells, JsonText) else b"[" + b",".join(cells) + b"]"


def _to_cells(name: str, cells: Any, datatype: Datatype) -> Any:
    """Make cells of a JSON list, unless they are cells already."""
    if not isinstance(cells, JsonText):
        return cells
    return decode(cells, GenericAlias(list, (_cell(datatype),)), f"column '{name}': data")


def _csv_to_json(name: str, cells: Sequence[str | None], tensor: Tensor) -> bytes:
    if tensor.name == name and tensor.shape[1:] not in ([], [1]):
        raise RequestError(f"column '{name}': a row of that input does not fit in a cell of a CSV")
    if None in cells:
        place = f"column '{name}': data[{cells.index(None)}]"
        raise RequestError(f"{place}: Expected {tensor.datatype}, got an empty cell")
    if tensor.datatype == "BYTES":
        return msgspec.json.encode(cells)
    datatype = DATATYPES[tensor.datatype]
    data = _list_items(cells, datatype)
    if data is None:
        i = next(i for i, cell in enumerate(cells) if _list_items([cell], datatype) is None)
        raise RequestError(
            f"column '{name}': data[{i}]: Expected {datatype.name} as JSON writes it"
        )
    return data


def _list_items(cells: Sequence[Any], datatype: Datatype) -> bytes | None:
    """Make one JSON list of cells, unless one of them is anything but one item of it."""
    text = f"[{','.join(cells)}]"
    data = (text.lower() if datatype.name == "BOOL" else text).encode()
    try:
        items = decode(data, GenericAlias(list, (datatype.json or Raw,)), "")
    except RequestError:
        return None
    return data if len(items) == len(cells) else None


def _read(data: JsonText, datatype: Datatype, shape: Sequence[int], place: str) -> Array:
    try:
        return from_json(data, datatype, shape)
    except RequestError as error:
        raise RequestError(f"{place}: {error}") from error


def _measure(data: JsonText, shape: Sequence[int], item: Any, place: str) -> list[int]:
    """Return `shape` with each dynamic length as it is in `data`."""
    if DYNAMIC not in shape:
        return list(shape)
    length, *inner = shape
    if length == DYNAMIC:
        # A row of one number may be that number.
        is_flat = math.prod(inner) == 1 and not NESTED.match(data)
        length = len(decode(data, GenericAlias(list, (item if is_flat else _List,)), place))
    if DYNAMIC in inner:
        first = decode(data, _First, place).item
        if first is UNSET:
            inner = [max(0, n) for n in inner]
        else:
            inner = _measure(first, inner, item, f"{place}[0]")
    return [length, *inner]
