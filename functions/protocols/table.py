"""Rows and named columns, as arrays for the model's inputs. Knows no HTTP.

An input whose features model.json names is made of their columns, side by side, or given whole
under its own name, as every other input is. A cell is written as in JSON in every form, CSV too,
so that one table gives the same arrays whichever way it comes.

Every function raises RequestError, or LimitError, for what does not fit the model.
"""

import codecs
import io
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import chain, islice
from types import GenericAlias
from typing import Any

import msgspec
import numpy as np
from msgspec import UNSET, Raw, Struct, UnsetType
from msgspec.structs import astuple

from protocols.strict_json import (
    EACH_KEY_ONCE,
    JsonText,
    count,
    count_all,
    count_values,
    decode,
)
from protocols.tensor_encodings import FEW, NESTED, from_json
from serving.errors import LimitError, RequestError, unknown
from serving.manifest import DYNAMIC, Tensor
from serving.model import Inputs, Model
from serving.tensors import DATATYPES, Array, Datatype

LONGEST_NUMBER = 2**18  # characters, in a CSV

# A cell of a CSV and what ends it; none where it goes on in the next line.
_CELL = re.compile(r'(?:"(?:[^"]++|"")*+"|[^",\r\n][^,\r\n]*+)?+(,|[\r\n]+|$)')
_REST_OF_CELL = re.compile(r'(?:[^"]++|"")*+"(,|[\r\n]+|$)')


class _List(Struct, array_like=True, gc=False):
    """Any list; nothing of it is kept, so that counting lists costs little memory."""


class _First(Struct, array_like=True):
    """The first item of a list; nothing else of it is kept."""

    item: Raw | UnsetType = UNSET


class Split(Struct):
    """A table as pandas writes it with `orient="split"`; its `index` means nothing here."""

    columns: Raw
    data: Raw
    index: Raw | UnsetType = UNSET


@lru_cache(maxsize=64)
def _names_type(most: int) -> type[Struct]:
    """Make the type of a JSON list of names; what comes after the first `most` is left out."""
    fields = [(f"c{i}", str | UnsetType, UNSET) for i in range(most)]
    return msgspec.defstruct("Names", fields, array_like=True, gc=False)


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
    """Read a whole input from a nested list, whose first items give the dynamic dimensions."""
    tensor = model.inputs[name]
    if DYNAMIC in tensor.shape:
        _refuse_excess(model, data, [tensor], f"input '{name}'")
    datatype = DATATYPES[tensor.datatype]
    shape = _measure(data, tensor.shape, datatype.json or Raw, f"input '{name}': data")
    model.check_input(name, tensor.datatype, shape)
    return _read(data if shape else _to_list([data]), datatype, shape, f"input '{name}'")


def read_named(model: Model, data: JsonText, place: str) -> Inputs:
    """Read an object of whole inputs, and of features as lists."""
    given = _given(model, data, place)
    arrays = _assemble(model, _choose(model, list(given)), given)
    _refuse_repeated_keys(data, len(given), place)
    return arrays


def read_records(model: Model, data: JsonText, place: str) -> Inputs:
    """Read a list of objects, one a row, all of which have the names that the first has."""
    first = decode(data, _First, place).item
    names = _required(model) if first is UNSET else list(_given(model, first, f"{place}[0]"))
    choice = _choose(model, names)
    _refuse_excess(model, data, model.inputs.values(), place)
    row = object_type(tuple(_cells(model, choice, names).items()))
    rows = decode(data, GenericAlias(list, (row,)), place)
    arrays = _assemble(model, choice, _transpose(model, names, list(map(astuple, rows))))
    _refuse_repeated_keys(data, len(rows) * len(names), place)
    return arrays


def read_split(model: Model, split: Split, place: str) -> Inputs:
    """Read a list of columns, and a list of rows that have a cell for each."""
    names = _read_names(model, split.columns, f"{place}.columns")
    choice = _choose(model, names)
    _refuse_excess(model, split.data, model.inputs.values(), f"{place}.data")
    row = GenericAlias(tuple, tuple(_cells(model, choice, names).values()))
    rows = decode(split.data, GenericAlias(list, (row,)), f"{place}.data")
    return _assemble(model, choice, _transpose(model, names, rows))


