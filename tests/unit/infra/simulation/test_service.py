"""What the simulation knows about the service: its template, and its times."""

import os
from pathlib import Path

import pytest

from infra.simulation.errors import SimulationError
from infra.simulation.service import Times, choose_times, read_bench, read_template


def test_reads_what_the_benchmark_measured(tmp_path: Path) -> None:
    file = tmp_path / "bench.json"
    file.write_text('{"cold": {"ours": {"total": {"median": 200}, "warm": {"median": 1.5}}}}')
    os.utime(file, (1_795_000_000, 1_795_000_000))
    source = "measured by `make bench` on 2026-11-18"
    assert read_bench(file) == Times(1.5, 198.5, source, source)


@pytest.mark.parametrize("text", ["", "{}", '{"cold": {}}', '{"cold": null}'])
def test_without_measurements_there_are_none(tmp_path: Path, text: str) -> None:
    file = tmp_path / "bench.json"
    file.write_text(text)
    assert read_bench(file) is None
    assert read_bench(tmp_path / "none.json") is None


def test_the_template_sets_memory_processor_and_throttle() -> None:
    found = read_template(Path(__file__).parents[4] / "template.yaml")
    assert found == {
        "memory_mb": 1769,
        "processor": "x86_64",
        "throttle_rate": 100,
        "throttle_burst": 200,
    }


def test_refuses_what_is_not_the_template(tmp_path: Path) -> None:
    with pytest.raises(SimulationError, match="is missing, or not the template"):
        read_template(tmp_path / "template.yaml")


def test_each_time_says_where_it_comes_from(tmp_path: Path) -> None:
    # GIVEN no measurement, or one of this machine
    bench = tmp_path / "bench.json"
    text = '{"cold": {"ours": {"total": {"median": 200}, "warm": {"median": 1.5}}}}'
    # WHEN a person gives none, one or both of the times
    assumed = choose_times(None, None, bench)
    bench.write_text(text)
    measured, mixed = choose_times(None, None, bench), choose_times(7.0, None, bench)
    given = choose_times(7.0, 900.0, bench)
    # THEN each time names its own source
    assert assumed.describe() == (
        "warm 2.0 ms (assumed; `make bench` in a checkout measures it), "
        "cold start 300 ms more (assumed; `make bench` in a checkout measures it)"
    )
    assert "warm 1.5 ms (measured by `make bench` on " in measured.describe()
    assert "), cold start 198 ms more (measured" in measured.describe()
    assert mixed.describe().startswith("warm 7.0 ms (--warm-ms), cold start 198 ms more (measured")
    assert given.describe() == "warm 7.0 ms (--warm-ms), cold start 900 ms more (--cold-ms)"
