"""The picture and the page of a rehearsal."""

import re
from itertools import pairwise
from xml.etree import ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st

from infra.local.control.code_deploy import ReleaseEvent
from infra.rehearsal.load import Answer
from infra.rehearsal.page import render
from infra.rehearsal.result import Caught, RehearsalResult, tally
from infra.rehearsal.timeline import HEIGHT, MARK, WIDTH, draw, place_marks, sort_answers

BEGUN = 1000.0


def rehearsal(
    caught: Caught = Caught.CANARY, reason: str = "alarm <errors> & more"
) -> RehearsalResult:
    answers = [Answer(BEGUN + i / 10, 0.01, i % 100, 200, "1") for i in range(120)]
    answers += [Answer(BEGUN + 4 + i / 2, 0.01, i, 500, "2") for i in range(10)]
    events = [
        ReleaseEvent(BEGUN, "load", "10 requests a second go to version 1", 0),
        ReleaseEvent(BEGUN + 4, "shifted", "10 %", 10),
        ReleaseEvent(BEGUN + 9, "alarm", reason, 10),
        ReleaseEvent(BEGUN + 9.01, "rolled-back", "", 0),
    ]
    return RehearsalResult(
        caught=caught,
        reason=reason,
        old="1",
        new="2",
        events=events,
        sent=len(answers),
        answers=answers,
        started=BEGUN,
        ended=BEGUN + 12,
        minute=3,
    )


def parse(one: RehearsalResult) -> ET.Element:
    return ET.fromstring(draw(one, 'a "summary"'))  # noqa: S314 our own


def points(path: ET.Element) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in re.findall(r"([\d.]+) ([\d.]+)", path.get("d", ""))]


@given(
    st.lists(st.tuples(st.floats(0, 20), st.sampled_from(["1", "2", ""]), st.booleans())),
    st.floats(0.1, 30),
)
def test_every_answer_is_in_one_bin(sent: list[tuple[float, str, bool]], width: float) -> None:
    answers = [Answer(BEGUN + at, 0, 0, 200 if ok else 500, version) for at, version, ok in sent]

    bins = sort_answers(answers, BEGUN, BEGUN + 20, width)

    assert sum(one.answered.total() for one in bins) == len(answers)
    assert sum(one.failed.total() for one in bins) == sum(not ok for _, _, ok in sent)
    assert abs(bins[-1].begin + bins[-1].width - 20) < 1e-6
    for one, next_ in pairwise(bins):
        assert abs(one.begin + one.width - next_.begin) < 1e-6


def test_an_answer_is_in_the_bin_of_its_time() -> None:
    bins = sort_answers([Answer(BEGUN + 4.5, 9, 0, 500, "2")], BEGUN, BEGUN + 10, 1)

    assert [one.answered["2"] for one in bins] == [0, 0, 0, 0, 1, 0, 0, 0, 0, 0]
    assert bins[4].middle == 4.5
    assert bins[4].rate(bins[4].failed["2"]) == 1


@given(st.lists(st.floats(0, 200)).map(sorted))
def test_no_mark_covers_another(places: list[float]) -> None:
    rows = place_marks(places)

    marks = list(zip(places, rows, strict=True))
    for i, (place, row) in enumerate(marks):
        assert all(place - other >= MARK for other, its_row in marks[:i] if its_row == row)


def test_marks_that_have_room_are_in_one_row() -> None:
    assert place_marks([0, MARK, 2 * MARK, 2 * MARK + 1, 2 * MARK + 2]) == [0, 0, 0, 1, 2]


def test_chart_has_a_line_for_each_version_and_bars_for_failures() -> None:
    svg = parse(rehearsal())

    styles = [path.get("class") for path in svg.iter("path")]
    assert [style for style in styles if style and style.startswith("line")] == [
        "line c0 d0",
        "line c1 d1",
    ]
    failed = [rect for rect in svg.iter("rect") if rect.get("class") == "failed"]
    assert len(failed) == 7  # of 0.75 s, from 4 to 8.5 s
    old, new = (points(path) for path in svg.iter("path") if "line" in path.get("class", ""))
    assert len(old) == len(new) == 16
    # Higher is less in SVG; 10 requests a second against 2 in the canary
    assert old[8][1] < new[8][1]
    assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in [*old, *new])


def test_chart_marks_each_event_at_its_time() -> None:
    svg = parse(rehearsal())

    marks = [text for text in svg.iter("text") if text.get("class") == "mark"]
    assert [mark.text for mark in marks] == ["1", "2", "3", "4"]
    times = {text.text: float(text.get("x", "")) for text in svg.iter("text") if text.text}
    assert times["4 s"] == float(marks[1].get("x", ""))
    assert times["3 min"] == float(marks[2].get("x", ""))
    # The last two are too close to stand side by side
    assert marks[2].get("y") != marks[3].get("y")


def test_chart_has_its_numbers_as_text() -> None:
    svg = parse(rehearsal())

    assert svg.get("role") == "img"
    assert svg.get("aria-label") == 'a "summary"'
    tips = [title.text or "" for title in svg.iter("title")]
    assert len(tips) == 16
    assert tips[6] == "4.5 to 5.2 s\nversion 1: 8 requests\nversion 2: 2 requests, 2 failed"


def test_page_says_it_all_and_needs_nothing_else() -> None:
    one = rehearsal()

    page = render("better.onnx", one, tally(one))

    assert "Rolled back in the canary" in page
    assert "alarm &lt;errors&gt; &amp; more" in page
    assert "10 of 100 saw an error" in page
    assert "A minute of the release took 3 s here." in page
    assert page.count('<svg viewBox="0 0 1160') == 1
    for remote in ("<script", "http:", "https:", "<link", "@import", "url("):
        assert remote not in page


def test_page_of_a_model_that_could_not_be_packaged_has_no_chart() -> None:
    events = [ReleaseEvent(BEGUN, "package-refused", "it is no model", 0)]
    one = RehearsalResult(Caught.PACKAGE, "it is no model", "1", "", events, 0, [], BEGUN, BEGUN, 3)

    page = render("worse.onnx", one, tally(one))

    assert "it was never published" in page
    assert "<svg" not in page


def test_page_of_a_good_release_says_so() -> None:
    page = render("better.onnx", one := rehearsal(Caught.NOWHERE, ""), tally(one))

    assert '<section class="tile ok">' in page
    assert "It passed the gate, and no alarm went off." in page