def read_csv(model: Model, data: bytes) -> Inputs:
    """Read comma-separated values with a header row (RFC 4180); `""` is the empty string.

    As Latin-1, in which no character takes more than a byte, and UTF-8 only where text is wanted.
    """
    import csv

    csv.field_size_limit(_longest_cell(model, data))  # it is the process's
    most_cells = len(_names(model)) + FEW
    reader = csv.reader(_csv_lines(model, data, most_cells), strict=True, quoting=csv.QUOTE_NOTNULL)
    try:
        names = [(name or "").encode("latin-1").decode() for name in next(reader, ())]
        rows = list(islice(reader, model.manifest.limits.rows + 1))
    except csv.Error as error:
        raise RequestError(f"CSV: line {reader.line_num}: {error}") from error
    except UnicodeDecodeError as error:
        raise RequestError("CSV: Expected UTF-8") from error
    if not names:
        raise RequestError("CSV: Expected a header row that names the columns")
    choice = _choose(model, names)
    for i, row in enumerate(rows):
        if len(row) != len(names):
            got = len(row) if len(row) <= most_cells else f"more than {most_cells}"
            raise RequestError(f"CSV: data[{i}]: Expected {len(names)} cells, got {got}")
    table = _transpose(model, names, rows)
    for name, columns in choice.items():
        for column in columns:
            table[column] = _csv_to_json(column, table[column], model.inputs[name])
    return _assemble(model, choice, table)


def _longest_cell(model: Model, data: bytes) -> int:
    """Return the characters of a cell: as many as there are only where a cell can be text."""
    has_text = any(tensor.datatype == "BYTES" for tensor in model.inputs.values())
    return len(data) + 1 if has_text else LONGEST_NUMBER


def _csv_lines(model: Model, data: bytes, most_cells: int) -> Iterable[str]:
    data = data.removeprefix(codecs.BOM_UTF8).rstrip(b"\r\n")
    lines = io.TextIOWrapper(io.BytesIO(data), "latin-1", newline="")
    most = (model.manifest.limits.rows + 1) * (most_cells - FEW) + FEW
    return lines if count_all(data, b",") <= most else _cut_rows(lines, most_cells)


def _cut_rows(lines: Iterable[str], most_cells: int) -> Iterator[str]:
    """Yield the lines of a CSV until a row has more than `most_cells`: of that one, no more."""
    cells = 0
    is_open = False  # the line begins inside a quoted cell
    for line in lines:
        cells = cells if is_open else 0
        cell = (_REST_OF_CELL if is_open else _CELL).match(line)
        while cell and cell[1] == ",":
            cells += 1
            if cells > most_cells:
                yield line[: cell.end()]
                return
            cell = _CELL.match(line, cell.end())
        is_open = cell is None
        yield line


def _choose(model: Model, given: Sequence[str]) -> dict[str, list[str]]:
    """Name the columns that make up each input: its own name alone, or its features."""
    counts = Counter(given)
    choice: dict[str, list[str]] = {}
    for name, tensor in model.inputs.items():
        columns = [name] if name in counts else tensor.columns
        missing = next((column for column in columns if column not in counts), None)
        if missing is None:
            choice[name] = columns
        elif not tensor.optional or not counts.keys().isdisjoint(columns):
            why = "" if tensor.features else "; model.json names no features of that input"
            raise RequestError(f"column '{missing}' is missing{why}")
    wanted = Counter(chain.from_iterable(choice.values()))
    # No column is missing, so these are names, and not the values of a row in a header's place.
    for position, name in enumerate(given, 1):
        if name not in wanted:
            raise RequestError(unknown(f"column {position}", wanted))
    for name, uses in wanted.items():
        if max(uses, counts[name]) > 1:
            raise RequestError(f"column '{name}' is there twice")
    return choice


def _required(model: Model) -> list[str]:
    tensors = [tensor for tensor in model.inputs.values() if not tensor.optional]
    return [column for tensor in tensors for column in tensor.columns]


def _given(model: Model, data: JsonText, place: str) -> dict[str, Any]:
    """Return the members of an object by name; RequestError for a name that the model lacks."""
    fields = tuple((name, Raw | UnsetType) for name in _names(model))
    values = astuple(decode(data, object_type(fields, optional=True), place))
    named = zip(_names(model), values, strict=True)
    return {name: raw for name, raw in named if raw is not UNSET}


