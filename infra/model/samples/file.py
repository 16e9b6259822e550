"""A file of samples: CSV with a header, JSON Lines, or NPZ."""

import contextlib
import csv
import json
import math
import sys
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from infra.model.errors import ModelError
from infra.model.graph.graph import DYNAMIC, Tensor
from infra.model.isolation import isolated
from infra.model.samples.columns import choose_arrays, choose_columns, known_features
from infra.model.samples.samples import DTYPES, TABLE, Array, Samples, has_rows, kind_of, row_shape

type Record = tuple[str, Mapping[str, Any]]  # where in the file, and its values by name

# What a value may be, and the kinds of a numpy array, by the kind of the tensor.
TYPES = {"f": (float, int), "i": (int,), "b": (bool,), "O": (str,)}
KINDS = {"f": "fiu", "i": "iu", "b": "b", "O": "U"}
LARGEST = {"FP16": 65504.0, "BF16": 3.38e38, "FP32": 3.4028234e38, "FP64": sys.float_info.max}
RANGES: dict[str, tuple[float, float]] = {
    **{name: (-largest, largest) for name, largest in LARGEST.items()},
    **{
        name: (np.iinfo(dtype).min, np.iinfo(dtype).max)
        for name, dtype in DTYPES.items()
        if dtype.kind in "iu"
    },
}
BOOLEANS = {"true": True, "1": True, "false": False, "0": False}


class Cell(str):
    """A cell of a CSV file: what it stands for depends on where it goes."""

    __slots__ = ()


@isolated
def read_samples(
    path: Path, inputs: Sequence[Tensor], features: Sequence[str] = (), target: str = ""
) -> Samples:
    """Read every row of a file, and its outcome from the column `target` if one is named.

    The columns of a CSV file, and the names in each line of JSON, are inputs, or the `features`
    of the one input that is a table (default: those of its contract, else all the columns there
    are). The arrays of an NPZ file are whole inputs. Raises ModelError, which names line and column
    and repeats no value: rows are somebody's data.
    """
    try:
        match path.suffix.lower():
            case ".csv":
                return _read_records(path.name, _read_csv(path), inputs, features, target)
            case ".jsonl":
                return _read_records(path.name, _read_jsonl(path), inputs, features, target)
            case ".npz":
                return _read_npz(path, inputs, features, target)
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ModelError(f"{path.name} is not UTF-8 text") from error
    except csv.Error as error:
        raise ModelError(f"{path.name} is not CSV: {error}") from error
    raise ModelError(f"{path.name}: samples are read from .csv, .jsonl and .npz files")


def _read_csv(path: Path) -> Iterator[Record]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.reader(file)
        header = next(reader, [])
        _check_header(path.name, header)
        if len(set(header)) < len(header):
            raise ModelError(f"{path.name}: the header names a column twice")
        for cells in filter(None, reader):
            place = f"{path.name} line {reader.line_num}"
            if len(cells) != len(header):
                raise ModelError(f"{place}: {len(cells)} cells, the header has {len(header)}")
            yield place, dict(zip(header, map(Cell, cells), strict=True))


def _check_header(name: str, header: Sequence[str]) -> None:
    """Raise ModelError if a cell is a number; pandas numbers columns that have no names."""
    if header == [str(i) for i in range(len(header))]:
        return
    for i, cell in enumerate(header, 1):
        if any(map(str.isdigit, cell)) and isinstance(_parse(cell, "f"), float):
            raise ModelError(
                f"{name} has no header: column {i} of its first line is a number, expected the "
                "names of the columns"
            )


def _read_jsonl(path: Path) -> Iterator[Record]:
    for number, line in enumerate(path.read_text("utf-8-sig").splitlines(), 1):
        place = f"{path.name} line {number}"
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            raise ModelError(f"{place} is not JSON") from None
        if not isinstance(record, dict):
            raise ModelError(f"{place}: expected an object with a value for each name")
        yield place, record


def _read_npz(
    path: Path, inputs: Sequence[Tensor], features: Sequence[str], target: str
) -> Samples:
    arrays: dict[str, Array] = {}
    outcomes: list[Any] = []
    try:
        with np.load(path, allow_pickle=False) as file:
            names = [name for name in file if name != target]
            chosen = choose_arrays(path.name, names, inputs)
            for tensor in inputs:
                for name, found in chosen.of.get(tensor["name"], {}).items():
                    arrays[name] = _read_array(file[found], tensor, f"{path.name}: '{found}'")
            if target:
                if target not in file:
                    raise ModelError(
                        f"{path.name} has no array '{target}' for --target; it has: "
                        f"{', '.join(file)}"
                    )
                outcomes = file[target].ravel().tolist()
    except (ValueError, AttributeError, EOFError, zipfile.BadZipFile) as error:
        raise ModelError(f"{path.name} is not an NPZ file of plain arrays") from error
    lengths = {len(array) for array in arrays.values()}
    if len(lengths) > 1 or 0 in lengths:
        raise ModelError(f"{path.name}: expected as many rows of each input, got {sorted(lengths)}")
    tables = [one for one in inputs if one["name"] in arrays and len(one["shape"]) == TABLE]
    known = {one["name"]: known_features(one) for one in tables}
    columns = known | {one["name"]: [*features] for one in tables[:1] if features}
    samples = Samples(inputs, arrays, columns, outcomes, chosen.notes)
    if target and len(outcomes) != len(samples):
        raise ModelError(
            f"{path.name}: '{target}' has {len(outcomes)} values, the inputs {len(samples)} rows"
        )
    return samples


