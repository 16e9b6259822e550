"""The `infra` command: parsing, printing and exit codes only."""

import asyncio
import contextlib
import heapq
import sys
import time
import traceback
import webbrowser
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.table import Table
from typer import rich_utils

from infra.command import add_command, current_project
from infra.local.metrics import DELAY_SECONDS
from infra.model import cli as model
from infra.options import Page, Region, StackName
from infra.rehearsal.cli import rehearse
from infra.release import cli as release
from infra.simulation.cli import simulate
from infra.terminal import Terminal, escape, print_json, say

app = typer.Typer(
    help="Operate Serverless ONNX.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

POLL_SECONDS = 2
LEVEL_STYLES = {"WARNING": "yellow", "ERROR": "red", "CRITICAL": "bold red", "FATAL": "bold red"}


command = partial(add_command, app)
app.add_typer(model.app, name="model")
command("infra deploy --env prod --parameter MaxSlowdown=5")(release.deploy)
command("infra status --minutes 15 --json")(release.status)
command("infra shift 10 --to 7")(release.shift)
command("infra promote --yes")(release.promote)
command("infra rollback --to 4 --yes")(release.rollback)
command("infra resync --yes")(release.resync)
command("infra prune --keep 3")(release.prune)
command(
    "infra rehearse layers/model/model.onnx --samples tests/events/customers.csv --type AllAtOnce"
)(rehearse)
command("infra simulate --curve black-friday --throttle-rate 2400 --warm-ms 12")(simulate)


def _show_version(wanted: bool) -> None:  # noqa: FBT001 typer's form of a callback
    if wanted:
        say(f"infra {version('serverless-onnx')}")
        raise typer.Exit


@app.callback()
def infra(
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """Operate Serverless ONNX."""


@command("infra run --port 0 --model path/to/your.onnx")
def run(
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port of 127.0.0.1; 0: any free one.")
    ] = 8000,
    aws_port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port of AWS's own APIs; 0: any free one.")
    ] = 0,
    model: Annotated[
        Path | None, typer.Option(help="Serve this ONNX file instead of the built model.")
    ] = None,
    concurrency: Annotated[
        int, typer.Option(min=1, help="Executions at a time; more are throttled.")
    ] = 10,
    metric_delay: Annotated[
        float, typer.Option(min=0, help="Seconds until metrics are seen; on AWS 60 to 120.")
    ] = DELAY_SECONDS,
) -> None:
    """Build the stack and serve it on this machine."""
    from infra.run.command import run as run_stack

    project = current_project()
    asyncio.run(run_stack(project, port, aws_port, model, concurrency, metric_delay, Terminal()))


@command("infra prepare")
def prepare() -> None:
    """Make the managed runtime's stand-in, which the local run and its tests use."""
    from infra.local.functions import managed_runtime

    asyncio.run(managed_runtime.prepare(current_project().managed_runtime))


@command("infra size --json")
def size(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print sizes in bytes as JSON.")] = False,
) -> None:
    """Show how large the build is unzipped, and refuse what Lambda would refuse."""
    from infra.artifacts import BUDGET, MB, check, read_function_packages, to_dict

    packages = read_function_packages(current_project().build)
    if as_json:
        print_json([to_dict(package) for package in packages])
        for package in packages:
            check(package)
        return
    shown: set[str] = set()  # functions share layers
    for package in packages:
        table = Table("Part", "MB", title=f"{package.function} ({package.architecture})")
        table.columns[1].justify = "right"
        for artifact in package.artifacts:
            table.add_row(artifact.name, f"{artifact.size / MB:.1f}", style="bold")
            for part in () if artifact.name in shown else artifact.parts:
                table.add_row(f"  {part.name}", f"{part.size / MB:.1f}")
        table.add_row("Total", f"{package.size / MB:.1f} of {BUDGET // MB}", style="bold")
        shown.update(artifact.name for artifact in package.artifacts)
        Terminal().print(table)
        check(package)


