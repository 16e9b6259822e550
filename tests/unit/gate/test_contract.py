from typing import Any

import msgspec
import pytest

from gate.contract import ModelMetadata, find_breaks
from serving.manifest import Manifest

X = {"name": "x", "datatype": "FP32", "shape": [-1, 4]}
Y = {"name": "y", "datatype": "FP32", "shape": [-1, 2]}
Z = {"name": "z", "datatype": "INT64", "shape": [-1]}


def break_callers(
    old: tuple[list[Any], list[Any]],
    new: tuple[list[Any], list[Any]],
    name: str = "tiny",
    properties: dict[str, str] | None = None,
) -> list[str]:
    told: dict[str, Any] = {"name": "tiny", "versions": ["1"], "platform": "onnx_onnxv1"}
    told |= {"properties": properties or {}}
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
        pytest.param([X | {"dimensions": ["batch", None]}], [Y], id="a name of a dimension"),
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


def with_range(low: int, high: int) -> dict[str, Any]:
    return X | {"index_range": [low, high]}


def with_columns(*ranges: list[int] | None) -> dict[str, Any]:
    return X | {"column_index_ranges": list(ranges)}


IN_ALL = "input 'x' takes indices from -5 to 4 now, it took "
IN_COLUMN = "column 1 of 'x' takes indices from -5 to 4 now, it took "


@pytest.mark.parametrize(
    ("old", "new", "broken"),
    [
        (with_range(-5, 4), with_range(-5, 4), []),
        (with_range(-5, 4), with_range(-9, 8), []),
        (with_range(-5, 4), X, []),
        (X, with_range(-5, 4), [f"{IN_ALL}any number"]),
        (with_range(-9, 8), with_range(-5, 4), [f"{IN_ALL}-9 to 8"]),
        (with_range(-5, 8), with_range(-5, 4), [f"{IN_ALL}-5 to 8"]),
        (with_range(-9, 4), with_range(-5, 4), [f"{IN_ALL}-9 to 4"]),
        (with_range(-5, 4), with_columns(None, [-9, 8], None, None), []),
        (with_range(-9, 8), with_columns(None, [-5, 4], None, None), [f"{IN_COLUMN}-9 to 8"]),
        (X, with_columns(None, [-5, 4], None, None), [f"{IN_COLUMN}any number"]),
        (with_columns(*[[-5, 4]] * 4), with_range(-5, 4), []),
        (with_columns(*[[-5, 4]] * 3, None), with_range(-5, 4), [f"{IN_ALL}any number"]),
        (
            with_columns(None, [-5, 5], None, None),
            with_columns(None, [-5, 4], None, None),
            [f"{IN_COLUMN}-5 to 5"],
        ),
    ],
)
def test_an_index_that_is_refused_now_breaks_its_callers(
    old: dict[str, Any], new: dict[str, Any], broken: list[str]
) -> None:
    assert break_callers(([old], [Y]), ([new], [Y])) == broken


@pytest.mark.parametrize(
    ("old", "new", "broken"),
    [
        ({"categories": [1, 2]}, {"categories": [2, 1, 3]}, []),
        ({"categories": [1, 2]}, {}, []),
        (
            {},
            {"categories": [1]},
            ["input 'x' takes only certain categories now, it took any value"],
        ),
        (
            {"categories": [1, 2, 3]},
            {"categories": [3]},
            ["input 'x' does not take 2 of its categories any more"],
        ),
        (
            {"column_categories": [None, [7], [8], None]},
            {"column_categories": [None, [7], [9], None]},
            ["column 2 of 'x' does not take 1 of its categories any more"],
        ),
    ],
)
def test_so_does_a_category_that_is_not_known_any_more(
    old: dict[str, Any], new: dict[str, Any], broken: list[str]
) -> None:
    assert break_callers(([X | old], [Y]), ([X | new], [Y])) == broken


def test_nothing_is_refused_that_the_same_graph_took() -> None:
    # GIVEN a version whose contract was written before there were index ranges
    same = {"sha256": "0" * 64}

    assert break_callers(([X], [Y]), ([with_range(-5, 4)], [Y]), properties=same) == []
