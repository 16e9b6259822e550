"""`infra rehearse`: parsing, printing and exit codes only."""

import asyncio
import webbrowser
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from infra.command import complete_commands, current_project
from infra.model.cli import (
    AllowWorse,
    Features,
    GoldenSynthetic,
    Json,
    Labels,
    Target,
    Version,
    problems_in_json,
    split_names,
)
from infra.options import IN_PROJECT, Page
from infra.terminal import Terminal, print_json

if TYPE_CHECKING:
    from infra.local.control.code_deploy import ReleaseEvent
    from infra.rehearsal.result import RehearsalResult, Tally

EXIT_ROLLED_BACK = 3
STYLES = {"green": "green", "amber": "yellow", "red": "red"}


def rehearse(  # noqa: PLR0913 each is an option of the command
    candidate: Annotated[
        Path, typer.Argument(help="The ONNX file of the next version.", show_default=False)
    ],
    *,
    samples: Annotated[
        Path | None,
        typer.Option(help="File with real inputs, also sent as load: .csv, .jsonl or .npz."),
    ] = None,
    features: Features = "",
    labels: Labels = "",
    target: Target = "",
    allow_worse: AllowWorse = False,
    golden_synthetic: GoldenSynthetic = False,
    version: Version = None,
    rate: Annotated[float, typer.Option(min=1, max=200, help="Load in requests a second.")] = 50,
    minute: Annotated[
        float,
        typer.Option(min=2, max=60, help="Seconds that a minute of the release takes here."),
    ] = 3,
    type_: Annotated[
        str | None,
        typer.Option("--type", help="DeploymentType; by default the template's."),
    ] = None,
    parameter: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE", help="Parameter of the template; may be given several times."
        ),
    ] = None,
    output: Page = IN_PROJECT.rehearsal_page,
    as_json: Json = False,
    open_: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
) -> None:
    """Rehearse the release of a model on this machine: its canary, under load.

    Exit code 3 if the release is refused or rolled back, or if the answers change too much.
    """
    from infra.model.package import AddOptions
    from infra.rehearsal.page import render
    from infra.rehearsal.plan import RehearsalPlan
    from infra.rehearsal.rehearse import run_rehearsal
    from infra.rehearsal.report import to_dict
    from infra.rehearsal.result import Colour, tally

    console, project = Terminal(stderr=as_json), current_project()
    options = AddOptions(
        version=version,
        samples=samples,
        features=split_names(features),
        labels=split_names(labels),
        target=target,
        allow_worse=allow_worse,
        golden_synthetic=golden_synthetic,
    )
    parameters = _read_parameters(project.template, parameter or ())
    if type_:
        parameters["DeploymentType"] = type_
    plan = RehearsalPlan(candidate, options, rate, minute, parameters)

    try:
        with problems_in_json(as_json):
            show = _make_printer(console, minute)
            rehearsal = asyncio.run(run_rehearsal(project, plan, console, show))
    except (asyncio.CancelledError, KeyboardInterrupt):
        console.print("Stopped.")
        raise typer.Exit(1) from None
    if rehearsal.next:
        rehearsal = replace(rehearsal, next=complete_commands(f"`{rehearsal.next}`").strip("`"))
    tallied = tally(rehearsal)
    output.write_text(render(candidate.name, rehearsal, tallied), "utf-8")
    if as_json:
        print_json(to_dict(rehearsal, tallied))
    else:
        _show(console, rehearsal, tallied, output, project.rehearsal / "logs")
    if open_:
        webbrowser.open(output.resolve().as_uri())
    raise typer.Exit(EXIT_ROLLED_BACK if rehearsal.verdict is Colour.RED else 0)


def _make_printer(console: Terminal, minute: float) -> Callable[["ReleaseEvent"], None]:
    """Return a function that prints an event, with the time since the first one."""
    from infra.rehearsal.report import describe_event

    times: list[float] = []

    def show(event: "ReleaseEvent") -> None:
        times.append(event.time)
        seconds, minutes, kind, text = describe_event(event, times[0], minute)
        line = f"{seconds:>6} s {minutes:>6} min  {kind:<18} {text}"
        console.print(line, soft_wrap=True)

    return show


def _show(
    console: Terminal, rehearsal: "RehearsalResult", tally: "Tally", output: Path, logs: Path
) -> None:
    """Print the results: as a table on a terminal, plain elsewhere."""
    from infra.rehearsal.report import describe_result

    rows = [*describe_result(rehearsal, tally), ("Page", str(output))]
    if rehearsal.new and not rehearsal.is_promoted:
        rows.append(("Log", str(logs / f"{rehearsal.new}.log")))
    console.print()
    if not console.is_terminal:
        for label, text in rows:
            console.print(f"{label:<16} {text}", soft_wrap=True)
        return
    table = Table.grid(padding=(0, 2))
    table.add_column(style="cyan")
    style = f"bold {STYLES[rehearsal.verdict]}"
    for label, text in rows:
        table.add_row(label, text, style=style if label == "Verdict" else "")
    console.print(table)


def _read_parameters(template: Path, given: Sequence[str]) -> dict[str, str]:
    """Read KEY=VALUE pairs; raise typer.BadParameter for a key that the template does not have."""
    from samtranslator.yaml_helper import yaml_parse

    parameters = {}
    known = yaml_parse(template.read_text("utf-8"))["Parameters"] if given else {}
    for one in given:
        key, equals, value = one.partition("=")
        if not equals or key not in known:
            reason = f"the template has no parameter {key}: expected one of {', '.join(known)}"
            reason = reason if equals else f"{one!r} is not KEY=VALUE"
            raise typer.BadParameter(reason, param_hint="--parameter")
        parameters[key] = value
    return parameters
