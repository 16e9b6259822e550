"""`infra simulate`: parsing and printing only."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from infra.command import current_project
from infra.options import Page
from infra.terminal import Terminal, print_json, say

if TYPE_CHECKING:
    from infra.simulation.outcome import Outcome

MOST_WARM_MS, MOST_COLD_MS = 20_000, 30_000  # the template's Timeout; what an HTTP API waits


def simulate(  # noqa: PLR0913 each is an option of the command
    *,
    curve: Annotated[
        str, typer.Option(help="A CSV file with the columns time (UTC) and rps, or black-friday.")
    ] = "black-friday",
    warm_ms: Annotated[
        float | None,
        typer.Option(
            min=0.1, max=MOST_WARM_MS, help="A warm request; by default what was measured."
        ),
    ] = None,
    cold_ms: Annotated[
        float | None,
        typer.Option(min=0.1, max=MOST_COLD_MS, help="What a cold start adds; likewise."),
    ] = None,
    memory: Annotated[
        int | None, typer.Option(min=128, max=10_240, help="MB; by default the template's.")
    ] = None,
    throttle_rate: Annotated[
        float | None,
        typer.Option(min=1, max=10_000, help="ThrottleRate; by default the template's."),
    ] = None,
    throttle_burst: Annotated[
        float | None,
        typer.Option(min=1, max=5000, help="ThrottleBurst; by default the template's."),
    ] = None,
    concurrency_limit: Annotated[
        int, typer.Option(min=1, max=100_000, help="The account's quota of concurrent executions.")
    ] = 1000,
    idle_minutes: Annotated[
        float, typer.Option(min=0.1, help="How long Lambda keeps an unused environment.")
    ] = 5,
    provisioned: Annotated[
        list[str] | None,
        typer.Option(help="N@START-END (UTC), also several; by default what the curve takes."),
    ] = None,
    output: Page = Path("build/simulation.html"),
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Plan a day of traffic: cold starts, throttling and cost, with and without provisioning."""
    from infra.simulation.curve import read_curve
    from infra.simulation.outcome import find_outcome
    from infra.simulation.page import make_page
    from infra.simulation.plan import advise, check_quota, plan, read_plan
    from infra.simulation.scaling import Service
    from infra.simulation.service import COLD_MS, WARM_MS, read_bench, read_template

    traffic, project = read_curve(curve), current_project()
    measured = read_bench(project.bench)
    warm, cold = measured or (WARM_MS, COLD_MS)
    given = {"memory_mb": memory, "throttle_rate": throttle_rate, "throttle_burst": throttle_burst}
    service = Service(
        warm_ms=warm_ms or warm,
        cold_ms=cold_ms or cold,
        concurrency=concurrency_limit,
        idle_seconds=idle_minutes * 60,
        **read_template(project.template) | {name: value for name, value in given.items() if value},
    )
    plans = [read_plan(text, traffic) for text in provisioned or ()]
    check_quota(plans, service)
    if not plans and (found := plan(traffic, service)):
        plans = [found]
    courses = {"on demand": find_outcome(traffic.rates, service)}
    if plans:
        courses["provisioned"] = find_outcome(traffic.rates, service, plans)
    outcomes = {name: outcome for name, (_, outcome) in courses.items()}
    without, *rest = outcomes.values()
    advice = list(advise(traffic, service, without, rest[0] if rest else without))
    output.write_text(make_page(traffic, service, courses, advice), "utf-8")
    if json:
        told = {name: asdict(outcome) for name, outcome in outcomes.items()}
        print_json({"service": asdict(service), "outcomes": told, "advice": advice})
        return
    origin = "measured on this machine" if measured else "assumed; make bench measures them"
    origin = "as given" if warm_ms and cold_ms else origin
    say(
        f"{traffic.name}: {_tell_requests(traffic.rates.sum())}, up to "
        f"{traffic.rates.max():,.0f} a second; warm {service.warm_ms:.1f} ms, cold start "
        f"{service.cold_ms:,.0f} ms more ({origin})",
        "",
    )
    _print_table(outcomes)
    say("", *(f"- {line}" for line in advice), "", f"Wrote {output}")


def _tell_requests(count: float) -> str:
    return f"{count / 1e6:,.1f} million requests" if count >= 1e6 else f"{count:,.0f} requests"  # noqa: PLR2004 a million


def _print_table(outcomes: "dict[str, Outcome]") -> None:
    from rich import box
    from rich.table import Table

    table = Table("", *outcomes, box=box.SIMPLE_HEAD)
    for column in table.columns[1:]:
        column.justify = "right"
    rows: dict[str, Callable[[Outcome], str]] = {
        "Answered": lambda one: f"{one.answered:,.0f}",
        "Refused by the API (429)": lambda one: f"{one.refused:,.0f}",
        "Turned away by Lambda (5xx)": lambda one: f"{one.throttled:,.0f}",
        "Met a cold start": lambda one: f"{one.cold:,.0f}",
        "  in the worst minute": lambda one: f"{one.worst_minute_cold:.2%}",
        "p50": lambda one: f"{one.p50_ms:,.0f} ms",
        "p99": lambda one: f"{one.p99_ms:,.0f} ms",
        "p99.9": lambda one: f"{one.p999_ms:,.0f} ms",
        "p99 of the worst minute": lambda one: f"{one.worst_minute_p99_ms:,.0f} ms",
        "Requests at one time, at most": lambda one: f"{one.peak_concurrency:,.0f}",
        "Environments, at most": lambda one: f"{one.peak_environments:,.0f}",
        "USD: requests": lambda one: f"{one.bill.requests:,.2f}",
        "USD: running": lambda one: f"{one.bill.running:,.2f}",
        "USD: cold starts": lambda one: f"{one.bill.starting:,.2f}",
        "USD: provisioned": lambda one: f"{one.bill.provisioned:,.2f}",
        "USD: logs and traces": lambda one: f"{one.bill.watching:,.2f}",
        "USD in all": lambda one: f"{one.usd:,.2f}",
    }
    for label, tell in rows.items():
        table.add_row(label, *(tell(outcome) for outcome in outcomes.values()))
    Terminal().print(table)