def _read_array(array: Array, tensor: Tensor, place: str) -> Array:
    """Read rows of an input; an array of its own shape is the only one where it has no rows."""
    datatype, kind = tensor["datatype"], kind_of(tensor)
    if array.dtype.kind not in KINDS[kind]:
        raise ModelError(f"{place}: expected {datatype}, got {array.dtype}")
    if datatype in RANGES:
        lowest, highest = RANGES[datatype]
        if not ((array >= lowest) & (array <= highest)).all():
            raise ModelError(f"{place}: expected {datatype}, got NaN or a number that is too large")
    if not has_rows(tensor) and array.ndim == len(tensor["shape"]):
        array = array[np.newaxis]
    _check_shape(array, [DYNAMIC, *row_shape(tensor)], place)
    return array.astype(DTYPES[datatype])


def _read_records(
    name: str,
    stream: Iterable[Record],
    inputs: Sequence[Tensor],
    features: Sequence[str],
    target: str,
) -> Samples:
    records = list(stream)
    if not records:
        raise ModelError(f"{name} holds no rows")
    header = [column for column in records[0][1] if column != target]
    columns = choose_columns(name, header, inputs, features)
    arrays = {}
    for tensor in inputs:
        match [*columns.of.get(tensor["name"], {}).items()]:
            case [(feature, column)] if feature == tensor["name"]:
                arrays[feature] = _read_column(records, column, tensor, row_shape(tensor))
            case [*chosen] if chosen:
                table = [_read_column(records, column, tensor, []) for _, column in chosen]
                arrays[tensor["name"]] = np.stack(table, axis=1)
    outcomes = _read_target(records, target) if target else ()
    return Samples(inputs, arrays, columns.features, outcomes, columns.notes)


def _read_target(records: Sequence[Record], target: str) -> list[Any]:
    """Read the known outcome of every row: a text, a number or a boolean."""
    outcomes = []
    for place, record in records:
        if target not in record:
            raise ModelError(f"{place} has no '{target}' for --target; it has: {', '.join(record)}")
        outcome = record[target]
        if not isinstance(outcome, str | int | float) or not str(outcome).strip():
            raise ModelError(f"{place}, '{target}': expected the outcome of the row, got none")
        outcomes.append(outcome)
    return outcomes


def _read_column(
    records: Sequence[Record], column: str, tensor: Tensor, shape: Sequence[int]
) -> Array:
    """Read what every record has under one name, each of `shape` and all alike."""
    rows: list[Any] = []
    for place, record in records:
        if column not in record:
            raise ModelError(f"{place} has no '{column}'; it has: {', '.join(record)}")
        value = _read_value(record[column], tensor, f"{place}, '{column}'")
        if shape or isinstance(value, list):
            value = _read_row(value, tensor, shape, f"{place}, '{column}'")
            if rows and value.shape != rows[0].shape:
                raise ModelError(
                    f"{place}, '{column}': shape {list(value.shape)}, in the first row it is "
                    f"{list(rows[0].shape)}: all rows must have one shape"
                )
        rows.append(value)
    return np.array(rows, DTYPES[tensor["datatype"]])


def _read_value(value: Any, tensor: Tensor, place: str) -> Any:
    """Return a value, or lists of them, of the tensor's datatype; a cell's text is parsed."""
    if isinstance(value, list):
        return [_read_value(item, tensor, f"{place}[{i}]") for i, item in enumerate(value)]
    datatype, kind = tensor["datatype"], kind_of(tensor)
    if isinstance(value, Cell):
        value = _parse(str(value), kind)
    lowest, highest = RANGES.get(datatype, (value, value))
    if type(value) not in TYPES[kind] or not lowest <= value <= highest:
        raise ModelError(f"{place}: expected {datatype}, got {_describe(value, kind)}")
    return value


def _describe(value: Any, kind: str) -> str:
    """Say what is wrong with a value without repeating it."""
    match value:
        case None:
            return "null"
        case "":
            return "an empty cell"
        case bool() | str() | dict():
            return {bool: "a boolean", dict: "an object"}.get(type(value), "text")
        case float() if math.isnan(value):
            return "NaN"
        case float() if kind == "i":
            return "a number with a fraction"
    return "a number" if kind in "bO" else "a number out of its range"


def _read_row(value: Any, tensor: Tensor, shape: Sequence[int], place: str) -> Array:
    try:
        row = np.array(value, DTYPES[tensor["datatype"]])
    except ValueError:
        raise ModelError(f"{place}: the lists in it have different lengths") from None
    if row.ndim == 0 and math.prod(shape) == 1:  # a row of one may go without brackets
        return row.reshape(shape)
    _check_shape(row, shape, place)
    return row


def _check_shape(array: Array, shape: Sequence[int], place: str) -> None:
    fits = array.ndim == len(shape) and all(
        expected in {DYNAMIC, length} for expected, length in zip(shape, array.shape, strict=True)
    )
    if not fits:
        raise ModelError(f"{place}: expected shape {list(shape)}, got {list(array.shape)}")


def _parse(text: str, kind: str) -> Any:
    """Read a cell as a value of a kind; what is none of it stays text."""
    if kind == "b":
        return BOOLEANS.get(text.lower(), text)
    if kind == "O" or "_" in text:
        return text
    for read in (int, float) if kind == "i" else (float,):
        with contextlib.suppress(ValueError):
            return read(text)
    return text
