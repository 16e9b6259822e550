"""The `infra` command: its parts, and the exit codes of what goes wrong."""

import contextlib
import heapq
import sys
import time
import traceback
from functools import partial
from importlib.metadata import version
from typing import Annotated, NoReturn

import typer
from rich.table import Table
from typer import rich_utils

from infra.command import add_command, current_project, open_stack
from infra.errors import OperatorError
from infra.local.errors import LocalRunError
from infra.model import cli as model
from infra.options import Region, StackName
from infra.pages.dashboard.cli import dashboard
from infra.rehearsal.cli import rehearse
from infra.release import cli as release
from infra.release.deploy import deploy
from infra.run import cli as run
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
command("infra run --port 0 --model path/to/your.onnx")(run.run)
command("infra prepare")(run.prepare)
command("infra deploy --env prod --parameter MaxSlowdown=5")(deploy)
command("infra status --minutes 15 --json")(release.status)
command("infra shift 10 --to 7")(release.shift)
command("infra promote --yes")(release.promote)
command("infra rollback --to 4 --yes")(release.rollback)
command("infra resync --yes")(release.resync)
command("infra prune --keep 3")(release.prune)
command("infra dashboard --hours 12 --open")(dashboard)
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


@command("infra logs --errors --version 2 --since 2h")
def logs(  # noqa: PLR0913 each is an option of the command
    *,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Wait for more.")] = False,
    version: Annotated[str | None, typer.Option(help="Show only this version.")] = None,
    errors: Annotated[bool, typer.Option("--errors", help="Show only errors.")] = False,
    metrics: Annotated[bool, typer.Option("--metrics", help="Show measurements too.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the lines as they are.")] = False,
    since: Annotated[str, typer.Option(help="How far back, such as 30s, 10m, 2h, 1d.")] = "10m",
    stack_name: StackName = None,
    region: Region = None,
) -> None:
    """Show the function's log: on AWS, or of the local run (AWS_ENDPOINT_URL)."""
    from infra.cloudwatch import logs as log
    from infra.release.gate import list_gate_logs

    try:
        start = int((time.time() - log.parse_age(since)) * 1e3)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--since") from error
    console = Terminal()
    with open_stack(stack_name, region) as stack, contextlib.suppress(KeyboardInterrupt):
        client, groups = stack.session.client("logs"), [stack.output("LogGroupName")]
        if follow:
            events = log.follow(
                client, groups[0], start, lambda: time.sleep(POLL_SECONDS), errors=errors
            )
        else:
            if errors:  # of the gate, too: why it refused a release
                groups += list_gate_logs(stack)
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
                console.print(log.format_event(event, entry), style=style, soft_wrap=True)
        if entry is None:
            hint = "" if errors or metrics else " (--metrics shows measurements too)"
            say(f"Nothing to show since {since} ago{hint}", error=True)


def main() -> None:
    """Print errors that the user can fix; exit with 1 or 2."""
    try:
        status = app(standalone_mode=False)
    except OperatorError as error:
        _fail(*(f"Error: {line}" for line in error.lines), exit_code=error.exit_code)
    except LocalRunError as error:  # infra.local stands alone, and so do its errors
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


def _fail(*lines: str, exit_code: int = 1) -> NoReturn:
    say(*lines, error=True)
    sys.exit(exit_code)
