"""Releases that are healthy but wrong: the example model, edited or trained again, is rehearsed.

Each candidate is packaged as `infra model add` packages it, golden answers of its own and all, and
takes the place of the example. One served stack takes all the releases, one after the other.
"""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import onnx
import pytest
from onnx import ModelProto

from infra.local.stack import BuiltStack, read_stack
from infra.model.package import AddOptions
from infra.model.samples.file import read_samples
from infra.rehearsal.canary import ServedStack, run_canary, serve_stack
from infra.rehearsal.candidate import package, read_model
from infra.rehearsal.requests import Requests, make_requests
from infra.rehearsal.result import Caught, Colour, RehearsalFinding, RehearsalResult
from tests.example_model import CUSTOMERS, FEATURES, MODEL, RETRAINED, write_build
from tests.model_variants import with_columns, with_other_labels, with_shares_times
from tests.sam_template import PROJECT

NAME, REGION = "serverless-onnx", "eu-west-1"
LOAD = "requests of the load"
DRAWN = "rows drawn from the features' ranges"
MINUTE, RATE = 2, 20


@dataclass(frozen=True)
class Theatre:
    """The served stack, the build that it was made of, and what customers send."""

    served: ServedStack
    build: Path
    requests: Requests

    async def play(
        self, model: ModelProto, to: Path, options: AddOptions | None = None, **parameters: str
    ) -> RehearsalResult:
        """Package a model into a build at `to`, and rehearse its release."""
        source = to.with_suffix(".onnx")
        onnx.save(model, source)
        await package(PROJECT, source, options or AddOptions(), read(self.build), to)
        candidate = read(to, **parameters)
        return await run_canary(self.served, candidate, self.requests, rate=RATE, margin=0.5)


def read(build: Path, **parameters: str) -> BuiltStack:
    return read_stack(build, NAME, REGION, {"DeploymentType": "AllAtOnce", **parameters})


@pytest.fixture(scope="module")
async def theatre(
    tmp_path_factory: pytest.TempPathFactory, managed_python: Path
) -> AsyncIterator[Theatre]:
    folder = tmp_path_factory.mktemp("answers")
    build = write_build(folder / "build")
    contract = read_model(read(build))
    samples = await read_samples(CUSTOMERS, contract["inputs"], FEATURES)
    opening = serve_stack(
        read(build), python=managed_python, directory=folder / "run", minute=MINUTE
    )
    async with opening as served:
        yield Theatre(served, build, make_requests(contract, samples))


def find(rehearsal: RehearsalResult, requests: str, output: str) -> RehearsalFinding:
    [finding] = [
        one
        for one in rehearsal.findings
        if (one.numbers["requests"], one.numbers["output"]) == (requests, output)
    ]
    return finding


@pytest.mark.parametrize(
    ("change", "least", "at_least"),
    [
        pytest.param(with_other_labels, 1.0, 1.0, id="labels swapped"),
        pytest.param(
            lambda model: with_columns(model, [0, 2, 1, 3]), 0.6, 0.8, id="columns swapped"
        ),
    ],
)
@pytest.mark.parametrize("with_samples", [False, True])
async def test_the_gate_refuses_other_labels(
    theatre: Theatre,
    tmp_path: Path,
    change: Callable[[ModelProto], ModelProto],
    least: float,
    at_least: float,
    *,
    with_samples: bool,
) -> None:
    options = AddOptions(samples=CUSTOMERS, features=FEATURES) if with_samples else AddOptions()
    rehearsal = await theatre.play(change(onnx.load(MODEL)), tmp_path / "wrong", options)

    assert (rehearsal.caught, rehearsal.verdict) == (Caught.GATE, Colour.RED)
    assert "labels (" in rehearsal.reason
    assert "`infra deploy --parameter MaxAnswerChange=100`" in rehearsal.reason
    # THEN its answers are compared with the samples', too, in the same words and numbers
    for requests, share in ((LOAD, least), (DRAWN, at_least)):
        finding = find(rehearsal, requests, "label")
        assert finding.colour is Colour.RED
        assert finding.numbers["flips"] >= share
        assert finding.text.startswith(f"{requests}: output 'label': ")
    assert find(rehearsal, LOAD, "label").numbers["rows"] == 62


async def test_a_release_that_is_meant_to_differ_can_be_let_through(
    theatre: Theatre, tmp_path: Path
) -> None:
    other = with_other_labels(onnx.load(MODEL))
    rehearsal = await theatre.play(other, tmp_path / "other", MaxAnswerChange="100")

    assert (rehearsal.caught, rehearsal.verdict) == (Caught.NOWHERE, Colour.AMBER)
    assert find(rehearsal, LOAD, "label").numbers["flips"] == 1

    # AND so can its successor, which is the example again
    back = await theatre.play(onnx.load(MODEL), tmp_path / "back", MaxAnswerChange="100")
    assert back.is_promoted


async def test_a_small_systematic_difference_is_amber(theatre: Theatre, tmp_path: Path) -> None:
    rehearsal = await theatre.play(with_shares_times(onnx.load(MODEL), 1.01), tmp_path / "more")

    assert (rehearsal.caught, rehearsal.verdict) == (Caught.NOWHERE, Colour.AMBER)
    for requests in (LOAD, DRAWN):
        finding = find(rehearsal, requests, "probabilities")
        assert finding.colour is Colour.AMBER
        assert finding.numbers["systematic"] is True
        assert finding.numbers["flips"] == 0
        assert finding.numbers["largest"] == pytest.approx(0.0097, abs=1e-3)
    # THEN the next release has the example's place again
    assert (await theatre.play(onnx.load(MODEL), tmp_path / "back")).is_promoted


async def test_a_model_that_was_trained_again_is_promoted(theatre: Theatre, tmp_path: Path) -> None:
    rehearsal = await theatre.play(onnx.load(RETRAINED), tmp_path / "retrained")

    assert (rehearsal.caught, rehearsal.verdict) == (Caught.NOWHERE, Colour.GREEN)
    assert rehearsal.reason == ""
    assert {finding.colour for finding in rehearsal.findings} == {Colour.GREEN}
    assert 0 < find(rehearsal, DRAWN, "label").numbers["flips"] < 0.05
