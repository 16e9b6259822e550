from typing import Any

import msgspec
import pytest

from gate.contract import ModelMetadata, find_breaks
from serving.manifest import Manifest

X = {"name": "x", "datatype": "FP32", "shape": [-1, 4]}
Y = {"name": "y", "datatype": "FP32", "shape": [-1, 2]}
Z = {"name": "z", "datatype": "INT64", "shape": [-1]}


def break_callers(
    old: tuple[list[Any], list[Any]], new: tuple[list[Any], list[Any]], name: str = "tiny"
) -> list[str]:
    told = {"name": "tiny", "versions": ["1"], "properties": {}, "platform": "onnx_onnxv1"}
    manifest = {"schema": 1, "version": "2", "files": {"model.onnx": "0" * 64}, "name": name}
    fields = ("inputs", "outputs")
    return list(
        find_breaks(
            msgspec.convert(told | dict(zip(fields, old, strict=True)), ModelMetadata),
            msgspec.convert(manifest | dict(zip(fields, new, strict=True)), Manifest),
        )
    )


@pytest.mark.parametrize(
    ("inputs", "outputs"),
    [
        pytest.param([X], [Y], id="the same"),
        pytest.param([X | {"shape": [-1, -1]}], [Y], id="an input of any length"),
        pytest.param([X, Z | {"optional": True}], [Y], id="another optional input"),
        pytest.param([X], [Z, Y], id="another output"),
        pytest.param([X], [Y | {"shape": [-1, -1]}], id="the exporter knew less of an output"),
        pytest.param([X], [Y | {"shape": [1, 2]}], id="the exporter knew more of an output"),
    ],
)
def test_caller_understands_a_contract_that_grew(inputs: list[Any], outputs: list[Any]) -> None:
    assert break_callers(([X], [Y]), (inputs, outputs)) == []


@pytest.mark.parametrize(
    ("inputs", "outputs", "broken"),
    [
        ([Z], [Y], ["input 'x' is gone", "input 'z' is new and not optional"]),
        ([X, Z], [Y], ["input 'z' is new and not optional"]),
        ([X | {"datatype": "FP64"}], [Y], ["input 'x' is FP64 now, it was FP32"]),
        ([X | {"shape": [-1, 5]}], [Y], ["input 'x' has shape [-1, 5] now, it had [-1, 4]"]),
        ([X | {"shape": [8, 4]}], [Y], ["input 'x' has shape [8, 4] now, it had [-1, 4]"]),
        ([X | {"shape": [-1]}], [Y], ["input 'x' has shape [-1] now, it had [-1, 4]"]),
        ([X], [Z], ["output 'y' is gone"]),
        ([X], [Y | {"datatype": "FP16"}], ["output 'y' is FP16 now, it was FP32"]),
        ([X], [Y | {"shape": [-1, 3]}], ["output 'y' has shape [-1, 3] now, it had [-1, 2]"]),
        ([X], [Y | {"shape": [-1]}], ["output 'y' has shape [-1] now, it had [-1, 2]"]),
    ],
)
def test_finds_what_breaks_a_caller(
    inputs: list[Any], outputs: list[Any], broken: list[str]
) -> None:
    assert break_callers(([X], [Y]), (inputs, outputs)) == broken


def test_finds_another_name_of_the_model() -> None:
    broken = break_callers(([X], [Y]), ([X], [Y]), name="other")
    assert broken == ["the model 'tiny' is called 'other' now"]
