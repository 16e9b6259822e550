"""The requests of a rehearsal's load."""

import json
from typing import Any

import numpy as np
import pytest

from infra.model.samples.samples import Samples
from infra.rehearsal.requests import MOST_ROWS, RehearsalError, make_requests

FEATURES: dict[str, Any] = {"name": "features", "datatype": "FP32", "shape": [-1, 2]}
GOLDEN = {"inputs": {"features": [[1.5, 2], [3, 4]]}, "outputs": {}}


def contract(*inputs: dict[str, Any], **fields: Any) -> dict[str, Any]:
    tensors = {"inputs": list(inputs or [FEATURES]), "outputs": []}
    return {"name": "tiny", "golden": [], **tensors, **fields}


def tensors(body: bytes) -> Any:
    return json.loads(body)["inputs"]


def test_each_golden_sample_is_a_request() -> None:
    requests = make_requests(contract(golden=[GOLDEN]))

    assert requests.path == "/v2/models/tiny/infer"
    [body] = requests.bodies
    assert tensors(body) == [
        {"name": "features", "datatype": "FP32", "shape": [2, 2], "data": [[1.5, 2], [3, 4]]}
    ]


def test_each_row_of_the_samples_is_a_request() -> None:
    samples = Samples([FEATURES], {"features": np.array([[0.1, 1], [2, 3]], np.float32)})

    requests = make_requests(contract(golden=[GOLDEN]), samples)

    assert [tensors(body)[0]["data"] for body in requests.bodies[1:]] == [[[0.1, 1]], [[2, 3]]]


def test_where_only_the_answers_matter_rows_come_in_batches() -> None:
    rows = np.arange(2.0 * 70).reshape(-1, 2)
    outputs = [{"name": "y", "datatype": "FP32", "shape": [-1, 2], "labels": ["a", "b"]}]
    known = contract(golden=[GOLDEN], outputs=outputs)

    requests = make_requests(known, Samples([FEATURES], {"features": rows}))

    assert [batch.rows for batch in requests.batches] == [2, 32, 32, 6]
    asked = [row for batch in requests.batches[1:] for row in tensors(batch.body)[0]["data"]]
    assert asked == rows.tolist()
    assert len(requests.bodies) == 71
    assert requests.classes == ("y",)


def test_a_model_that_takes_one_row_is_asked_row_by_row() -> None:
    single = FEATURES | {"shape": [1, 2]}
    samples = Samples([single], {"features": np.arange(6.0).reshape(3, 2)})

    requests = make_requests(contract(single, golden=[{"inputs": {"features": [[1, 2]]}}]), samples)

    assert [batch.rows for batch in requests.batches] == [1, 1, 1, 1]
    assert tuple(batch.body for batch in requests.batches) == requests.bodies


def test_a_model_without_golden_samples_is_asked_with_zeros() -> None:
    text = {"name": "text", "datatype": "BYTES", "shape": [1]}
    optional = {"name": "more", "datatype": "BF16", "shape": [1], "optional": True}

    [body] = make_requests(contract(FEATURES, text, optional)).bodies

    assert tensors(body) == [
        {"name": "features", "datatype": "FP32", "shape": [1, 2], "data": [0, 0]},
        {"name": "text", "datatype": "BYTES", "shape": [1], "data": [""]},
    ]


def test_a_model_without_golden_samples_is_asked_its_example() -> None:
    [body] = make_requests(contract(example={"features": [[5, 6]]})).bodies

    assert tensors(body)[0]["data"] == [[5, 6]]


def test_refuses_a_model_whose_inputs_have_no_json_form() -> None:
    with pytest.raises(RehearsalError, match="input 'x' is BF16, which the load's JSON"):
        make_requests(contract({"name": "x", "datatype": "BF16", "shape": [1]}))


def test_refuses_a_model_whose_outputs_have_no_json_form() -> None:
    output = {"name": "y", "datatype": "BF16", "shape": [-1]}
    with pytest.raises(RehearsalError, match="output 'y' is BF16, which the load's JSON"):
        make_requests(contract(outputs=[output]))


def test_of_very_many_rows_as_many_are_taken_as_a_rehearsal_can_send() -> None:
    rows = np.arange(2.0 * 3 * MOST_ROWS).reshape(-1, 2)

    requests = make_requests(contract(), Samples([FEATURES], {"features": rows}))

    # THEN from the first to the last
    first = [tensors(body)[0]["data"][0][0] for body in requests.bodies]
    assert first == list(range(0, 6 * MOST_ROWS, 6))
