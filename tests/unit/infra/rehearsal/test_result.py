"""What the answers of a rehearsal add up to, and what a person reads of it."""

import json
from collections.abc import Sequence
from dataclasses import replace
from html import escape
from pathlib import Path

import pytest

from infra.local.control.code_deploy import ReleaseEvent
from infra.model.package import AddOptions
from infra.rehearsal.load import Answer
from infra.rehearsal.page import render
from infra.rehearsal.plan import RehearsalPlan, format_release_command
from infra.rehearsal.report import describe_event, describe_result, to_dict
from infra.rehearsal.result import Caught, Colour, Count, RehearsalFinding, RehearsalResult, tally

BEGUN = 1000.0


def answer(second: float, version: str, status: int = 200, customer: int = 0) -> Answer:
    return Answer(BEGUN + second, 0.5, customer, status, version)


def rehearsal(answers: Sequence[Answer], **changes: object) -> RehearsalResult:
    events = [
        ReleaseEvent(BEGUN, "load", "", 0),
        ReleaseEvent(BEGUN + 3, "shifted", "", 10),
        ReleaseEvent(BEGUN + 9, "alarm", "errors", 10),
        ReleaseEvent(BEGUN + 9.2, "rolled-back", "", 0),
    ]
    plain = RehearsalResult(
        caught=Caught.CANARY,
        reason="alarm errors",
        old="4",
        new="5",
        events=events,
        sent=len(answers),
        answers=answers,
        started=BEGUN,
        ended=BEGUN + 12,
        minute=3,
    )
    return replace(plain, **changes)  # type: ignore[arg-type]  # a test names fields that there are


def test_counts_by_version() -> None:
    answers = [answer(1, "4"), answer(4, "5", 500), answer(5, "5"), answer(6, "", 429)]

    tallied = tally(rehearsal(answers))

    assert tallied.versions == {"4": Count(1, 0), "5": Count(2, 1), "": Count(1, 1)}
    assert tallied.versions["5"].share == 0.5
    assert tallied.failed == 2
    assert tallied.lost == 0


def test_version_without_requests_is_counted_too() -> None:
    assert tally(rehearsal([answer(1, "4")])).versions["5"] == Count(0, 0)
    assert Count(0, 0).share == 0


def test_request_without_an_answer_is_lost_and_failed() -> None:
    answers = [answer(1, "4"), answer(2, "", status=0)]

    assert tally(rehearsal(answers)).lost == 1
    assert tally(rehearsal(answers)).failed == 1
    assert tally(rehearsal(answers, sent=3)).lost == 2


@pytest.mark.parametrize("status", [400, 404, 429, 500, 503, 204])
def test_any_other_status_than_200_is_an_error(status: int) -> None:
    assert tally(rehearsal([answer(1, "4", status)])).hurt == 1


def test_customer_who_sees_two_errors_is_one() -> None:
    answers = [answer(4, "5", 500, 7), answer(5, "5", 500, 7), answer(5, "5", 500, 8)]

    assert tally(rehearsal(answers)).hurt == 2


def test_times_from_bad_answer_to_alarm_to_last_answer() -> None:
    # An answer is received half a second after its request is sent
    answers = [answer(3, "5"), answer(4, "5", 500), answer(8.75, "5", 500), answer(10, "4")]

    tallied = tally(rehearsal(answers))

    assert tallied.alarm_seconds == pytest.approx(9 - 4.5)
    assert tallied.rollback_seconds == pytest.approx(8.75 + 0.5 - 9)
    lines = dict(describe_result(rehearsal(answers), tallied))
    assert lines["Rollback"] == "0.25 s after the alarm came the new version's last answer"


def test_rollback_takes_no_time_if_nothing_was_under_way() -> None:
    assert tally(rehearsal([answer(4, "5", 500)])).rollback_seconds == 0


def test_no_alarm_no_times() -> None:
    promoted = rehearsal([answer(4, "5")], caught=Caught.NOWHERE, reason="", events=[])

    assert tally(promoted).alarm_seconds is None
    assert tally(promoted).rollback_seconds is None


def test_alarm_for_another_reason_than_errors_has_no_first_bad_answer() -> None:
    assert tally(rehearsal([answer(4, "5")])).alarm_seconds is None


def test_describes_the_result() -> None:
    one = rehearsal([answer(1, "4"), answer(2, "4"), answer(4, "5", 500, 1)])

    assert list(describe_result(one, tally(one))) == [
        ("Verdict", "Red. Rolled back in the canary"),
        ("Reason", "alarm errors"),
        ("Requests", "3 sent, none lost, 1 failed"),
        ("Version 4 (old)", "2 requests, 0 failed"),
        ("Version 5 (new)", "1 request, 1 failed (100.0%)"),
        ("Customers", "1 of 3 saw an error"),
        ("Alarm", "4.5 s (1.5 minutes of the release) after the new version's first bad answer"),
        ("Rollback", "after the alarm no customer got an answer of the new version"),
    ]


