"""Rows that are drawn from model.json."""

from typing import Any

import msgspec
import numpy as np
import pytest

from gate.rows import draw_rows
from serving.manifest import Tensor

EDGES, COUNTS = [0.0, 1.0, 10.0, 100.0], [70, 0, 30]
HISTOGRAM = {"name": "a", "minimum": 0.0, "maximum": 100.0} | {
    "baseline": {"edges": EDGES, "counts": COUNTS}
}
RANGE = {"name": "b", "minimum": -5.0, "maximum": 5.0}


def tensor(*features: dict[str, Any], name: str = "x", **fields: Any) -> Tensor:
    known = {"name": name, "datatype": "FP32", "shape": [-1, len(features)]}
    return msgspec.convert(known | {"features": list(features)} | fields, Tensor)


def test_rows_follow_histograms_and_ranges() -> None:
    [(name, rows)] = draw_rows([tensor(HISTOGRAM, RANGE)], 5000).items()

    assert (name, rows.shape, rows.dtype) == ("x", (5000, 2), np.float32)
    counts, _ = np.histogram(rows[:, 0], EDGES)
    assert counts.sum() == 5000
    assert counts[1] == 0
    assert counts[0] == pytest.approx(3500, abs=200)
    assert rows[:, 1].min() >= -5
    assert rows[:, 1].max() <= 5
    assert abs(rows[:, 1].mean()) < 0.2


def test_the_same_rows_are_drawn_each_time() -> None:
    tensors = [tensor(HISTOGRAM, RANGE)]
    assert np.array_equal(draw_rows(tensors, 10)["x"], draw_rows(tensors, 10)["x"])


def test_integers_are_whole_and_a_constant_is_constant() -> None:
    constant = {"name": "c", "minimum": 7.0, "maximum": 7.0}
    rows = draw_rows([tensor(RANGE, constant, datatype="INT8")], 100)["x"]
    assert rows.dtype == np.int8
    assert set(rows[:, 0].tolist()) == set(range(-5, 6))
    assert set(rows[:, 1].tolist()) == {7}


def test_every_input_that_must_be_there_has_rows() -> None:
    tensors = [
        tensor(RANGE, name="one", shape=[1, 1]),
        tensor(HISTOGRAM, name="two"),
        tensor(name="more", datatype="BYTES", shape=[-1], optional=True),
    ]
    assert list(draw_rows(tensors, 3)) == ["one", "two"]


def test_categories_and_indices_are_drawn_as_the_model_knows_them() -> None:
    tensors = [
        tensor(name="city", datatype="BYTES", shape=[-1, 1], categories=["Rome", "Oslo"]),
        tensor(name="item", datatype="INT64", shape=[-1], index_range=[-5, 4]),
        tensor({"name": "kind"}, RANGE, name="table", column_categories=[[3, 7], None]),
    ]

    drawn = draw_rows(tensors, 200)

    assert drawn["city"].shape == (200, 1)
    assert set(drawn["city"].ravel().tolist()) == {"Rome", "Oslo"}
    assert drawn["item"].shape == (200,)
    assert drawn["item"].dtype == np.int64
    assert set(drawn["item"].tolist()) == {0, 1, 2, 3, 4}
    assert set(drawn["table"][:, 0].tolist()) == {3, 7}
    assert drawn["table"][:, 1].std() > 1


@pytest.mark.parametrize(
    "unknown",
    [
        tensor(RANGE, {"name": "no range"}),
        tensor(RANGE, {"name": "half a range", "minimum": 0.0}),
        tensor(shape=[-1, 3]),
        tensor(shape=[-1, 0]),
        tensor(shape=[]),
        tensor(datatype="INT64", shape=[-1, 12], index_range=[0, 99]),  # a text: nobody wrote it
        tensor(datatype="INT64", shape=[-1, -1], index_range=[0, 99]),
        tensor(RANGE, datatype="BYTES"),
        tensor(RANGE, datatype="BOOL"),
        tensor(RANGE, datatype="BF16"),
        tensor(RANGE, shape=[-1, -1, 1]),
        tensor(RANGE, shape=[4, 1]),
        tensor(HISTOGRAM | {"minimum": None, "baseline": {"edges": [0.0, 1.0], "counts": [0]}}),
    ],
)
def test_without_all_ranges_nothing_is_drawn(unknown: Tensor) -> None:
    assert draw_rows([tensor(RANGE, name="y"), unknown], 3) == {}
