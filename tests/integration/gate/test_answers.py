"""The gate asks both versions the same: the example model, trained again or healthy but wrong."""

import json
import re
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import ModelProto

from gate import checks, pairs
from gate.answers import Change
from gate.checks import Limits, check
from gate.errors import RefusedError
from gate.invocation import Version
from serving.manifest import read_manifest
from tests.example_model import CONTRACT, MODEL, RETRAINED
from tests.lambda_versions import FUNCTION, CrashError, Event, Fault, Response, Versions
from tests.model_variants import (
    with_columns,
    with_other_labels,
    with_other_shares,
    with_shares_times,
)
from tests.onnx_models import identity, logistic, scaled

DRAWN = "rows drawn from the features' ranges"
GOLDEN = "golden requests"
LIMIT = 10.0
RANGES = [{"name": name, "minimum": -10.0, "maximum": 10.0} for name in "abcd"]
TABLE: dict[str, Any] = {
    "inputs": [{"name": "features", "datatype": "FP32", "shape": [-1, 4], "features": RANGES}]
}


class Verdict(NamedTuple):
    """What the gate says of version 2; `reason` is empty if it let it pass."""

    reason: str
    changes: list[Change]
    notes: list[str]

    def find(self, requests: str, output: str) -> Change:
        [change] = [one for one in self.changes if (one.requests, one.output) == (requests, output)]
        return change

    @property
    def colours(self) -> set[str]:
        return {change.colour for change in self.changes}


@pytest.fixture
def examine(versions: Versions) -> Callable[..., Verdict]:
    """Let the gate examine version 2, which replaces version 1."""

    def examine(folder: Path, limit: float = LIMIT, *, contract_change: bool = False) -> Verdict:
        changes: list[Change] = []
        notes: list[str] = []
        new, old = (Version(versions, FUNCTION, number) for number in ("2", "1"))
        limits = Limits(slowdown=1000, contract_change=contract_change, answer_change=limit)
        reason = ""
        try:
            tried = check(
                read_manifest(folder / "model.json"), new, old, limits, notes.append, changes.append
            )
            for _ in tried:
                pass
        except RefusedError as error:
            reason = str(error)
        return Verdict(reason, changes, notes)

    return examine


@pytest.fixture
def replace_example(versions: Versions, examine: Callable[..., Verdict]) -> Callable[..., Verdict]:
    """Release a model in the example's place, with golden answers of its own."""

    def replace(model: ModelProto, limit: float = LIMIT) -> Verdict:
        contract = json.loads(CONTRACT.read_text())
        fields = {key: value for key, value in contract.items() if key not in {"files", "golden"}}
        versions.publish(load(), golden=contract["golden"], **fields)
        golden = [answer(model, one) for one in contract["golden"]]
        return examine(versions.publish(model, golden=golden, **fields), limit)

    return replace


def load(path: Path = MODEL) -> ModelProto:
    return onnx.load(path)


def answer(model: ModelProto, golden: Mapping[str, Any]) -> dict[str, Any]:
    """Return a golden request with a model's own answer, as `infra model add` records it."""
    session = ort.InferenceSession(model.SerializeToString())
    features = np.array(golden["inputs"]["features"], np.float32)
    label, probabilities = session.run(["label", "probabilities"], {"features": features})
    outputs = {"label": label.tolist(), "probabilities": probabilities.tolist()}
    return {**golden, "outputs": outputs}


# The example model.


@pytest.mark.parametrize(
    ("change", "output", "least"),
    [
        (with_other_labels, "label", 1.0),
        (with_other_shares, "probabilities", 1.0),
        (lambda model: with_columns(model, [0, 2, 1, 3]), "label", 0.8),
        (lambda model: with_columns(model, [0, 3, 2, 1]), "label", 0.4),
        (lambda model: with_columns(model, [1, 0, 2, 3]), "label", 0.15),
        (lambda model: with_columns(model, [2, 1, 0, 3]), "label", 0.12),
        (lambda model: with_columns(model, [3, 2, 1, 0]), "label", 0.1),
        (lambda model: with_shares_times(model, -1), "probabilities", 1.0),
    ],
)
def test_a_model_that_is_healthy_but_wrong_is_refused(
    replace_example: Callable[..., Verdict],
    change: Callable[[ModelProto], ModelProto],
    output: str,
    least: float,
) -> None:
    verdict = replace_example(change(load()))

    # THEN the reason has the numbers, and the command that releases it all the same
    assert re.search(r"output '\w+': [\d,]+ of [\d,]+ labels \([\d.]+ %\) change", verdict.reason)
    assert verdict.reason.endswith(
        "; at most 10 % is allowed "
        "(`infra deploy --parameter MaxAnswerChange=100` releases it nevertheless)"
    )
    assert (verdict.find(DRAWN, output).flips or 0) >= least
    assert verdict.find(DRAWN, output).colour == "red"
    assert verdict.find(DRAWN, output).rows == 1000