def test_names_the_command_after_a_promotion() -> None:
    command = "infra model add a.onnx && sam build && infra deploy"
    one = rehearsal([answer(1, "4")], caught=Caught.NOWHERE, reason="", next=command)

    assert ("Next", command) in describe_result(one, tally(one))
    assert to_dict(one, tally(one))["next"] == command
    page = render("a.onnx", one, tally(one))
    assert page.count(f"Next: <code>{escape(command)}</code>") == 1


def test_the_next_command_takes_what_was_rehearsed() -> None:
    options = AddOptions(samples=Path("my rows.csv"), features=["a", "b"])
    plan = RehearsalPlan(Path("good.onnx"), options, 50, 3, {"MaxErrorPercent": "5"})

    assert format_release_command(plan, "m") == (
        "infra model add good.onnx --name m --samples 'my rows.csv' --features a,b && sam build "
        "&& infra deploy --parameter MaxErrorPercent=5"
    )


GREEN = RehearsalFinding("answers", Colour.GREEN, "0 of 9 labels change", {"rows": 9, "flips": 0.0})
AMBER = RehearsalFinding(
    "answers", Colour.AMBER, "numbers <move> one way", {"rows": 9, "flips": 0.1}
)
RED = RehearsalFinding("quality", Colour.RED, "it is worse", {"auc": 0.5})


@pytest.mark.parametrize(
    ("findings", "caught", "verdict", "words"),
    [
        ([], Caught.NOWHERE, "green", "Green. Promoted"),
        ([GREEN], Caught.NOWHERE, "green", "Green. Promoted"),
        ([GREEN, AMBER], Caught.NOWHERE, "amber", "Amber. Promoted"),
        ([AMBER, RED, GREEN], Caught.NOWHERE, "red", "Red. Promoted"),
        ([GREEN], Caught.GATE, "red", "Red. Refused by the gate: it never had traffic"),
        ([], Caught.CANARY, "red", "Red. Rolled back in the canary"),
    ],
)
def test_the_verdict_is_the_worst_of_what_was_found(
    findings: list[RehearsalFinding], caught: Caught, verdict: str, words: str
) -> None:
    one = rehearsal([answer(1, "4")], caught=caught, findings=findings)

    assert one.verdict == verdict
    assert next(describe_result(one, tally(one))) == ("Verdict", words)
    assert to_dict(one, tally(one))["verdict"] == verdict


def test_findings_come_first_and_say_what_to_look_at() -> None:
    findings, notes = [GREEN, AMBER, RED], ["rows: model.json has no range"]
    one = rehearsal(
        [answer(1, "4")], caught=Caught.NOWHERE, reason="", findings=findings, notes=notes
    )

    assert list(describe_result(one, tally(one)))[:5] == [
        ("Verdict", "Red. Promoted"),
        ("Answers", "0 of 9 labels change"),
        ("Answers", "AMBER: numbers <move> one way"),
        ("Quality", "RED: it is worse"),
        ("Not checked", "rows: model.json has no range"),
    ]
    # THEN a program gets the numbers
    found = to_dict(one, tally(one))
    assert found["findings"] == [
        {"about": "answers", "colour": "green", "rows": 9, "flips": 0.0},
        {"about": "answers", "colour": "amber", "rows": 9, "flips": 0.1},
        {"about": "quality", "colour": "red", "auc": 0.5},
    ]
    assert found["not_checked"] == notes
    # AND the page shows each once, before the chart
    page = render("a.onnx", one, tally(one))
    head = page[: page.index("<h2>Requests a second</h2>")]
    assert '<section class="tile alarm">' in head
    assert "<b>Red. Promoted</b>" in head
    for text in ("0 of 9 labels change", "AMBER: numbers &lt;move&gt; one way", "RED: it is worse"):
        assert head.count(f"<td>{text}</td>") == 1
    assert "<move>" not in page


def test_counts_requests_that_reached_no_version() -> None:
    one = rehearsal([answer(1, "4"), answer(2, "", 0)])

    lines = dict(describe_result(one, tally(one)))

    assert lines["Requests"] == "2 sent, 1 lost, 1 failed"
    assert lines["No version"] == "1 request, 1 failed (100.0%)"


def test_says_little_about_a_model_that_could_not_be_packaged() -> None:
    one = rehearsal([], caught=Caught.PACKAGE, reason="it is no model", new="", events=[])

    assert [label for label, _ in describe_result(one, tally(one))] == ["Verdict", "Reason"]


def test_shows_the_time_of_an_event_here_and_in_the_release() -> None:
    event = ReleaseEvent(BEGUN + 4.5, "gate-refused", "it crashes", 0)

    assert describe_event(event, BEGUN, 3) == ("4.5", "1.5", "Gate refused", "it crashes")


def test_json_has_times_from_the_begin() -> None:
    one = rehearsal([answer(1, "4"), answer(4, "5", 500, 1)])

    found = json.loads(json.dumps(to_dict(one, tally(one))))

    assert found["caught"] == "canary"
    assert found["promoted"] is False
    assert found["versions"]["5"] == {"requests": 1, "failed": 1}
    assert [event["seconds"] for event in found["events"]] == pytest.approx([0, 3, 9, 9.2])
