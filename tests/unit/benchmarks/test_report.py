"""The arithmetic, verdicts and pictures of the benchmark, which the integration tests run."""

import json
import math
import runpy
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from rich.table import Table

from infra import prices
from serving.model import _options
from tests.benchmarks import chart, machine, report
from tests.benchmarks.bodies import VALID, BodyCost
from tests.benchmarks.cold import Start, find_model_load, summarize_starts
from tests.benchmarks.cost import price, read_standing
from tests.benchmarks.sample import AnswerError, Sample
from tests.benchmarks.sizes import Size, measure_sizes
from tests.benchmarks.spread import Spread, compare, summarize
from tests.benchmarks.targets import (
    Target,
    find_failure,
    judge_bodies,
    judge_cold,
    judge_size,
    judge_warm,
)
from tests.benchmarks.warm import summarize_cases
from tests.example_model import FOLDER

ROOT = Path(__file__).parents[3]
SVG = "{http://www.w3.org/2000/svg}"


def make_start(total: float, memory: float = 50.0) -> Start:
    """Make a cold start: a tenth of it is the model, a fifth the first request."""
    return Start(
        total=total,
        init=total * 0.8,
        model_load=total * 0.1,
        first=total * 0.2,
        cpu=total,
        warm=1.0,
        rest_mb=memory,
        peak_mb=memory,
    )


def make_cold(ours: float, memory: float = 50.0) -> dict[str, list[Start]]:
    """Make three turns; in the second everything takes ten times as long."""
    totals = {"ours": ours, "floor": 100.0, "typical": 1000.0, "empty": 40.0}
    return {
        name: [make_start(total * busy, memory if name == "ours" else 50.0) for busy in (1, 10, 1)]
        for name, total in totals.items()
    }


def make_warm(ours: float) -> dict[str, dict[str, list[float]]]:
    """Make two rounds of the cases that have targets; the session takes 10 microseconds."""
    return {
        "1 row, JSON": {
            "session.run": [10.0, 20.0],
            "ours": [10.0 + ours, 20.0 + ours],
            "typical": [110.0, 120.0],
        },
        "1000 rows, JSON": {"session.run": [10.0, 20.0], "ours": [14.0, 28.0]},
        "1000 rows, binary": {"session.run": [10.0, 20.0], "ours": [12.0, 24.0]},
    }


def show(table: Table) -> str:
    console = Console(width=150, record=True, file=sys.stdout)
    console.print(table)
    return console.export_text()


def test_median_stands_between_the_quarters() -> None:
    assert summarize([5.0, 1.0, 2.0, 4.0, 3.0]) == Spread(median=3.0, low=2.0, high=4.0, count=5)
    assert summarize([7.0]) == Spread(7.0, 7.0, 7.0, 1)


def test_ratio_is_taken_within_each_turn() -> None:
    # GIVEN a turn in which the machine was busy with something else
    assert compare([120.0, 1200.0, 120.0], [100.0, 1000.0, 100.0]).median == pytest.approx(1.2)
    # AND values that are not of the same turns
    with pytest.raises(ValueError, match="shorter"):
        compare([1.0, 2.0], [1.0])


@pytest.mark.parametrize(
    ("ours", "memory", "verdicts"),
    [
        (120.0, 60.0, [True, True, True]),
        (125.0, 65.0, [True, True, True]),
        (126.0, 60.0, [False, False, True]),
        (90.0, 66.0, [True, True, False]),
    ],
)
def test_cold_start_is_judged_by_ratios(ours: float, memory: float, verdicts: list[bool]) -> None:
    assert [target.is_met for target in judge_cold(make_cold(ours, memory))] == verdicts


@pytest.mark.parametrize(("ours", "is_met"), [(19.0, True), (21.0, False)])
def test_overhead_is_what_comes_on_top_of_the_session(*, ours: float, is_met: bool) -> None:
    overhead, text, binary = judge_warm(make_warm(ours))
    assert overhead.value == pytest.approx(ours / 100)
    assert overhead.is_met is is_met
    assert text.value == pytest.approx(1.4)
    assert text.is_met
    assert binary.value == pytest.approx(1.2)
    assert not binary.is_met


@pytest.mark.parametrize(("megabytes", "is_met"), [(105, True), (106, False)])
def test_layer_has_a_budget_in_megabytes(*, megabytes: int, is_met: bool) -> None:
    assert judge_size(Size(megabytes * 2**20, 0, 0)).is_met is is_met


