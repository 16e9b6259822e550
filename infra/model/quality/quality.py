"""The quality of a model on rows whose outcome is known, next to the version it replaces."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from infra.model.contract import Contract
from infra.model.errors import ModelError
from infra.model.quality.comparison import FigureComparison, Verdict, compare
from infra.model.quality.predictions import Figures, Predictions, read_predictions
from infra.model.samples.file import read_samples
from infra.model.samples.samples import Samples
from infra.model.trial.trial import Bench, Trial

MOST_ROWS = 50_000  # evenly spaced if there are more: with so many, chance hardly matters
BATCH_ELEMENTS = 100_000  # of inputs in one request


@dataclass(frozen=True)
class Labelled:
    """A file of rows, with their known outcome in the column `target`."""

    path: Path
    target: str


@dataclass(frozen=True)
class Incumbent:
    """The model in the layer's folder, which the new one replaces; its contract is {} if none."""

    directory: Path
    contract: Contract


@dataclass(frozen=True)
class Quality:
    """A model's figures, and how they compare with those of the version it replaces."""

    target: str
    rows: int
    figures: Figures
    old_version: str = ""
    changes: Sequence[FigureComparison] = ()
    reason: str = ""  # why they were not compared

    @property
    def worse(self) -> list[FigureComparison]:
        """The figures that are worse beyond chance, and by enough to matter."""
        return [change for change in self.changes if change.verdict is Verdict.WORSE]

    def to_contract(self) -> dict[str, Any]:
        """Return what model.json keeps."""
        figures = {figure: round(value, 6) for figure, value in self.figures.items()}
        return {"target": self.target, "rows": self.rows, "figures": figures}

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return asdict(self)

    def describe(self) -> Iterator[str]:
        """Yield the figures and comparisons in words, a line each."""
        on = f"on {self.rows:,} rows, by '{self.target}'"
        if self.changes:
            yield f"compared with version {self.old_version} {on}"
            yield from map(str, self.changes)
            return
        figures = ", ".join(f"{figure} {value:.4f}" for figure, value in self.figures.items())
        yield f"{figures} {on}" + (f"; not compared: {self.reason}" if self.reason else "")


class WorseError(ModelError):
    """A model is worse than the one that it would replace; `quality` has the figures."""

    def __init__(self, quality: Quality) -> None:
        figures = "; ".join(map(str, quality.worse))
        super().__init__(
            f"worse than version {quality.old_version} on the same {quality.rows:,} rows: "
            f"{figures}. To add it nevertheless, give --allow-worse"
        )
        self.quality = quality


async def measure_quality(
    trial: Trial, contract: Contract, samples: Samples, target: str
) -> Quality:
    """Measure the model of `trial` alone; `samples` have the outcomes from the column `target`.

    Raises ModelError if its answers cannot be compared with the target.
    """
    return _summarize(target, await _predict(trial, contract, samples))


async def evaluate(  # noqa: PLR0913 a model on the bench, and what to compare it with
    bench: Bench,
    trial: Trial,
    contract: Contract,
    samples: Samples,
    *,
    labelled: Labelled,
    incumbent: Incumbent,
) -> Quality:
    """Measure the model of `trial`, and compare it with the incumbent if that has the same name.

    Raises ModelError if the answers of the model of `trial` cannot be compared with the target. If
    the incumbent's cannot, `reason` says why.
    """
    new = await _predict(trial, contract, samples)
    quality = _summarize(labelled.target, new)
    name = incumbent.contract.get("name")
    if name != contract["name"]:
        reason = f"the layer holds {name}: to compare with it, add --name {name}" if name else ""
        return replace(quality, reason=reason)
    quality = replace(quality, old_version=incumbent.contract["version"])
    try:
        old = await _predict_incumbent(bench, labelled, incumbent)
    except ModelError as error:
        return replace(quality, reason=f"version {quality.old_version}: {error}")
    return replace(quality, changes=compare(old, new))


def _summarize(target: str, predictions: Predictions) -> Quality:
    figures = predictions.figures(np.ones(predictions.rows))
    finite = {figure: value for figure, value in figures.items() if np.isfinite(value)}
    return Quality(target, predictions.rows, finite)


async def _predict_incumbent(bench: Bench, labelled: Labelled, incumbent: Incumbent) -> Predictions:
    """Ask the incumbent about the same rows, with the columns that it takes."""
    contract = incumbent.contract
    samples = await read_samples(labelled.path, contract["inputs"], target=labelled.target)
    layer = bench.directory / "incumbent"
    layer.mkdir()
    (layer / "model").symlink_to(incumbent.directory.absolute())
    return await _predict(await bench.load(layer, contract["name"]), contract, samples)


async def _predict(trial: Trial, contract: Contract, samples: Samples) -> Predictions:
    """Ask the model about every row, or about MOST_ROWS of them."""
    chosen = range(0, len(samples), -(-len(samples) // MOST_ROWS))
    most = min(contract["limits"]["rows"], BATCH_ELEMENTS // max(1, samples.row_elements))
    size = max(1, most) if samples.batched else 1
    answers = [
        await trial.ask(samples.request(chosen[start : start + size]))
        for start in range(0, len(chosen), size)
    ]
    names = [tensor["name"] for tensor in contract["outputs"]]
    together = {
        name: (np.concatenate if samples.batched else np.stack)([one[name] for one in answers])
        for name in names
    }
    return read_predictions(contract["outputs"], together, [samples.target[i] for i in chosen])
