"""The search for the lengths that a model answers, without a model."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import numpy as np
import pytest

from infra.model.errors import AnswerError, ModelError, SlowError
from infra.model.tensor import Array
from infra.model.trial.lengths import LONGEST, measure_lengths
from infra.model.trial.trial import Trial

type Shapes = Mapping[str, Sequence[int]]

FAILURE = AnswerError("the model failed on this input", status=500)
CRASH = ModelError("onnxruntime crashed (signal: Aborted) while answering")


class FakeTrial:
    """Answers, unless `fail` returns an error for the shapes of a request."""

    def __init__(self, fail: Callable[[Shapes], ModelError | None]) -> None:
        self.asked: list[Shapes] = []
        self._fail = fail

    async def ask(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        self.asked.append({name: array.shape for name, array in inputs.items()})
        if error := self._fail(self.asked[-1]):
            raise error
        return {}


def tensor(name: str, shape: list[int], dimensions: Sequence[str | None] = ()) -> dict[str, Any]:
    named = {"dimensions": dimensions} if dimensions else {}
    return {"name": name, "datatype": "FP32", "shape": shape, **named}


async def measure(
    fail: Callable[[Shapes], ModelError | None], **shapes: tuple[dict[str, Any], list[int]]
) -> dict[str, dict[str, Any]]:
    inputs = [one for one, _ in shapes.values()]
    request = {name: np.zeros(shape, np.float32) for name, (_, shape) in shapes.items()}
    return await measure_lengths(cast("Trial", FakeTrial(fail)), inputs, request, 60)


IDS = tensor("ids", [-1, -1], ["batch", "sequence"])
MASK = tensor("mask", [-1, -1], ["batch", "sequence"])


@pytest.mark.parametrize("known", [1, 2, 7, 63, 64, 65, 100, 512])
@pytest.mark.parametrize(("shortest", "longest"), [(1, 512), (7, 512), (7, None), (1, 600)])
async def test_the_ends_are_found_from_wherever_the_samples_are(
    known: int, shortest: int, longest: int | None
) -> None:
    def fail(shapes: Shapes) -> ModelError | None:
        length = shapes["ids"][1]
        return None if shortest <= length <= (longest or LONGEST) else FAILURE

    found = await measure(fail, ids=(IDS, [1, known]), mask=(MASK, [1, known]))

    if known < shortest:  # it would be no request that the model answers
        return
    assert found == {name: {"answered_lengths": [None, (shortest, longest)]} for name in found}
    assert found.keys() == {"ids", "mask"}


@pytest.mark.parametrize("known", [1, 2, 3, 64])
async def test_a_length_that_is_tied_to_another_has_no_ends(known: int) -> None:
    # GIVEN inputs whose lengths broadcast, which nothing but the model knows
    inputs = {
        name: (tensor(name, [-1, -1], ["batch", name]), [1, known]) for name in ("ids", "mask")
    }

    def fail(shapes: Shapes) -> ModelError | None:
        lengths = {shape[1] for shape in shapes.values()} - {1}
        return FAILURE if len(lengths) > 1 else None

    assert await measure(fail, **inputs) == {}


@pytest.mark.parametrize(
    "error",
    [
        AnswerError("the model failed on this input"),  # without a status, as of a large answer
        AnswerError("input 'ids': at most 100 elements a request", status=413),
        CRASH,
        SlowError("too long"),
    ],
)
async def test_what_is_no_failure_of_the_model_is_no_end(error: ModelError) -> None:
    def fail(shapes: Shapes) -> ModelError | None:
        return error if shapes["ids"][1] > 100 else None

    assert await measure(fail, ids=(IDS, [1, 64])) == {}


@pytest.mark.parametrize("error", [CRASH, SlowError("answering takes too long")])
async def test_crashes_are_found_for_each_dimension_and_for_all(error: ModelError) -> None:
    def batch(shapes: Shapes) -> ModelError | None:
        return error if shapes["ids"][0] == shapes["mask"][0] == 0 else None

    def mask_alone(shapes: Shapes) -> ModelError | None:
        return error if 0 in shapes["mask"] and 0 not in shapes["ids"] else None

    def both(shapes: Shapes) -> ModelError | None:
        return error if shapes["ids"] == (0, 0) else None

    inputs = {"ids": (IDS, [1, 3]), "mask": (MASK, [1, 3])}
    least: Callable[..., dict[str, Any]] = lambda *lengths: {"least_lengths": [*lengths]}  # noqa: E731
    assert await measure(batch, **inputs) == {"ids": least(1, 0), "mask": least(1, 0)}
    assert await measure(mask_alone, **inputs) == {"mask": least(1, 1)}
    assert await measure(both, **inputs) == {"ids": least(1, 1), "mask": least(1, 1)}


async def test_a_search_that_takes_too_long_ends_with_the_environment_that_is_busy() -> None:
    class SlowTrial(FakeTrial):
        stopped = False

        async def ask(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
            if inputs["ids"].shape[1] > 64:
                await asyncio.sleep(60)
            return await super().ask(inputs)

        async def stop(self) -> None:
            self.stopped = True

    trial = SlowTrial(lambda shapes: CRASH if shapes["ids"] == (0, 64) else None)
    request = {"ids": np.zeros((1, 64), np.float32)}

    found = await measure_lengths(cast("Trial", trial), [IDS], request, 0.05)

    assert found == {"ids": {"least_lengths": [1, 0]}}
    assert trial.stopped


async def test_fixed_dimensions_and_absent_inputs_are_left_alone() -> None:
    trial = FakeTrial(lambda _: None)
    inputs = [tensor("x", [2, 3]), tensor("absent", [-1])]
    request = {"x": np.zeros((2, 3), np.float32)}

    assert await measure_lengths(cast("Trial", trial), inputs, request, 60) == {}
    assert trial.asked == []
