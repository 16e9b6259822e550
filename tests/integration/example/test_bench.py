"""`make bench`, with as few repetitions as there can be: it works, whatever the times are."""

import json
import subprocess
import sys
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from infra.local.stack import read_stack
from infra.project import LOCAL_STACK
from tests.benchmarks.cold import measure_cold
from tests.benchmarks.sample import AnswerError, read_sample
from tests.benchmarks.subjects import install_typical, prepare_subjects
from tests.sam_template import PROJECT, ROOT


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], str, Path]:
    """Run every section that needs no network; return the JSON, what it printed, and the chart."""
    directory = tmp_path_factory.mktemp("bench")
    result, picture = directory / "bench.json", directory / "cold-start.svg"
    process = subprocess.run(
        [
            *(sys.executable, "-m", "tests.benchmarks", "--quick"),
            *("--json", result, "--chart", picture),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    return json.loads(result.read_text()), process.stdout, picture


def test_every_subject_starts_and_answers(bench: tuple[dict[str, Any], str, Path]) -> None:
    cold = bench[0]["cold"]
    assert list(cold) == ["ours", "floor", "typical", "empty"]
    for fields in cold.values():
        assert 0 < fields["init"]["median"] < fields["total"]["median"]
        assert fields["total"]["count"] == 1
        assert 0 < fields["rest_mb"]["median"] <= fields["peak_mb"]["median"]
    assert all(cold[name]["model_load"]["median"] > 0 for name in ("ours", "floor", "typical"))


def test_warm_requests_are_timed_by_size_and_form(bench: tuple[dict[str, Any], str, Path]) -> None:
    warm = bench[0]["warm"]
    assert list(warm) == [
        f"{rows}, {form}"
        for rows in ("1 row", "100 rows", "1000 rows")
        for form in ("JSON", "binary")
    ]
    for case, times in warm.items():
        others = {"typical"} if case.endswith("JSON") else set()
        assert set(times) == {"ours", "session.run"} | others
        assert all(spread["median"] > 0 for spread in times.values())


def test_clients_get_right_answers_only(bench: tuple[dict[str, Any], str, Path]) -> None:
    loads = bench[0]["load"]
    assert [load["clients"] for load in loads] == [1, 4]
    for load in loads:
        assert (load["requests"], load["errors"]) == (32, 0)
        assert 0 < load["p50_ms"] <= load["p99_ms"]


def test_hostile_bodies_are_compared_with_valid_rows(
    bench: tuple[dict[str, Any], str, Path],
) -> None:
    costs = bench[0]["bodies"]
    forms = [cost["form"] for cost in costs if cost["sent"] == "valid rows"]
    assert len(forms) == len(set(forms)) == 8
    assert {(cost["form"], cost["sent"]) for cost in costs} == {
        (form, sent) for form in forms for sent in ("valid rows", "plain", "gzip", "gzip bomb")
    }
    for cost in costs:
        valid = cost["sent"] == "valid rows"
        assert cost["status"] in ({200} if valid else {400, 413})
        assert 0 < cost["peak_mb"] < 512
        assert len(cost["times"]) == len(cost["times_of_rows"]) == 1
    assert max(cost["wire_bytes"] for cost in costs if cost["sent"] == "gzip bomb") < 30_000


def test_sizes_are_those_of_what_deploys(bench: tuple[dict[str, Any], str, Path]) -> None:
    layer = bench[0]["sizes"]["RuntimeLayer"]
    files = (ROOT / ".aws-sam/build/RuntimeLayer").rglob("*")
    whole = sum(path.stat().st_size for path in files if path.is_file())
    assert sum(size["unzipped"] for size in layer.values()) == whole
    assert {"numpy", "onnxruntime"} <= layer.keys()
    assert all(size["zipped"] > 0 for size in layer.values())


def test_everything_is_in_the_tables_and_the_chart(
    bench: tuple[dict[str, Any], str, Path],
) -> None:
    result, printed, picture = bench
    assert len(result["targets"]) == 10
    titles = ("Cold start", "Warm request", "Size", "Hostile body", "Local run", "USD a million")
    for title in (*titles, "Target"):
        assert title in printed
    assert printed.count("met") + printed.count("missed") >= 7
    assert result["machine"]["processor"] in picture.read_text()
    ET.parse(picture)  # noqa: S314 our own


@pytest.mark.usefixtures("bench")
def test_typical_layer_is_whole_and_holds_no_bytecode() -> None:
    function = read_stack(PROJECT.build, LOCAL_STACK, "us-east-1").function
    layer = install_typical(ROOT / "build/wheels" / function.architecture, ROOT / "build/bench")
    assert not list(layer.rglob("*.pyc"))
    assert (layer / "python/numpy/_core/tests").is_dir()
    assert (layer / "python/fastapi").is_dir()


async def test_wrong_answer_ends_the_benchmark(tmp_path: Path, managed_python: Path) -> None:
    # GIVEN a golden sample of another model
    function = read_stack(PROJECT.build, LOCAL_STACK, "us-east-1").function
    wheels = PROJECT.scratch / "wheels" / function.architecture
    subjects = prepare_subjects(function, tmp_path, wheels)
    sample = read_sample(subjects["ours"].place.opt / "model")
    other = replace(sample, golden={**sample.golden, "outputs": {"label": [7]}})
    # WHEN a start is measured / THEN it does not count
    for name in ("ours", "floor"):
        with pytest.raises(AnswerError, match="not the golden answer"):
            await measure_cold({name: subjects[name]}, other, managed_python, 1)