def test_hostile_bodies_are_judged_by_the_most_expensive() -> None:
    # GIVEN a slow one and a large one in a turn in which the machine was busy
    rows = [10.0, 100.0, 10.0]
    costs = [
        BodyCost("CSV", "valid", VALID, 700_000, 200, 60.0, rows, rows),
        BodyCost("CSV", "slow", "gzip", 3_000, 400, 57.0, [12.0, 120.0, 12.0], rows),
        BodyCost("CSV", "large", "gzip", 3_000, 400, 66.0, [5.0, 50.0, 5.0], rows),
        BodyCost("CSV", "large on the wire", "plain", 800_000, 400, 90.0, [50.0], [10.0]),
    ]
    time, memory, killed = judge_bodies(costs)
    assert time.value == pytest.approx(1.2)
    assert memory.value == pytest.approx(1.1)
    assert find_failure([time, memory, killed]) == ""
    table = show(report.tabulate_bodies(costs))
    named = [name in table for name in (VALID, "slow", "large", "large on the")]
    assert all(named)
    # WHEN one kills its environment THEN the benchmark fails
    killer = BodyCost("CSV", "killer", "gzip", 3_000)
    time, memory, killed = judge_bodies([*costs, killer])
    assert time.value == math.inf
    assert memory.value == pytest.approx(512 / 60)
    assert find_failure([time, memory, killed]).startswith("bodies that kill an environment: 1.0")
    assert "killer" in show(report.tabulate_bodies([*costs, killer]))


def test_only_a_size_fails_the_benchmark() -> None:
    slow = Target("cold start / floor", summarize([9.0]), 1.25)
    large = judge_size(Size(106 * 2**20, 0, 0))
    assert find_failure([slow, judge_size(Size(105 * 2**20, 0, 0))]) == ""
    assert find_failure([slow, large]) == "runtime layer, MB unzipped: 106.0, at most 105"


def test_verdicts_are_shown() -> None:
    text = show(report.tabulate_targets([Target("a", 1.0, 2.0), Target("b", 3.0, 2.0)]))
    assert [line.split()[-2] for line in text.splitlines()[3:5]] == ["met", "missed"]


def test_tables_show_medians() -> None:
    cold = show(report.tabulate_cold(summarize_starts(make_cold(120.0))))
    [ours] = [line for line in cold.splitlines() if "ours" in line]
    assert ours.replace("\u2502", "").split()[1:4] == ["120", "120-660", "1.20"]
    warm = show(report.tabulate_warm(summarize_cases(make_warm(20.0))))
    assert "20% of typical" in warm
    assert "1.20 x" in warm


def test_chart_shows_each_start_and_is_valid_svg() -> None:
    cold = summarize_starts(make_cold(120.0))
    root = ET.fromstring(chart.draw(cold, "2 x <Processor> & Co"))  # noqa: S314 our own
    texts = [element.text or "" for element in root.iter(f"{SVG}text")]
    assert any("120 ms" in text and "1.20 \u00d7 floor" in text for text in texts)
    assert any("1,000 ms" in text for text in texts)
    assert texts[-1] == "2 x <Processor> & Co"
    # AND all of it is inside
    width = float(root.attrib["viewBox"].split()[2])
    for bar in root.iter(f"{SVG}rect"):
        assert float(bar.attrib["x"]) + float(bar.attrib["width"]) <= width
    # AND it has colours for dark pages
    assert "prefers-color-scheme:dark" in (root.findtext(f"{SVG}style") or "")


def test_phases_add_up_to_the_cold_start() -> None:
    cold = summarize_starts(make_cold(120.0))
    assert sum(chart.split(cold, "ours")) == pytest.approx(120.0)
    assert chart.split(cold, "ours")[2:] == pytest.approx([12.0, 24.0])