@lru_cache(maxsize=8)
def _names(model: Model) -> tuple[str, ...]:
    """Name every column that the model knows: its inputs and their features."""
    features = [column for tensor in model.inputs.values() for column in tensor.columns]
    return tuple(dict.fromkeys([*model.inputs, *features]))


def _read_names(model: Model, data: JsonText, place: str) -> list[str]:
    """Read a list of columns, up to one more than the model knows: enough to refuse it."""
    names: Sequence[str | UnsetType] = astuple(
        decode(data, _names_type(len(_names(model)) + 1), place)
    )
    return [name for name in names if not isinstance(name, UnsetType)]


def _cells(
    model: Model, choice: Mapping[str, Sequence[str]], names: Sequence[str]
) -> dict[str, Any]:
    """Return what a cell of each of the columns `names` must be, in msgspec's terms."""
    cells = {
        column: Raw if column == name else _cell(DATATYPES[model.inputs[name].datatype])
        for name, columns in choice.items()
        for column in columns
    }
    return {name: cells[name] for name in names}


def _cell(datatype: Datatype) -> Any:
    # from_json raises where there is no JSON form, and checks what msgspec's bounds cannot.
    return Raw if datatype.name in {"BF16", "UINT64"} else datatype.json


def _assemble(
    model: Model, choice: Mapping[str, Sequence[str]], table: Mapping[str, Any]
) -> Inputs:
    """Make the inputs of a table whose columns are JSON lists, or sequences of cells."""
    arrays: dict[str, Array] = {}
    for name, columns in choice.items():
        if name in columns:
            arrays[name] = read_tensor(model, name, _to_list(table[name]))
            continue
        datatype = DATATYPES[model.inputs[name].datatype]
        rows = model.manifest.limits.rows
        parts = [_to_cells(column, table[column], datatype, rows) for column in columns]
        model.check_input(name, datatype.name, [len(parts[0]), len(columns)])
        arrays[name] = np.stack(
            [
                _column(column, cells, datatype, columns[0], len(parts[0]))
                for column, cells in zip(columns, parts, strict=True)
            ],
            axis=1,
        )
    return Inputs(arrays)


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


def _refuse_excess(model: Model, data: JsonText, tensors: Iterable[Tensor], place: str) -> None:
    """Raise LimitError for many more values than `tensors` may have, before any is made."""
    most = sum(map(model.manifest.most_elements, tensors))
    if (found := count_values(data, most + FEW)) > most + FEW:
        limit = model.manifest.limits.rows
        raise LimitError(f"{place}: at most {limit} rows a request and {most} values, got {found}")


def _refuse_repeated_keys(data: JsonText, keys: int, place: str) -> None:
    """Raise RequestError if objects that have each of `keys` keys have one of them twice."""
    if count(data, b":", keys) > keys:
        raise RequestError(f"{place}: {EACH_KEY_ONCE}")


def _to_list(cells: Any) -> JsonText:
    """Make a JSON list of cells, unless they are one already."""
    return cells if isinstance(cells, JsonText) else b"[" + b",".join(cells) + b"]"


def _to_cells(name: str, cells: Any, datatype: Datatype, limit: int) -> Any:
    """Make cells of a JSON list, unless they are cells already."""
    if not isinstance(cells, JsonText):
        return cells
    if count_values(cells, limit + FEW) > limit + FEW:
        raise LimitError(f"column '{name}': at most {limit} rows a request")
    return decode(cells, GenericAlias(list, (_cell(datatype),)), f"column '{name}': data")


def _csv_to_json(name: str, cells: Sequence[str | None], tensor: Tensor) -> bytes:
    if tensor.name == name and tensor.shape[1:] not in ([], [1]):
        raise RequestError(f"column '{name}': a row of that input does not fit in a cell of a CSV")
    if None in cells:
        place = f"column '{name}': data[{cells.index(None)}]"
        raise RequestError(f"{place}: Expected {tensor.datatype}, got an empty cell")
    if tensor.datatype == "BYTES":
        return msgspec.json.encode(cells).decode().encode("latin-1")
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
    if text.count(",") >= max(1, len(cells)):
        return None
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
