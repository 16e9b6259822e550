"""A file of samples: CSV with a header, JSON Lines, or NPZ."""

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
from infra.model.graph import DYNAMIC, Tensor
from infra.model.samples import DTYPES, Array, Samples, has_rows, kind_of, row_shape

type Record = tuple[str, Mapping[str, Any]]  # where in the file, and its values by name

TABLE = 2  # dimensions: rows and columns
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


def read_samples(
    path: Path, inputs: Sequence[Tensor], features: Sequence[str] = (), target: str = ""
) -> Samples:
    """Read every row of a file, and its outcome from the column `target` if one is named.

    The columns of a CSV file, and the names in each line of JSON, are inputs, or the `features`
    of the one input that is a table (default: all the columns there are). The arrays of an NPZ
    file are whole inputs. Raises ModelError, which names line and column.
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
    raise ModelError(f"{path.name}: samples are read from .csv, .jsonl and .npz files")


def _read_csv(path: Path) -> Iterator[Record]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.reader(file)
        header = next(reader, [])
        if len(set(header)) < len(header):
            raise ModelError(f"{path.name}: the header names a column twice")
        for cells in filter(None, reader):
            place = f"{path.name} line {reader.line_num}"
            if len(cells) != len(header):
                raise ModelError(f"{place}: {len(cells)} cells, the header has {len(header)}")
            yield place, dict(zip(header, map(Cell, cells), strict=True))


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
            for tensor in inputs:
                name = tensor["name"]
                if name in file:
                    arrays[name] = _read_array(file[name], tensor, f"{path.name}: '{name}'")
                elif not tensor.get("optional"):
                    raise ModelError(
                        f"{path.name} has no array '{name}'; it has: {', '.join(file)}"
                    )
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
    tables = [name for name, array in arrays.items() if features and array.ndim == TABLE]
    samples = Samples(inputs, arrays, dict.fromkeys(tables[:1], features), outcomes)
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
        chosen, shape = columns.get(tensor["name"]), row_shape(tensor)
        if chosen == [tensor["name"]]:
            arrays[tensor["name"]] = _read_column(records, tensor["name"], tensor, shape)
        elif chosen:
            table = [_read_column(records, column, tensor, []) for column in chosen]
            arrays[tensor["name"]] = np.stack(table, axis=1)
    return Samples(inputs, arrays, columns, _read_target(records, target) if target else ())


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


def choose_columns(
    name: str, header: Sequence[str], inputs: Sequence[Tensor], features: Sequence[str]
) -> dict[str, Sequence[str]]:
    """Return the columns of each input: the one of its name, or those of the table's features."""
    columns: dict[str, Sequence[str]] = {
        tensor["name"]: [tensor["name"]] for tensor in inputs if tensor["name"] in header
    }
    rest = [one for one in inputs if one["name"] not in columns and not one.get("optional")]
    tables = [one for one in rest if len(one["shape"]) == TABLE and has_rows(one)]
    if len(rest) > 1 or tables != rest:
        raise ModelError(f"{name} has no column '{rest[-1]['name']}'; it has: {', '.join(header)}")
    for table in tables:
        chosen = features or [column for column in header if column not in columns]
        width = table["shape"][1]
        if width not in {DYNAMIC, len(chosen)}:
            advice = "" if features else ": choose them with --features"
            raise ModelError(
                f"{name}: input '{table['name']}' takes {width} columns, got {len(chosen)} "
                f"({', '.join(chosen)}){advice}"
            )
        columns[table["name"]] = chosen
    return columns


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
        shown = "an empty cell" if value == "" else f"{value!r:.40}"
        raise ModelError(f"{place}: expected {datatype}, got {shown}")
    return value


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
    try:
        return text if kind == "O" or "_" in text else {"f": float, "i": int}[kind](text)
    except ValueError:
        return text
