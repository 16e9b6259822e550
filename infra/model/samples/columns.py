"""Which column of a file goes to which input of a model, or to which feature of a table."""

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from infra.model.errors import ModelError
from infra.model.tensor import DYNAMIC, TABLE, Tensor, has_rows

SHOWN = 20  # names in one message


@dataclass(frozen=True)
class Columns:
    """The column of the file for each feature of each input: `of[input][feature]`.

    An input that is a single column is its own only feature.
    """

    of: Mapping[str, Mapping[str, str]]
    notes: Sequence[str]  # what a person should check

    @property
    def features(self) -> dict[str, Sequence[str]]:
        """The names of each input's columns."""
        return {name: [*chosen] for name, chosen in self.of.items()}


def choose_columns(
    file: str, header: Sequence[str], inputs: Sequence[Tensor], features: Sequence[str] = ()
) -> Columns:
    """Find the columns of each input: the one with its name, or those of a table's features.

    The features are `features`, else those of the table's contract, else all remaining columns in
    the file's order. Names may differ in case, spaces and punctuation. Raises ModelError, which
    names what is missing.
    """
    of = {one["name"]: {one["name"]: one["name"]} for one in inputs if one["name"] in header}
    left = [column for column in header if column not in of]
    rest = [one for one in inputs if one["name"] not in of and not one.get("optional")]
    if len(rest) == 1 and _is_table(rest[0], features, left):
        [table] = rest
        known = features or known_features(table)
        of[table["name"]] = _match(file, known or left, left, header, "column for the feature")
        _check_width(file, table, [*of[table["name"]]], "" if known else "--features")
        order = "" if known else f" (input '{table['name']}' takes them in this order: check it)"
    else:
        found = _match(file, [one["name"] for one in rest], left, header)
        of |= {name: {name: column} for name, column in found.items()}
        order = ""
    return Columns(of, [*_describe(file, "column", header, of, order)])


def choose_arrays(file: str, names: Sequence[str], inputs: Sequence[Tensor]) -> Columns:
    """Find the array of each input, as `choose_columns` does."""
    of = {one["name"]: one["name"] for one in inputs if one["name"] in names}
    rest = [one["name"] for one in inputs if one["name"] not in of and not one.get("optional")]
    of |= _match(file, rest, [name for name in names if name not in of], names, "array")
    arrays = {name: {name: array} for name, array in of.items()}
    return Columns(arrays, [*_describe(file, "array", names, arrays)])


def known_features(tensor: Tensor) -> list[str]:
    """Return the names of the features that a contract knows."""
    return [feature["name"] for feature in tensor.get("features", ())]


def _is_table(tensor: Tensor, features: Sequence[str], left: Sequence[str]) -> bool:
    """Return whether an input takes several columns, or one column of another name."""
    if len(tensor["shape"]) != TABLE or not has_rows(tensor):
        return False
    return bool(features) or tensor["shape"][1] != 1 or _find(tensor["name"], left) is None


def _match(
    file: str,
    wanted: Sequence[str],
    left: Sequence[str],
    header: Sequence[str],
    kind: str = "column",
) -> dict[str, str]:
    """Return a column among those `left` for each of the `wanted` names."""
    columns = {name: _find(name, left) for name in wanted}
    found = {name: column for name, column in columns.items() if column is not None}
    for name in wanted:
        if name not in found:
            near = difflib.get_close_matches(_normalize(name), map(_normalize, left), 1)
            nearest = [column for column in left if _normalize(column) in near]
            advice = f"; the nearest is '{nearest[0]}'" if nearest else ""
            # If no name matches, the first line may be no header but somebody's data.
            if not nearest and (found or len(left) < len(header)):
                advice = f"; it has: {join(header)}"
            raise ModelError(f"{file} has no {kind} '{name}'{advice}")
    return found


def _find(name: str, header: Sequence[str]) -> str | None:
    """Return the column of that name, or the only one that differs just in spelling."""
    if name in header:
        return name
    like = [column for column in header if _normalize(column) == _normalize(name)]
    if len(like) > 1:
        raise ModelError(f"{join(like)} could each be '{name}': give one of them that name")
    return like[0] if like else None


def _normalize(name: str) -> str:
    return re.sub(r"[\W_]+", "", name).casefold()


def _check_width(file: str, table: Tensor, columns: Sequence[str], option: str) -> None:
    width = table["shape"][1]
    if width not in {DYNAMIC, len(columns)}:
        advice = f": choose them with {option}" if option else ""
        raise ModelError(
            f"{file}: input '{table['name']}' takes {width} columns, got {len(columns)} "
            f"({join(columns)}){advice}"
        )


def _describe(
    file: str,
    kind: str,
    header: Sequence[str],
    of: Mapping[str, Mapping[str, str]],
    order: str = "",
) -> Iterator[str]:
    """Yield notes about which columns are read, under which names, and which are not."""
    columns = {column: name for chosen in of.values() for name, column in chosen.items()}
    yield f"{file}: {kind}s read: {join(columns)}{order}"
    for column, name in columns.items():
        if name != column:
            yield f"{file}: {kind} '{column}' is read as '{name}'"
    if unread := [column for column in header if column not in columns]:
        yield f"{file}: {kind}s not read: {join(unread)}"


def join(names: Iterable[str]) -> str:
    """Return names as one text, of at most SHOWN of them."""
    shown = [*names]
    more = f" and {len(shown) - SHOWN} more" if len(shown) > SHOWN else ""
    return ", ".join(shown[:SHOWN]) + more