def test_cost_follows_the_price_table() -> None:
    # GIVEN a warm request of 1 ms at one vCPU
    costs, always_on = price(summarize_starts(make_cold(120.0)))
    by_memory = {cost.memory_mb: cost for cost in costs}
    # THEN at less memory it takes longer in proportion, and at more it costs more
    assert by_memory[512].warm_ms == pytest.approx(1769 / 512)
    assert by_memory[3008].warm_ms == 1.0
    assert by_memory[3008].x86_64 > by_memory[1769].x86_64
    # AND SageMaker, which begins at 1 GB, runs as fast as at 1 GB
    assert by_memory[512].sagemaker_serverless == by_memory[1024].sagemaker_serverless
    # AND one in a hundred pays for its initialisation
    one = by_memory[1769]
    seconds = (1 + 0.01 * 96) / 1e3
    computing = 1769 / 1024 * seconds * prices.LAMBDA_GB_SECOND["x86_64"]
    watching = prices.price_logs(1) + prices.TRACED_SHARE * prices.TRACE
    assert one.direct == pytest.approx(1e6 * (computing + prices.LAMBDA_REQUEST + watching))
    api = prices.HTTP_API_REQUEST + prices.price_logs(0, 1)
    assert one.x86_64 - one.direct == pytest.approx(1e6 * api)
    assert one.arm64 < one.x86_64 < one.typical
    # AND what is always on pays for itself at last
    for row in always_on:
        standing = sum(read_standing().values())
        assert row.break_even * one.x86_64 + standing == pytest.approx(row.month)


def test_model_load_is_read_from_what_the_function_prints() -> None:
    emf = json.dumps({"_aws": {}, "ModelLoadTime": [4.5], "ColdStart": [1.0]})
    assert find_model_load(["loading", emf]) == 4.5
    assert find_model_load(['{"ModelLoadTime": 3.5}']) == 3.5
    assert find_model_load(["nothing of it"]) == 0.0


@pytest.mark.parametrize(
    "body",
    [
        b"null",
        b"",
        b"{}",
        b'{"error": "no"}',
        b'{"outputs": [{"name": "label", "shape": [1], "data": [1]}]}',
        b'{"outputs": [{"name": "label", "shape": [2], "data": [0, 0]}]}',
        b'{"outputs": [{"name": "other", "shape": [1], "data": [0]}]}',
    ],
)
def test_only_the_golden_answer_counts(body: bytes) -> None:
    golden: dict[str, Any] = {
        "outputs": {"label": [0]},
        "relative_tolerance": 0,
        "absolute_tolerance": 0.5,
    }
    sample = Sample("/infer", b"{}", golden)
    sample.check(200, b'{"outputs": [{"name": "label", "shape": [1], "data": [0]}]}')
    with pytest.raises(AnswerError, match="not the golden answer"):
        sample.check(200, body)


def test_sizes_are_counted_by_package(tmp_path: Path) -> None:
    # GIVEN a function and a layer that compresses well
    template = {
        "Resources": {
            "InferenceFunction": {
                "Type": "AWS::Serverless::Function",
                "Properties": {"CodeUri": "Code", "Layers": [{"Ref": "RuntimeLayer"}]},
            },
            "RuntimeLayer": {"Properties": {"ContentUri": "Layer"}, "Type": "a layer"},
        }
    }
    files = {
        "template.yaml": json.dumps(template),
        "Code/api/handler.py": "x",
        "Layer/python/numpy/__init__.py": "a" * 1000,
        "Layer/python/numpy/__pycache__/__init__.cpython-313.pyc": "a" * 500,
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    # THEN
    sizes = measure_sizes(tmp_path)
    assert list(sizes) == ["InferenceFunction", "RuntimeLayer"]
    numpy = sizes["RuntimeLayer"]["numpy"]
    assert (numpy.unzipped, numpy.bytecode) == (1500, 500)
    assert 0 < numpy.zipped < 100


def test_processor_is_named_where_linux_does() -> None:
    assert machine.read_processor("processor: 0\nmodel name\t: AMD EPYC\nflags: a") == "AMD EPYC"
    assert machine.read_processor("processor: 0\nFeatures: fp") == ""


def test_floor_has_the_same_session_options_as_we(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MODEL_DIR", str(FOLDER))
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "3538")
    floor = runpy.run_path(str(ROOT / "tests" / "benchmarks" / "handlers" / "floor.py"))
    theirs, ours = floor["make_options"](), _options(3538)
    names = [name for name in dir(ours) if isinstance(getattr(ours, name), int | str | bool)]
    assert "intra_op_num_threads" in names
    assert {name: getattr(theirs, name) for name in names} == {
        name: getattr(ours, name) for name in names
    }
    for kind in ("intra", "inter"):
        key = f"session.{kind}_op.allow_spinning"
        assert theirs.get_session_config_entry(key) == ours.get_session_config_entry(key)
    assert not math.isnan(find_model_load(capsys.readouterr().out.splitlines()))
