"""A file of samples: CSV with a header, JSON Lines, or NPZ."""

import csv
import json
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from infra.model.errors import ModelError
from infra.model.isolation import isolated
from infra.model.samples.columns import choose_arrays, choose_columns, join, known_features
from infra.model.samples.samples import Samples
from infra.model.samples.values import Cell, parse_cell, read_array, read_row, read_value
from infra.model.tensor import DTYPES, TABLE, Array, Tensor, row_shape

type Record = tuple[str, Mapping[str, Any]]  # its place in the file, and its values by name


@isolated
def read_samples(
    path: Path, inputs: Sequence[Tensor], features: Sequence[str] = (), target: str = ""
) -> Samples:
    """Read every row of a file, and its outcome from the column `target` if one is named.

    The columns of a CSV file, and the names in each line of JSON, are inputs, or the `features` of
    the one input that is a table (by default those of its contract, else all columns). The arrays
    of an NPZ file are whole inputs. Raises ModelError, which names line and column and repeats no
    value: rows are somebody's data.
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
            raise ModelError(f"{path.name}: the header has the same column twice")
        for cells in filter(None, reader):
            place = f"{path.name} line {reader.line_num}"
            if len(cells) != len(header):
                raise ModelError(f"{place}: {len(cells)} cells, the header has {len(header)}")
            yield place, dict(zip(header, map(Cell, cells), strict=True))


def _check_header(name: str, header: Sequence[str]) -> None:
    """Raise ModelError if the header holds numbers, other than 0, 1, 2 ... as pandas writes."""
    if header == [str(i) for i in range(len(header))]:
        return
    for i, cell in enumerate(header, 1):
        if any(map(str.isdigit, cell)) and isinstance(parse_cell(cell, "f"), float):
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
            _check_target(path.name, "array", [*file], target)
            names = [name for name in file if name != target]
            chosen = choose_arrays(path.name, names, inputs)
            for tensor in inputs:
                for name, found in chosen.of.get(tensor["name"], {}).items():
                    arrays[name] = read_array(file[found], tensor, f"{path.name}: '{found}'")
            if target:
                outcomes = file[target].ravel().tolist()
    except (ValueError, AttributeError, EOFError, zipfile.BadZipFile) as error:
        raise ModelError(f"{path.name} is not an NPZ file of plain arrays") from error
    lengths = {len(array) for array in arrays.values()}
    if len(lengths) > 1 or 0 in lengths:
        raise ModelError(
            f"{path.name}: expected the same number of rows for each input, got {sorted(lengths)}"
        )
    tables = [one for one in inputs if one["name"] in arrays and len(one["shape"]) == TABLE]
    known = {one["name"]: known_features(one) for one in tables}
    columns = known | {one["name"]: [*features] for one in tables[:1] if features}
    samples = Samples(inputs, arrays, columns, outcomes, chosen.notes)
    if target and len(outcomes) != len(samples):
        raise ModelError(
            f"{path.name}: '{target}' has {len(outcomes)} values, the inputs {len(samples)} rows"
        )
    return samples


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
    _check_target(name, "column", [*records[0][1]], target)
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


def _check_target(file: str, kind: str, names: Sequence[str], target: str) -> None:
    """Raise ModelError if a target was named that the file does not have."""
    if target and target not in names:
        raise ModelError(f"{file} has no {kind} '{target}' for --target; it has: {join(names)}")


def _read_target(records: Sequence[Record], target: str) -> list[Any]:
    """Return the known outcome of every row: a text, a number or a boolean."""
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
    """Read the column of one name from every record; all its values must have one shape."""
    rows: list[Any] = []
    for place, record in records:
        if column not in record:
            raise ModelError(f"{place} has no '{column}'; it has: {', '.join(record)}")
        value = read_value(record[column], tensor, f"{place}, '{column}'")
        if shape or isinstance(value, list):
            value = read_row(value, tensor, shape, f"{place}, '{column}'")
            if rows and value.shape != rows[0].shape:
                raise ModelError(
                    f"{place}, '{column}': shape {list(value.shape)}, in the first row it is "
                    f"{list(rows[0].shape)}: all rows must have one shape"
                )
        rows.append(value)
    return np.array(rows, DTYPES[tensor["datatype"]])
