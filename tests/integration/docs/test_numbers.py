"""Numbers on the pages are those of the prices, the template, the contract and the simulation."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from infra import prices
from infra.cli import app
from serving.manifest import EXPANDED, NUMBER, REST, Limits
from tests.benchmarks.cost import MB_PER_VCPU, MEMORY_MB
from tests.benchmarks.prices import (
    HOURS_PER_MONTH,
    SNAPSTART_CACHE_GB_SECOND,
    SNAPSTART_RESTORE_GB,
    find_break_even,
    price_fargate_month,
    price_sagemaker_month,
    price_standing_month,
)
from tests.benchmarks.targets import LAYER_MB
from tests.pages import ROOT, read_page, read_table
from tests.sam_template import parse, parse_monitoring, properties

STANDING = price_standing_month([parse(), parse_monitoring()])


def read_number(page: str, pattern: str) -> float:
    """Return the number that a pattern captures; line breaks count as spaces."""
    found = re.findall(pattern, " ".join(read_page(page).split()))
    assert len(found) == 1, (page, pattern, found)
    return float(found[0].replace(",", ""))


def read_costs() -> dict[str, dict[int, float]]:
    """Return USD for a million predictions, by row and memory size."""
    rows = read_table(read_page("README.md"), "USD for a million predictions, 1 % of them cold")
    return {name: dict(zip(MEMORY_MB, map(float, cells), strict=True)) for name, *cells in rows}


def read_limits() -> dict[str, str]:
    return {limit: value for limit, _, value in read_table(read_page("README.md"), "limit")}


type Simulate = Callable[..., dict[str, Any]]


@pytest.fixture
def simulate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Simulate:
    """Simulate the built-in day in a project on x86_64, where nothing was measured."""
    template = (ROOT / "template.yaml").read_text("utf-8")
    template = re.sub(r"&architecture \w+", "&architecture x86_64", template)
    (tmp_path / "template.yaml").write_text(template, "utf-8")
    (tmp_path / "samconfig.toml").touch()
    (tmp_path / "build").mkdir()
    monkeypatch.chdir(tmp_path)

    def run(*options: str) -> dict[str, Any]:
        result = CliRunner().invoke(app, ["simulate", "--json", *options])
        assert result.exit_code == 0, result.output
        outcomes: dict[str, Any] = json.loads(result.output)["outcomes"]
        return outcomes

    return run


def test_what_is_due_by_the_month() -> None:
    traces = STANDING["traces, up to"]

    assert read_number("README.md", r"another (\d+) USD a month") == round(
        sum(STANDING.values()) - traces
    )
    assert read_number("docs/cost.md", r"adds at most another (\d+)") == round(traces)


def test_what_a_request_costs_beside_computing() -> None:
    logged = prices.FUNCTION_LOG_BYTES + prices.ACCESS_LOG_BYTES

    assert read_number("docs/cost.md", r"([\d.]+) USD a million are logs") == pytest.approx(
        prices.price_logs(1e6, 1e6), abs=0.005
    )
    assert read_number("docs/cost.md", r"\(([\d.]+) kB a request\)") == round(logged / 1e3, 1)
    assert read_number("docs/cost.md", r"([\d.]+) are traces") == pytest.approx(
        1e6 * prices.TRACED_SHARE * prices.TRACE
    )


def test_the_http_api_is_the_difference_of_two_rows() -> None:
    costs = read_costs()
    api = 1e6 * prices.HTTP_API_REQUEST + prices.price_logs(0, 1e6)

    for memory in MEMORY_MB:
        with_api, direct = (
            costs[name][memory]
            for name in ("Lambda x86_64 + HTTP API", "Lambda x86_64, invoked directly")
        )
        assert with_api - direct == pytest.approx(api, abs=0.011)


def test_an_instance_is_cheaper_from_what_the_table_says() -> None:
    million = read_costs()["Lambda x86_64 + HTTP API"][MB_PER_VCPU]
    months = {
        "one ml.t3.medium": price_sagemaker_month("ml.t3.medium"),
        "two Fargate tasks and a load balancer": price_fargate_month("x86_64"),
        "two ml.m5.large": price_sagemaker_month("ml.m5.large", 2),
    }
    shown = dict(read_table(read_page("docs/cost.md"), "always on"))

    assert shown == {
        name: f"{find_break_even(month, million, sum(STANDING.values())):.0f} million"
        for name, month in months.items()
    }


def test_snap_start_costs_what_the_prices_say() -> None:
    gb = MB_PER_VCPU / 1024
    version = gb * SNAPSTART_CACHE_GB_SECOND * HOURS_PER_MONTH * 3600
    starts = 1000 * gb * SNAPSTART_RESTORE_GB

    page = "docs/black-friday.md"
    assert read_number(page, r"costs ([\d.]+) USD a month") == pytest.approx(version, abs=0.005)
    assert read_number(page, r"and ([\d.]+) USD for 1,000 starts") == round(starts, 2)


def test_the_cold_starts_are_those_of_the_chart() -> None:
    chart = (ROOT / ".github/cold-start.svg").read_text("utf-8")
    [title] = re.findall(r"<title>(Cold start, .*?)</title>", chart)
    charted = re.findall(r": ([\d,]+) ms", title)
    shown = re.findall(r"^\| cold start, .*? \| (.*?) \|", read_page("README.md"), re.MULTILINE)

    assert re.findall(r"[\d,]*\d", shown[0]) == charted


def test_the_layers_target_is_the_benchmarks() -> None:
    assert read_number("README.md", r"\| 92 MB \| \| (\d+) MB \|") == LAYER_MB


def test_limits_are_those_of_the_code() -> None:
    limits, ours = read_limits(), Limits()

    assert limits["rows, elements"].startswith(f"{ours.rows:,} and {ours.elements:,} ")
    made = limits["elements that a request may ask the model to make"]
    assert made.startswith(f"{ours.made_elements:,} ")
    assert (NUMBER, REST, EXPANDED) == (48, 2**19, 25_000_000)
    assert limits["expanded body"].startswith(f"by default {NUMBER} bytes for each number")
    assert "and 0.5 MB; at most 25 MB" in limits["expanded body"]


def test_limits_are_those_of_the_template() -> None:
    limits, template = read_limits(), parse()
    defaults = {name: one.get("Default") for name, one in template["Parameters"].items()}

    timeout = properties(template, "InferenceFunction")["Timeout"]
    assert limits["time for one request"].startswith(f"{timeout} s ")
    rate, burst = defaults["ThrottleRate"], defaults["ThrottleBurst"]
    assert limits["the local run"].endswith(f"{rate} requests a second, {burst} at once")


def test_the_built_in_day_is_as_described(simulate: Simulate) -> None:
    page = "docs/black-friday.md"
    measured = ("--warm-ms", "1", "--cold-ms", "150")
    throttled = simulate(*measured)["on demand"]
    refused = 100 * throttled["refused"] / throttled["requests"]

    assert read_number(page, r"has ([\d.]+) million requests and") == pytest.approx(
        throttled["requests"] / 1e6, abs=0.5
    )
    assert read_number(page, r"would refuse (\d+) % of") == pytest.approx(refused, abs=1)

    # AND what provisioning would spare the example model, and cost
    raised = simulate("--throttle-rate", "2400", "--throttle-burst", "2400", *measured)
    bare, provisioned = raised["on demand"], raised["provisioned"]
    assert read_number(page, r"some (\d+) of 65 million") == pytest.approx(bare["cold"], abs=10)
    assert read_number(page, r"would cost (\d+) USD") == pytest.approx(
        provisioned["usd"] - bare["usd"], abs=2
    )


def test_the_slower_model_is_as_described(simulate: Simulate) -> None:
    page = "docs/black-friday.md"
    slow = ("--throttle-rate", "2400", "--throttle-burst", "2400")
    outcomes = simulate(*slow, "--warm-ms", "120", "--cold-ms", "2500")
    bare, provisioned = outcomes["on demand"], outcomes["provisioned"]

    assert read_number(page, r"makes ([\d.]+) % of") == pytest.approx(
        100 * bare["worst_minute_cold"], abs=0.05
    )
    assert read_number(page, r"for (\d+) USD hardly") == round(provisioned["usd"] - bare["usd"])
    assert read_number(page, r"Environments=(\d+) ") == provisioned["plan"][0]["environments"]