@command("infra dashboard --hours 12 --open")
def dashboard(
    *,
    output: Page = Path("build/dashboard.html"),
    open_: Annotated[bool, typer.Option("--open", help="Show it in the browser.")] = False,
    hours: Annotated[float, typer.Option(min=0.25, max=24, help="How far back.")] = 3,
    stack_name: StackName = None,
    region: Region = None,
) -> None:
    """Draw the stack's dashboard: on AWS, or of the local run (AWS_ENDPOINT_URL)."""
    from infra.pages.dashboard.make import make_page
    from infra.stack import explained, find

    deployment = find(current_project(), stack_name, region)
    with explained():
        page = make_page(deployment, hours, datetime.now(UTC))
    output.write_text(page, "utf-8")
    say(f"Wrote {output}")
    if open_:
        webbrowser.open(output.resolve().as_uri())


@command("infra logs --errors --version 2 --since 2h")
def logs(  # noqa: PLR0913 each is an option of the command
    *,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Wait for more.")] = False,
    version: Annotated[str | None, typer.Option(help="Of this version of the function.")] = None,
    errors: Annotated[bool, typer.Option("--errors", help="Only what went wrong.")] = False,
    metrics: Annotated[bool, typer.Option("--metrics", help="Show measurements too.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the lines as they are.")] = False,
    since: Annotated[str, typer.Option(help="How far back, such as 30s, 10m, 2h, 1d.")] = "10m",
    stack_name: StackName = None,
    region: Region = None,
) -> None:
    """Show the function's log: on AWS, or of the local run (AWS_ENDPOINT_URL)."""
    from infra.cloudwatch import logs as log
    from infra.release.deploy import list_gate_logs
    from infra.stack import explained, find

    try:
        start = int((time.time() - log.parse_age(since)) * 1e3)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--since") from error
    deployment = find(current_project(), stack_name, region)
    client = deployment.session.client("logs")
    groups = [deployment.output("LogGroupName")]
    console = Terminal()
    with explained(), contextlib.suppress(KeyboardInterrupt):
        if follow:
            events = log.follow(
                client, groups[0], start, lambda: time.sleep(POLL_SECONDS), errors=errors
            )
        else:
            if errors:  # of the gate, too: why it refused a release
                groups += list_gate_logs(
                    deployment.session.client("cloudformation"), deployment.name
                )
            events = heapq.merge(
                *(log.read(client, group, start, errors=errors) for group in groups),
                key=lambda event: event.time,
            )
        entry = None
        for event, entry in log.select(events, version=version, errors=errors, metrics=metrics):
            if json:
                say(event.line)
            else:
                style = LEVEL_STYLES.get(entry.level, "")
                console.print(log.tell(event, entry), style=style, soft_wrap=True)
        if entry is None:
            hint = "" if errors or metrics else " (--metrics shows measurements too)"
            say(f"Nothing to show since {since} ago{hint}", error=True)


def main() -> None:
    """Run the command; an error that a person can correct is one line and exit code 1."""
    from infra.artifacts import ArtifactError
    from infra.local.errors import LocalRunError
    from infra.model.errors import ModelError
    from infra.pages.dashboard.body import DashboardError
    from infra.project import ProjectError
    from infra.stack import DeploymentError

    try:
        status = app(standalone_mode=False)
    except ModelError as error:
        _fail(*(f"Error: {problem}" for problem in error.problems))
    except (
        ArtifactError,
        DashboardError,
        DeploymentError,
        LocalRunError,
        ProjectError,
    ) as error:
        _fail(f"Error: {' '.join(str(error).split())}")
    except typer.Abort:
        _fail("Aborted.")
    except typer.TyperException as error:
        error.message = escape(error.message)
        rich_utils.rich_format_error(error)  # type: ignore[arg-type]  # all are of that kind
        sys.exit(error.exit_code)
    except Exception:
        _fail(*traceback.format_exc().rstrip().split("\n"))
    sys.exit(status)


def _fail(*lines: str) -> NoReturn:
    say(*lines, error=True)
    sys.exit(1)
