"""How long the dimensions of inputs can be: measured by packaging, kept in model.json."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import ModelProto

from infra.model.doctor import Diagnosis, add_lengths, check
from infra.model.errors import AnswerError
from infra.model.layer import derive
from infra.model.package import AddOptions, add
from infra.model.report import describe_diagnosis
from infra.model.tensor import Array
from infra.model.trial.trial import open_bench
from tests.onnx_models import identity, positions, recurrent, reshape
from tests.sam_template import PROJECT


def save(model: ModelProto, path: Path) -> Path:
    path.write_bytes(model.SerializeToString())
    return path


def read_input(layer: Path) -> dict[str, Any]:
    contract = json.loads((layer / "model/model.json").read_text())
    tensor: dict[str, Any] = contract["inputs"][0]
    return tensor


def relative(path: Path) -> Path:
    """Write a path as `make run` does."""
    return Path(os.path.relpath(path))


async def ask(layer: Path, *requests: Mapping[str, Array]) -> list[str]:
    """Return the error of each request, or nothing; a crash fails the test."""
    name = json.loads((layer / "model/model.json").read_text())["name"]
    errors = []
    async with open_bench(PROJECT) as bench:
        trial = await bench.load(layer, name)
        process = trial.environment.pid
        for request in requests:
            try:
                await trial.ask(request)
            except AnswerError as error:
                errors.append(str(error))
            else:
                errors.append("")
        assert trial.environment.pid == process
    return errors


def zeros(*shape: int, dtype: Any = np.float32) -> dict[str, Array]:
    return {"x": np.zeros(shape, dtype)}


@pytest.mark.parametrize("how", ["add", "run"])
@pytest.mark.parametrize(("operator", "least"), [("GRU", [1, 1, 0]), ("LSTM", [0, 1, 0])])
async def test_what_would_crash_onnxruntime_is_refused_and_nothing_else(
    operator: str, least: list[int], how: str, tmp_path: Path
) -> None:
    # GIVEN a model that was packaged, or is served as it is by `make run MODEL=`
    source, layer = save(recurrent(operator), tmp_path / "m.onnx"), tmp_path / "layer"
    if how == "add":
        await add(PROJECT, source, layer / "model", AddOptions())
    else:
        await derive(source, layer / "model")
        await add_lengths(PROJECT, relative(layer))
    # THEN its contract has the dimensions that must not be empty
    assert read_input(layer)["least_lengths"] == least
    # AND each is refused by name, while its process lives on
    shapes = ([0, 1, 2], [1, 0, 2], [0, 0, 2], [1, 1, 2])
    errors = await ask(layer, *(zeros(*shape) for shape in shapes))
    for shape, error in zip(shapes, errors, strict=True):
        place = next((i for i in (0, 1) if shape[i] < least[i]), None)
        assert error == (
            ""
            if place is None
            else f"inputs[0]: input 'x': shape[{place}]: expected at least 1, got 0"
        )


async def test_a_model_that_answers_empty_tensors_is_not_limited(tmp_path: Path) -> None:
    layer = tmp_path / "layer"
    await add(
        PROJECT,
        save(identity("FP32", [None, None]), tmp_path / "m.onnx"),
        layer / "model",
        AddOptions(),
    )
    assert not {"least_lengths", "answered_lengths"} & read_input(layer).keys()
    assert await ask(layer, zeros(0, 2), zeros(2, 0)) == ["", ""]


@pytest.mark.parametrize("how", ["add", "run"])
async def test_a_row_longer_than_the_table_of_positions_is_the_callers_mistake(
    how: str, tmp_path: Path
) -> None:
    source, layer = save(positions(100), tmp_path / "m.onnx"), tmp_path / "layer"
    if how == "add":
        await add(PROJECT, source, layer / "model", AddOptions())
    else:
        await derive(source, layer / "model")
        await add_lengths(PROJECT, layer)
    assert read_input(layer)["answered_lengths"] == [None, [1, 100]]
    requests = (zeros(1, length) for length in (100, 101, 600))
    errors = await ask(layer, *requests)
    assert errors[0] == ""
    assert errors[1].startswith(
        "expected at most 100, got 101 in shape[1] of input 'x', and the model failed on this"
    )
    assert "got 600" in errors[2]


async def test_a_length_that_must_equal_another_is_not_taken_for_a_limit(tmp_path: Path) -> None:
    # GIVEN a model whose rows must have an even length
    layer = tmp_path / "layer"
    await add(PROJECT, save(reshape(), tmp_path / "m.onnx"), layer / "model", AddOptions())
    # THEN no limit is made of that, and another failure stays ours
    assert "answered_lengths" not in read_input(layer)
    assert (await ask(layer, zeros(1, 3)))[0].startswith("the model failed")


async def test_the_doctor_shows_the_lengths(tmp_path: Path) -> None:
    long = await check(PROJECT, save(positions(100), tmp_path / "m.onnx"), None, [])
    assert long.inputs[0]["answered_lengths"] == [None, (1, 100)]
    assert "x: FP32, any x any, shape[1] at most 100" in describe(long)
    empty = await check(PROJECT, save(recurrent("GRU"), tmp_path / "m.onnx"), None, [])
    assert "x: FP32, any x any x 2, shape[0] at least 1, shape[1] at least 1" in describe(empty)


def describe(diagnosis: Diagnosis) -> list[str]:
    return [text for _, text in describe_diagnosis(diagnosis)]