@pytest.mark.parametrize("order", [[3, 1, 2, 0], [0, 1, 3, 2]])
def test_columns_that_hardly_matter_are_to_be_looked_at_when_swapped(
    replace_example: Callable[..., Verdict], order: list[int]
) -> None:
    verdict = replace_example(with_columns(load(), order))
    assert verdict.reason == ""
    assert verdict.find(DRAWN, "label").colour == "amber"


@pytest.mark.parametrize("factor", [1.01, 0.99, 1.001])
def test_a_small_systematic_difference_is_to_be_looked_at(
    replace_example: Callable[..., Verdict], factor: float
) -> None:
    verdict = replace_example(with_shares_times(load(), factor))

    assert verdict.reason == ""
    change = verdict.find(DRAWN, "probabilities")
    assert (change.colour, change.systematic, change.flips) == ("amber", True, 0)
    assert change.largest == pytest.approx(abs(factor - 1), rel=0.2)
    assert verdict.find(DRAWN, "label").colour == "green"


def test_a_model_that_was_trained_again_passes(replace_example: Callable[..., Verdict]) -> None:
    verdict = replace_example(load(RETRAINED))

    assert verdict.reason == ""
    assert verdict.colours == {"green"}
    assert 0.01 < (verdict.find(DRAWN, "label").flips or 0) < 0.05


def test_the_same_model_passes_in_few_requests(
    replace_example: Callable[..., Verdict], versions: Versions
) -> None:
    verdict = replace_example(load())

    assert verdict.reason == ""
    assert {(one.flips, one.largest) for one in verdict.changes} == {(0, None), (0, 0)}
    rows = [
        tensor["shape"][0]
        for number, event in versions.asked
        if number == "1" and "outputs" in event.get("body", "")
        for tensor in json.loads(event["body"])["inputs"]
    ]
    # THEN each request has at most twice the rows of the one before: the golden ones come first
    assert rows[:3] == [1, 8, 3]
    assert sum(rows[3:]) == 1000
    assert len(rows) < 60
    assert all(now <= 2 * before for before, now in pairwise(rows[3:]))
    assert max(rows) <= 128


def test_one_release_may_answer_as_it_likes(replace_example: Callable[..., Verdict]) -> None:
    verdict = replace_example(with_other_labels(load()), limit=100)
    assert verdict.reason == ""
    assert verdict.find(DRAWN, "label").flips == 1
    assert verdict.colours == {"amber"}


# Any model.


def test_a_regressor_far_from_the_old_one_is_refused(
    versions: Versions, examine: Callable[..., Verdict]
) -> None:
    versions.publish(logistic(), **TABLE)
    turned = with_columns(logistic(), [1, 2, 0, 3])

    verdict = examine(versions.publish(turned, **TABLE))

    change = verdict.find(DRAWN, "scores")
    assert (change.flips, change.colour) == (None, "red")
    assert "numbers (" in verdict.reason
    assert "move far" in verdict.reason


def test_a_model_that_takes_one_row_is_asked_a_hundred_times(
    versions: Versions, examine: Callable[..., Verdict]
) -> None:
    fields: dict[str, Any] = {
        "inputs": [{"name": "x", "datatype": "FP64", "shape": [1, 4], "features": RANGES}]
    }
    model = identity("FP64", [1, 4])
    versions.publish(model, **fields)

    verdict = examine(versions.publish(model, **fields))

    assert (verdict.find(DRAWN, "y").rows, verdict.reason) == (100, "")


def test_a_slow_model_is_asked_about_one_row_at_a_time_while_there_is_time(
    versions: Versions, examine: Callable[..., Verdict], monkeypatch: pytest.MonkeyPatch
) -> None:
    # GIVEN a model that takes longer than what is quick, and little time
    monkeypatch.setattr(pairs, "QUICK", 0)
    monkeypatch.setattr(checks, "SECONDS", 0.05)
    versions.publish(logistic(), **TABLE)

    verdict = examine(versions.publish(logistic(), **TABLE))

    sizes = {
        tensor["shape"][0]
        for _, event in versions.asked
        if '"outputs"' in event.get("body", "")
        for tensor in json.loads(event["body"])["inputs"]
        if "no-such-name" not in event["body"]
    }
    assert sizes == {1}
    assert 1 <= verdict.find(DRAWN, "scores").rows < 1000


