"""`infra simulate`: parsing and printing only."""

from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from infra.command import current_project
from infra.options import IN_PROJECT, Page
from infra.terminal import Terminal, print_json, say

if TYPE_CHECKING:
    from infra.simulation.result import SimulationResult

MOST_WARM_MS, MOST_COLD_MS = 20_000, 30_000  # the template's Timeout, an HTTP API's timeout


def simulate(  # noqa: PLR0913 each is an option of the command
    *,
    curve: Annotated[
        str,
        typer.Option(help="Traffic: black-friday, or a CSV file with columns time (UTC) and rps."),
    ] = "black-friday",
    warm_ms: Annotated[
        float | None,
        typer.Option(
            min=0.1,
            max=MOST_WARM_MS,
            help="Milliseconds of a warm request; by default what make bench measured.",
        ),
    ] = None,
    cold_ms: Annotated[
        float | None,
        typer.Option(
            min=0.1,
            max=MOST_COLD_MS,
            help="Milliseconds that a cold start adds; by default what make bench measured.",
        ),
    ] = None,
    memory: Annotated[
        int | None,
        typer.Option(
            min=128, max=10_240, help="Memory of the function in MB; by default the template's."
        ),
    ] = None,
    throttle_rate: Annotated[
        float | None,
        typer.Option(
            min=1, max=10_000, help="Requests a second that the API allows; see ThrottleRate."
        ),
    ] = None,
    throttle_burst: Annotated[
        float | None,
        typer.Option(
            min=1, max=5000, help="Requests that the API allows at once; see ThrottleBurst."
        ),
    ] = None,
    concurrency_limit: Annotated[
        int, typer.Option(min=1, max=100_000, help="The account's quota of concurrent executions.")
    ] = 1000,
    idle_minutes: Annotated[
        float, typer.Option(min=0.1, help="Minutes that Lambda keeps an unused environment.")
    ] = 5,
    provisioned: Annotated[
        list[str] | None,
        typer.Option(
            metavar="N@START-END",
            help="Provision N environments from START to END (UTC); may be repeated. By default "
            "what the traffic needs.",
        ),
    ] = None,
    output: Page = IN_PROJECT.simulation_page,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Simulate a day of traffic: cold starts, throttling, latency and cost.

    Compares environments on demand with provisioned ones, and says what to change before the day.
    """
    from infra.simulation.advice import advise, recommend_plan
    from infra.simulation.curve import read_curve
    from infra.simulation.page import make_page
    from infra.simulation.plan import check_quota, read_plan
    from infra.simulation.result import summarize
    from infra.simulation.service import ServiceProfile, choose_times, read_template

    traffic, project = read_curve(curve), current_project()
    times = choose_times(warm_ms, cold_ms, project.bench)
    given = {"memory_mb": memory, "throttle_rate": throttle_rate, "throttle_burst": throttle_burst}
    service = ServiceProfile(
        warm_ms=times.warm_ms,
        cold_ms=times.cold_ms,
        concurrency=concurrency_limit,
        idle_seconds=idle_minutes * 60,
        **read_template(project.template) | {name: value for name, value in given.items() if value},
    )
    plans = [read_plan(text, traffic) for text in provisioned or ()]
    check_quota(plans, service)
    if not plans and (recommended := recommend_plan(traffic, service)):
        plans = [recommended]
    summaries = {"on demand": summarize(traffic.rates, service)}
    if plans:
        summaries["provisioned"] = summarize(traffic.rates, service, plans)
    results = {name: result for name, (_, result) in summaries.items()}
    without, *rest = results.values()
    advice = list(advise(traffic, service, without, rest[0] if rest else without))
    page = make_page(traffic, service, summaries, advice, times=times.describe())
    output.write_text(page, "utf-8")
    if json:
        outcomes = {name: asdict(result) for name, result in results.items()}
        sources = {"warm_ms": times.warm_source, "cold_ms": times.cold_source}
        parts = {"service": asdict(service), "sources": sources, "outcomes": outcomes}
        print_json({**parts, "advice": advice})
        return
    say(
        f"{traffic.name}: {_format_count(traffic.rates.sum())}, up to "
        f"{traffic.rates.max():,.0f} a second; {times.describe()}",
        "",
    )
    _print_table(results)
    say("", *(f"- {line}" for line in advice), "", f"Wrote {output}")


def _format_count(count: float) -> str:
    return f"{count / 1e6:,.1f} million requests" if count >= 1e6 else f"{count:,.0f} requests"  # noqa: PLR2004 a million


def _print_table(results: "dict[str, SimulationResult]") -> None:
    from rich import box
    from rich.table import Table

    table = Table("", *results, box=box.SIMPLE_HEAD)
    for column in table.columns[1:]:
        column.justify = "right"
    rows: dict[str, Callable[[SimulationResult], str]] = {
        "Answered": lambda one: f"{one.answered:,.0f}",
        "Refused by the API (429)": lambda one: f"{one.refused:,.0f}",
        "Turned away by Lambda (5xx)": lambda one: f"{one.throttled:,.0f}",
        "Met a cold start": lambda one: f"{one.cold:,.0f}",
        "  in the worst minute": lambda one: f"{one.worst_minute_cold:.2%}",
        "p50": lambda one: f"{one.p50_ms:,.0f} ms",
        "p99": lambda one: f"{one.p99_ms:,.0f} ms",
        "p99.9": lambda one: f"{one.p999_ms:,.0f} ms",
        "p99 of the worst minute": lambda one: f"{one.worst_minute_p99_ms:,.0f} ms",
        "Requests in progress, at most": lambda one: f"{one.peak_concurrency:,.0f}",
        "Environments, at most": lambda one: f"{one.peak_environments:,.0f}",
        "USD: requests": lambda one: f"{one.bill.requests:,.2f}",
        "USD: running": lambda one: f"{one.bill.running:,.2f}",
        "USD: cold starts": lambda one: f"{one.bill.starting:,.2f}",
        "USD: provisioned": lambda one: f"{one.bill.provisioned:,.2f}",
        "USD: logs and traces": lambda one: f"{one.bill.watching:,.2f}",
        "USD in total": lambda one: f"{one.usd:,.2f}",
    }
    for label, write in rows.items():
        table.add_row(label, *(write(result) for result in results.values()))
    Terminal().print(table)
