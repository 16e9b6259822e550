"""model.json: the contract of one packaged model, read and checked once at start."""

import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from serving.errors import ManifestError, RequestError
from serving.tensors import DATATYPES

MODEL_FILE = "model.onnx"
DYNAMIC = -1
# Bytes that a compressed body may expand to unless `limits` says: for a number in indented JSON,
# for all but numbers and column names, and in all; only the last is for models that take strings.
NUMBER, REST, EXPANDED = 48, 2**19, 25_000_000

Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
Label = Annotated[str, Meta(pattern=r'^[^"\\\x00-\x1f]{1,200}$')]  # can be a key of JSON as it is
Sha256 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]
Dimension = Annotated[int, Meta(ge=DYNAMIC)]
Range = tuple[int, int]  # the lowest and the highest
Length = Annotated[int, Meta(ge=0)]
Lengths = tuple[Length, Length | None]  # the shortest and the longest; None: no end was found
Categories = Annotated[list[int | str], Meta(min_length=1)]


class _Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A mistyped optional field must be refused, not ignored."""


class Histogram(_Strict, frozen=True):
    """How often a feature's training values fell between neighbouring `edges`.

    The first and last bin also count what lies below the first edge and above the last one.
    """

    edges: list[float]
    counts: list[Annotated[int, Meta(ge=0)]]

    def __post_init__(self) -> None:
        if len(self.edges) != len(self.counts) + 1:
            raise ValueError(
                f"`edges` must be one longer than `counts`, got {len(self.edges)} "
                f"and {len(self.counts)}"
            )
        if sorted(set(self.edges)) != self.edges:
            raise ValueError("`edges` must increase")


class Feature(_Strict, frozen=True):
    """One column of a two-dimensional input.

    The range is where nearly all training values were, and no limit.
    """

    name: Label
    unit: str = ""
    description: str = ""
    minimum: float | None = None
    maximum: float | None = None
    baseline: Histogram | None = None


class Tensor(_Strict, frozen=True):
    """One input or output; a dimension of -1 may have any length.

    An element with an index range is an index of a table in the model, one with categories is one
    of those: the model fails on any other. Of a number it cuts the fraction off.
    """

    name: Label
    datatype: str
    shape: list[Dimension]
    dimensions: list[Label | None] = []  # their names in the graph: equal names, equal lengths
    least_lengths: list[Length] = []  # of each dimension: a shorter one ends the whole process
    answered_lengths: list[Lengths | None] = []  # by the model, when it was tried with others
    optional: bool = False  # an input for which the graph has a value of its own
    index_range: Range | None = None  # of all elements
    column_index_ranges: list[Range | None] = []  # of the elements of each column
    categories: Categories | None = None
    column_categories: list[Categories | None] = []
    sizes: bool = False  # its elements are sizes of a tensor that the model makes
    features: list[Feature] = []
    labels: list[str] = []

    def __post_init__(self) -> None:
        if self.datatype not in DATATYPES:
            raise ValueError(f"`datatype` must be one of {', '.join(DATATYPES)}")
        for field in ("features", "labels", "column_index_ranges", "column_categories"):
            columns = len(getattr(self, field))
            if columns and self.shape[-1:] != [columns]:
                raise ValueError(
                    f"`{field}` has {columns} entries, so the last dimension of `shape` must be "
                    f"{columns}, got {self.shape}"
                )
        if len({feature.name for feature in self.features}) < len(self.features):
            raise ValueError("`features` names a feature twice")
        for field in ("dimensions", "least_lengths", "answered_lengths"):
            entries = len(getattr(self, field))
            if entries and entries != len(self.shape):
                raise ValueError(f"`{field}` must be as long as `shape`, got {entries}")
        self._check_values()

    def _check_values(self) -> None:
        if self.sizes and DATATYPES[self.datatype].dtype.kind not in "iuf":
            raise ValueError(f"{self.datatype} holds no sizes")
        for _, (low, high) in self.index_ranges():
            if DATATYPES[self.datatype].dtype.kind not in "iuf":
                raise ValueError(f"{self.datatype} holds no index, so it can have no index range")
            if not low <= 0 <= high:
                raise ValueError(f"an index range must hold 0, got [{low}, {high}]")
        kind = str if self.datatype == "BYTES" else int
        for _, categories in self.known_categories():
            if not all(isinstance(category, kind) for category in categories):
                raise ValueError(
                    f"the categories of {self.datatype} must be of type {kind.__name__}"
                )

    def index_ranges(self) -> Iterator[tuple[int | None, Range]]:
        """Yield each index range, with the column for which it holds; None: for all elements."""
        return _by_column(self.index_range, self.column_index_ranges)

    def known_categories(self) -> Iterator[tuple[int | None, Categories]]:
        """Yield all categories that the model knows, with the column for which they are those."""
        return _by_column(self.categories, self.column_categories)

    def place(self, indices: Iterable[int], column: int | None) -> str:
        """Name an element of the tensor, or of a column of it, as errors do."""
        data = "".join(f"[{i}]" for i in (*indices, *([] if column is None else [column])))
        feature = ""
        if column is not None and self.features:
            feature = f" (column '{self.features[column].name}')"
        return f"input '{self.name}': data{data}{feature}"

    @property
    def columns(self) -> list[str]:
        """The columns of a table that make up this tensor: its features, or itself."""
        is_table = len(self.shape) == 2  # noqa: PLR2004 rows and columns
        return [feature.name for feature in self.features if is_table] or [self.name]

    def check(self, datatype: str, shape: Sequence[int]) -> None:
        """Raise RequestError unless a tensor of `datatype` and `shape` fits this one."""
        if datatype != self.datatype:
            got = datatype if datatype in DATATYPES else "another"
            raise RequestError(f"input '{self.name}': expected {self.datatype}, got {got}")
        fits = len(shape) == len(self.shape) and all(
            expected in {DYNAMIC, length} and length >= 0
            for expected, length in zip(self.shape, shape, strict=True)
        )
        if not fits:
            raise RequestError(
                f"input '{self.name}': expected shape {self.shape} (-1: any length), "
                f"got {_shown(shape)}"
            )
        if self.least_lengths:
            self._check_least(shape)

    def _check_least(self, shape: Sequence[int]) -> None:
        for place, (least, length) in enumerate(zip(self.least_lengths, shape, strict=True)):
            if length < least:
                raise RequestError(
                    f"input '{self.name}': shape[{place}]: expected at least {least}, got {length}"
                )


class Limits(_Strict, frozen=True):
    """The most that one request may ask for."""

    rows: Annotated[int, Meta(ge=1)] = 10_000
    elements: Annotated[int, Meta(ge=1)] = 1_000_000
    made_elements: Annotated[int, Meta(ge=1)] = 10_000_000  # of a tensor whose sizes are an input
    expanded_bytes: Annotated[int, Meta(ge=1)] | None = None  # of a compressed body


class Golden(_Strict, frozen=True):
    """Nested lists by tensor name, and what the model answered when it was packaged.

    `source` says whose data the inputs are: rows of somebody's samples, never to be shown to
    callers, or made up.
    """

    inputs: dict[str, Any]
    outputs: dict[str, Any]
    source: Literal["samples", "synthetic"] = "samples"
    relative_tolerance: Annotated[float, Meta(ge=0)] = 1e-5
    absolute_tolerance: Annotated[float, Meta(ge=0)] = 1e-6


class Quality(_Strict, frozen=True):
    """Figures on rows whose outcome, the column `target`, was known when the model was packaged."""

    target: str
    rows: Annotated[int, Meta(ge=1)]
    figures: dict[str, float]


class Manifest(_Strict, frozen=True):
    """The whole of model.json; `files` maps each file of the model to its sha256.

    `example` is a made-up request, nested lists by input name, for everybody to see.
    """

    schema: Literal[1]
    name: Name
    version: Name
    files: dict[str, Sha256]
    inputs: Annotated[list[Tensor], Meta(min_length=1)]
    outputs: Annotated[list[Tensor], Meta(min_length=1)]
    description: str = ""
    limits: Limits = Limits()
    non_finite_outputs: Literal["refuse", "null"] = "refuse"  # NaN or infinity in an answer
    golden: list[Golden] = []
    example: dict[str, Any] = {}
    quality: Quality | None = None
    provenance: dict[str, Any] = {}

    def __post_init__(self) -> None:
        if MODEL_FILE not in self.files:
            raise ValueError(f"`files` must have an entry `{MODEL_FILE}`")
        for path in self.files:
            if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
                raise ValueError(f"`files`: `{path}` must be a path inside the model's folder")
        for field, tensors in (("inputs", self.inputs), ("outputs", self.outputs)):
            names = {tensor.name for tensor in tensors}
            if len(names) != len(tensors):
                raise ValueError(f"`{field}` names a tensor twice")
            named = {
                f"golden[{i}].{field}": getattr(one, field) for i, one in enumerate(self.golden)
            }
            if field == "inputs":
                named["example"] = self.example
            for place, values in named.items():
                unknown = set(values) - names
                if unknown:
                    raise ValueError(f"`{place}` names no tensor: {sorted(unknown)}")

    @property
    def sha256(self) -> str:
        """Digest of the graph, by which people know the model."""
        return self.files[MODEL_FILE]

    @property
    def expanded_bytes(self) -> int:
        """The most bytes that a compressed body may expand to."""
        if self.limits.expanded_bytes is not None:
            return self.limits.expanded_bytes
        if any(tensor.datatype == "BYTES" for tensor in self.inputs):
            return EXPANDED
        numbers = sum(map(self.most_elements, self.inputs))
        columns = [name for tensor in self.inputs for name in tensor.columns]
        names = sum(len(name) * (1 if name.isascii() else 6) for name in columns)  # or é is \u00e9
        return min(EXPANDED, NUMBER * numbers + self.limits.rows * names + REST)

    def most_elements(self, tensor: Tensor) -> int:
        """Return how many elements of the input `tensor` one request may have."""
        rows, *lengths = [max(1, length) for length in tensor.shape] or [1]
        if DYNAMIC in tensor.shape[1:]:
            return self.limits.elements
        if tensor.shape[:1] == [DYNAMIC]:
            rows = self.limits.rows
        return min(self.limits.elements, rows * math.prod(lengths))


def _by_column[Part](
    whole: Part | None, columns: Iterable[Part | None]
) -> Iterator[tuple[int | None, Part]]:
    for column, part in ((None, whole), *enumerate(columns)):
        if part is not None:
            yield column, part


def _shown(shape: Sequence[int]) -> str:
    """Write `shape`; a hostile one may have a million dimensions, or a thousand digits in one."""
    text = str(list(shape[:9]))
    return text if len(shape) < 9 and len(text) < 100 else f"{len(shape)} dimensions"  # noqa: PLR2004 what a person reads


def read_manifest(path: Path) -> Manifest:
    """Read model.json.

    Raises ManifestError naming the field that is missing or wrong and what was expected.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=Manifest)
    except FileNotFoundError as error:
        raise ManifestError(f"{path.name} is missing from the model layer") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ManifestError(f"{path.name}: {error}") from error
