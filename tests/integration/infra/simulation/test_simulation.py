"""`infra simulate`, from its options to its page."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from infra.cli import app
from tests.dashboard_page import read_legends

OPTIONS = ["--warm-ms", "5", "--cold-ms", "400", "--throttle-rate", "3000"]


@pytest.fixture
def page(tmp_path: Path) -> Path:
    return tmp_path / "new" / "simulation.html"


def run(page: Path, *options: str) -> str:
    result = CliRunner().invoke(app, ["simulate", "--output", str(page), *OPTIONS, *options])
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """What a simulation of the options alone prints, and its page."""
    page = tmp_path_factory.mktemp("simulated") / "new" / "simulation.html"
    return run(page), page


def test_shows_both_ways_side_by_side(simulated: tuple[str, Path]) -> None:
    printed, _ = simulated
    assert "65.0 million requests, up to 2,000 a second; warm 5.0 ms" in printed
    assert "on demand" in printed
    assert "provisioned" in printed
    assert "deploy infra/stacks/black-friday.yaml with Environments=220" in printed


def test_draws_a_page_with_both_ways(simulated: tuple[str, Path]) -> None:
    _, page = simulated
    legends = read_legends(page.read_text("utf-8"))
    assert legends["Requests per second, at most"]["asked"][1] == "2,000"
    assert legends["Environments, at most"].keys() == {"on demand", "provisioned"}
    cold = {name: float(values[2]) for name, values in legends["Cold starts"].items()}
    assert cold["on demand"] > 2 * cold["provisioned"]


def test_prints_json(page: Path) -> None:
    # GIVEN 100 environments at night, one of them for an event of the past
    told = json.loads(run(page, "--json", "--provisioned", "100@01:00-05:00"))
    # THEN
    ours, provisioned = told["outcomes"]["on demand"], told["outcomes"]["provisioned"]
    assert ours["plan"] == []
    assert provisioned["plan"] == [{"environments": 100, "begin": 3600, "end": 18_000}]
    assert provisioned["usd"] > ours["usd"]
    assert ours["requests"] == pytest.approx(ours["answered"] + ours["refused"] + ours["throttled"])


def test_is_the_same_again(page: Path) -> None:
    assert run(page, "--json") == run(page, "--json")


def test_takes_a_curve_from_a_file(page: Path, tmp_path: Path) -> None:
    file = tmp_path / "sale.csv"
    file.write_text("time,rps\n08:00,1\n09:00,1\n09:01,5\n10:00,1\n")
    assert "sale.csv: 14,400 requests, up to 5 a second" in run(page, "--curve", str(file))
    assert "Simulation: sale.csv" in page.read_text("utf-8")


@pytest.mark.parametrize("output", ["/proc/page.html", f"{__file__}/page.html"])
def test_a_page_that_cannot_be_written_is_reported_before_the_work(output: str) -> None:
    result = CliRunner().invoke(app, ["simulate", "--output", output], env={"COLUMNS": "300"})
    assert result.exit_code == 2
    assert "cannot be written" in result.output
    assert "Answered" not in result.output


@pytest.mark.parametrize("option", ["--cold-ms", "--warm-ms"])
def test_no_request_takes_longer_than_lambda_allows(page: Path, option: str) -> None:
    result = CliRunner().invoke(app, ["simulate", "--output", str(page), option, "inf"])
    assert result.exit_code == 2
    assert option in result.output


def test_a_page_cannot_be_a_folder(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["simulate", "--output", str(tmp_path)])
    assert result.exit_code == 2
    assert "--output" in result.output


def test_a_small_quota_is_simulated_without_provisioning(page: Path) -> None:
    told = json.loads(run(page, "--json", "--concurrency-limit", "10"))
    assert list(told["outcomes"]) == ["on demand"]
    assert told["outcomes"]["on demand"]["throttled"] > 1e6