@pytest.mark.parametrize("limits", [{"rows": 3}, {"elements": 9}])
def test_limits_of_the_model_hold_for_drawn_rows(
    versions: Versions, examine: Callable[..., Verdict], limits: dict[str, int]
) -> None:
    fields = TABLE | {"limits": limits}
    versions.publish(logistic(), **fields)
    verdict = examine(versions.publish(logistic(), **fields))
    assert verdict.find(DRAWN, "scores").rows == 1000


# What cannot be compared.


def fail_on_rows(event: Event, reply: Callable[[], Response]) -> Response:
    """Fail whenever several rows come, as nothing else of the gate's requests has."""
    if '"shape": [2, 4]' in event.get("body", ""):
        return {"statusCode": 500, "body": '{"error": "internal error"}'}
    return reply()


def crash_on_rows(event: Event, reply: Callable[[], Response]) -> Response:
    if '"shape": [2, 4]' in event.get("body", ""):
        raise CrashError("Runtime.ExitError", "signal: killed")
    return reply()


@pytest.mark.parametrize("fault", [fail_on_rows, crash_on_rows])
def test_an_old_version_that_does_not_answer_bars_nothing(
    versions: Versions, examine: Callable[..., Verdict], fault: Fault
) -> None:
    versions.publish(logistic(), fault=fault, **TABLE)

    verdict = examine(versions.publish(logistic(), **TABLE))

    assert verdict.reason == ""
    assert any(f"{DRAWN}: no comparison of answers: " in note for note in verdict.notes)
    # AND the new one, which was about to fail as well, was not asked
    assert versions.asked[-1][0] != "2" or "[2, 4]" not in versions.asked[-1][1].get("body", "")


@pytest.mark.parametrize("fault", [fail_on_rows, crash_on_rows])
def test_a_new_version_that_does_not_answer_what_the_old_one_does_is_refused(
    versions: Versions, examine: Callable[..., Verdict], fault: Fault
) -> None:
    versions.publish(logistic(), **TABLE)
    folder = versions.publish(logistic(), fault=fault, **TABLE)

    assert examine(folder).reason.endswith("; version 1 answers it")
    # AND not where the answers do not matter
    verdict = examine(folder, limit=100)
    assert verdict.reason == ""
    assert any("; version 1 answers it" in note for note in verdict.notes)


def test_a_changed_contract_leaves_what_both_have_in_common(
    versions: Versions, examine: Callable[..., Verdict]
) -> None:
    # GIVEN a version with another name and an optional input
    versions.publish(scaled_without_option(), name="old")
    golden = [{"inputs": {"x": [[1.0, 3.0]], "divisor": [4.0]}, "outputs": {"y": [[0.25, 0.75]]}}]
    folder = versions.publish(scaled(), inputs=OPTIONAL, golden=golden)

    # WHEN that is allowed THEN both are asked without it
    verdict = examine(folder, contract_change=True)
    assert verdict.reason == ""
    assert verdict.find(GOLDEN, "y").colour == "green"


OPTIONAL = [
    {"name": "x", "datatype": "FP32", "shape": [-1, 2]},
    {"name": "divisor", "datatype": "FP32", "shape": [1], "optional": True},
]


def scaled_without_option() -> ModelProto:
    """Return y = x / 2, where 2 is no input."""
    model = scaled()
    del model.graph.input[1]
    return model


def test_it_is_said_why_nothing_is_compared(
    versions: Versions, examine: Callable[..., Verdict]
) -> None:
    versions.publish(identity("FP64", [None, 4]))
    verdict = examine(versions.publish(logistic(), **TABLE), contract_change=True)
    assert verdict.reason == ""
    assert verdict.changes == []
    why = "version 1 has no input 'features'"
    assert f"{DRAWN}: no comparison of answers: {why}" in verdict.notes


def test_an_output_of_another_datatype_is_not_compared(
    versions: Versions, examine: Callable[..., Verdict]
) -> None:
    fields: dict[str, Any] = {
        "inputs": [{"name": "x", "datatype": "FP64", "shape": [-1, 4], "features": RANGES}]
    }
    versions.publish(identity("FP32", [None, 4]))
    verdict = examine(versions.publish(identity("FP64", [None, 4]), **fields), contract_change=True)
    assert f"{DRAWN}: no comparison of answers: no output has kept its name and datatype" in (
        verdict.notes
    )
