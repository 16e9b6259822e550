"""Measures a model, and the version it replaces, on the same rows whose outcome is known."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from infra.model.contract import Contract
from infra.model.errors import ModelError
from infra.model.quality.comparison import (
    Change,
    Figures,
    Predictions,
    Verdict,
    compare,
    read_predictions,
)
from infra.model.samples.file import read_samples
from infra.model.samples.samples import Samples
from infra.model.trial.trial import Bench, Trial

MOST_ROWS = 50_000  # of more, rows at equal distances: chance is then no longer what limits
BATCH_ELEMENTS = 100_000  # of inputs in one request


@dataclass(frozen=True)
class Labelled:
    """A file of rows with their outcome in the column `target`."""

    path: Path
    target: str


@dataclass(frozen=True)
class Incumbent:
    """The model in the layer's folder, which the new one would replace; {} where there is none."""

    directory: Path
    contract: Contract


@dataclass(frozen=True)
class Quality:
    """A model's figures, and how they compare with the version it replaces, if they can be."""

    target: str
    rows: int
    figures: Figures
    old_version: str = ""
    changes: Sequence[Change] = ()
    reason: str = ""  # why nothing was compared

    @property
    def worse(self) -> list[Change]:
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
        """Yield a line for a person about each figure."""
        on = f"on {self.rows:,} rows, by '{self.target}'"
        if self.changes:
            yield f"compared with version {self.old_version} {on}"
            yield from map(str, self.changes)
            return
        figures = ", ".join(f"{figure} {value:.4f}" for figure, value in self.figures.items())
        yield f"{figures} {on}" + (f"; not compared: {self.reason}" if self.reason else "")


class WorseError(ModelError):
    """A model is worse than the one that it would replace."""

    def __init__(self, quality: Quality) -> None:
        figures = "; ".join(map(str, quality.worse))
        super().__init__(
            f"worse than version {quality.old_version} on the same {quality.rows:,} rows: "
            f"{figures}. To take it all the same, add --allow-worse"
        )
        self.quality = quality


async def evaluate(  # noqa: PLR0913 one model on the bench, and the file and model to compare with
    bench: Bench,
    trial: Trial,
    contract: Contract,
    samples: Samples,
    *,
    labelled: Labelled,
    incumbent: Incumbent,
) -> Quality:
    """Measure the model of `trial`, and the incumbent of the same name if it can be asked.

    Raises ModelError if the new model's answers cannot be compared with the target.
    """
    new = await _predict(trial, contract, samples)
    figures = new.figures(np.ones(new.rows))
    found = {figure: value for figure, value in figures.items() if np.isfinite(value)}
    quality = Quality(labelled.target, new.rows, found)
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


async def _predict_incumbent(bench: Bench, labelled: Labelled, incumbent: Incumbent) -> Predictions:
    """Ask for the same rows, with the columns that the incumbent takes."""
    contract = incumbent.contract
    samples = await read_samples(labelled.path, contract["inputs"], target=labelled.target)
    layer = bench.directory / "incumbent"
    layer.mkdir()
    (layer / "model").symlink_to(incumbent.directory.absolute())
    return await _predict(await bench.load(layer, contract["name"]), contract, samples)


async def _predict(trial: Trial, contract: Contract, samples: Samples) -> Predictions:
    """Ask for every row, or for MOST_ROWS of them."""
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
