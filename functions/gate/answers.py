"""A version's answers next to those of the version that it replaces, to the same requests.

A model that is trained again flips a few labels and moves its numbers a little. One whose labels or
columns were swapped starts, answers, and repeats its own golden answers just as well: only the
version before shows the difference.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple

import msgspec
import numpy as np
from msgspec import Struct

from gate.difference import exceeds, find_others, find_psi, is_systematic
from gate.golden import InferResponse
from serving.tensors import Array

USUAL = 0.1  # share of answers that may change without a person looking, whatever is allowed
FEWEST = 10  # rows that show how far numbers spread
RARE = 0.05  # share of all labels but the commonest, up to which labels alone say little
PSI_ROWS, PSI_SHIFT = 1000, 0.5
SUM = 0.05  # by which the probabilities of a row may add up to other than 1


class Pair(Struct, frozen=True):
    """What both versions answered to one request of so many rows."""

    rows: int
    before: InferResponse
    now: InferResponse


class Comparison(Struct, frozen=True):
    """Answers of both versions to the same requests, which `requests` names.

    `limit` is the percent of answers that may change. `classes` names the outputs that are known to
    have a number for each class in their last dimension.
    """

    requests: str
    limit: float
    classes: list[str]
    pairs: list[Pair]


class Change(Struct, frozen=True):
    """How much one output differs.

    `flips` is the share of labels that are others, None where there is none, and `is_rare` is
    whether nearly all of the old ones were the same. Of numbers, `moves` is the share that moved
    far (`find_others`), `mean` and `largest` are absolute differences, and
    `systematic` is whether they moved as a whole (`is_systematic`). `psi` is the population
    stability index, None below PSI_ROWS rows: of so few, chance alone makes it large.
    """

    requests: str
    output: str
    rows: int
    limit: float
    flips: float | None = None
    is_rare: bool = False
    moves: float | None = None
    mean: float | None = None
    largest: float | None = None
    systematic: bool = False
    psi: float | None = None

    @property
    def colour(self) -> Literal["green", "amber", "red"]:
        """Red is more than allowed, amber what a person should look at.

        What may not change is the label. Numbers judge a version where there is none, or where
        nearly all are the same, as in fraud: scores then rank the rows, and labels hide it.
        """
        most = max(self.flips or 0.0, self.moves or 0.0)
        judged = most if self.flips is None or self.is_rare else self.flips
        is_judged = self.flips is not None or self.rows >= FEWEST
        if is_judged and exceeds(judged * self.rows, self.rows, self.limit / 100):
            return "red"
        usual = min(self.limit / 100, USUAL)
        is_much = most > usual or exceeds(most * self.rows, self.rows, usual / 2)
        has_shifted = self.psi is not None and self.psi > PSI_SHIFT
        return "amber" if is_much or has_shifted or self.systematic else "green"

    @property
    def text(self) -> str:
        """Describe the change in one sentence."""
        return f"{self.requests}: output '{self.output}': {'; '.join(self._describe())}"

    def to_dict(self) -> dict[str, Any]:
        """Return the fields, colour and text as JSON has them."""
        fields: dict[str, Any] = msgspec.to_builtins(self)
        return fields | {"colour": self.colour, "text": self.text}

    def _describe(self) -> Iterator[str]:
        if self.flips is not None:
            yield f"{self._format_share(self.flips, 'labels')} change"
        if self.moves is not None and (self.flips is None or self.is_rare):
            yield f"{self._format_share(self.moves, 'numbers')} move far"
        if self.largest:
            yield f"numbers differ by {self.mean:.2g} on average, {self.largest:.2g} at most"
        if self.systematic:
            yield "nearly all of them move one way, or keep their order"
        if self.psi is not None:
            yield f"population stability index {self.psi:.2f}"

    def _format_share(self, share: float, what: str) -> str:
        return f"{round(share * self.rows):,} of {self.rows:,} {what} ({100 * share:.3g} %)"


class _Table(NamedTuple):
    """One output of both versions: a row for each answer, a column for each of its elements.

    `lost` is the share of rows that are not in it, as their answers have different shapes. Where
    shapes vary from request to request, each element has a row of its own.
    """

    before: Array
    now: Array
    lost: float

    def share(self, differs: Array) -> float:
        """Return the share of rows that differ; of one that differs in part, its share counts."""
        return self.lost + (1 - self.lost) * float(differs.mean() if differs.size else 0)


def find_changes(comparison: Comparison) -> Iterator[Change]:
    """Compare each output that every answer has with the same datatype."""
    answers = [answer for pair in comparison.pairs for answer in (pair.before, pair.now)]
    kinds = [{(output.name, output.datatype) for output in answer.outputs} for answer in answers]
    for output in answers[0].outputs if answers else ():
        if all((output.name, output.datatype) in one for one in kinds):
            yield _compare(comparison, output.name)


def _compare(comparison: Comparison, name: str) -> Change:
    both = [
        (_read(pair.before, name, pair.rows), _read(pair.now, name, pair.rows))
        for pair in comparison.pairs
    ]
    rows, table = sum(pair.rows for pair in comparison.pairs), _tabulate(both)
    is_number = table.before.dtype.kind == "f"
    measured = _measure(table) if is_number else {}
    if not is_number:
        measured["flips"] = table.share(table.before != table.now)
    elif name in comparison.classes or all(_are_probabilities(before) for before, _ in both):
        labels = _tabulate([(before.argmax(-1), now.argmax(-1)) for before, now in both])
        measured["flips"] = labels.share(labels.before != labels.now)
        measured["is_rare"] = _is_rare(labels.before)
    if rows >= PSI_ROWS and table.before.size:
        measured["psi"] = find_psi(table.before, table.now)
    return Change(comparison.requests, name, rows, comparison.limit, **measured)


def _is_rare(labels: Array) -> bool:
    """Return whether nearly all labels, of enough rows to judge by, are the same."""
    _, counts = np.unique(labels, return_counts=True)
    return labels.size >= PSI_ROWS and bool(counts.max() >= (1 - RARE) * labels.size)


def _read(answer: InferResponse, name: str, rows: int) -> Array:
    """Return an output, whose first dimension becomes that of rows if it is not."""
    array = next(output for output in answer.outputs if output.name == name).read()
    return array if array.shape[:1] == (rows,) else array[np.newaxis]


def _are_probabilities(array: Array) -> bool:
    """Return whether the last dimension has a probability for each of several classes."""
    return (
        array.ndim > 1
        and array.shape[-1] > 1
        and bool((array >= 0).all())
        and bool((np.abs(array.sum(axis=-1) - 1) <= SUM).all())
    )


def _tabulate(both: Sequence[tuple[Array, Array]]) -> _Table:
    """Put the answers to all requests below each other."""
    aligned = [pair for pair in both if pair[0].shape == pair[1].shape]
    kept, rows = (sum(len(before) for before, _ in pairs) for pairs in (aligned, both))
    flat = [[array.reshape(len(array), -1) for array in arrays] for arrays in aligned]
    if len({before.shape[1] for before, _ in flat}) > 1:
        flat = [[array.reshape(-1, 1) for array in arrays] for arrays in flat]
    if not flat:
        nothing = both[0][0].reshape(-1, 1)[:0]
        return _Table(nothing, nothing, 1.0)
    before, now = (np.concatenate(arrays) for arrays in zip(*flat, strict=True))
    return _Table(before, now, 1 - kept / rows)


def _measure(numbers: _Table) -> dict[str, Any]:
    """Return what there is to say of numbers."""
    before, now, lost = numbers
    if not before.size:
        return {"moves": lost}
    gaps = np.abs(now - before)
    gaps = gaps[~np.isnan(gaps)]
    return {
        "moves": numbers.share(find_others(before, now)),
        "mean": float(gaps.mean()) if gaps.size else None,
        "largest": float(gaps.max()) if gaps.size else None,
        "systematic": is_systematic(before, now),
    }
