"""The commands that show or move the alias: parsing, printing and exit codes only.

Each says what it will do before it asks; the result alone goes to standard output.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from infra.command import complete_commands, confirm, open_stack
from infra.options import Json, Region, StackName, Yes
from infra.stack import DeployedStack
from infra.terminal import Terminal, print_json, say

if TYPE_CHECKING:
    from infra.release.alias import PlannedMove
    from infra.release.status import Served, Status
    from infra.release.target import Target

HEADINGS = ("Version", "Share", "Requests", "Errors", "p50 ms", "p99 ms", "Model", "", "sha256")

To = Annotated[str | None, typer.Option(metavar="VERSION", help="A published version's number.")]


def status(
    *,
    minutes: Annotated[int, typer.Option(min=1, max=1440, help="Count the last MINUTES.")] = 60,
    stack_name: StackName = None,
    region: Region = None,
    as_json: Json = False,
) -> None:
    """Show which versions serve, how well, and what is going on.

    Each version is asked which model it serves, which none of the numbers counts.
    """
    from infra.release.status import read_status

    with _open(stack_name, region) as (stack, target):
        found = read_status(stack, target, minutes=minutes, now=datetime.now(UTC))
    if as_json:
        print_json({"stack_status": stack.status, **_status_dict(found)})
    else:
        _show_status(found, stack)


def shift(  # noqa: PLR0913 each is an option of the command
    percent: Annotated[
        float, typer.Argument(min=0, max=100, help="Share of the traffic; 0 takes it back.")
    ],
    *,
    to: To = None,
    stack_name: StackName = None,
    region: Region = None,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Give a published version a share of the traffic: a canary by hand.

    By default it is the newest version; the alias' own keeps the rest. No alarm takes this back.
    """
    from infra.release.shift import plan_shift

    with _open(stack_name, region) as (stack, target):
        functions = stack.session.client("lambda")
        plan = plan_shift(functions, stack.session.client("codedeploy"), target, percent, to)
        _move(stack, target, plan, yes=yes, as_json=as_json)


def promote(
    *,
    stack_name: StackName = None,
    region: Region = None,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Give all traffic to the version that `infra shift` gave a share."""
    from infra.release.shift import plan_promotion

    with _open(stack_name, region) as (stack, target):
        functions = stack.session.client("lambda")
        plan = plan_promotion(
            functions, stack.session.client("codedeploy"), target, datetime.now(UTC)
        )
        _move(stack, target, plan, yes=yes, as_json=as_json)


def resync(
    *,
    stack_name: StackName = None,
    region: Region = None,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Move the alias to the version that CloudFormation published last.

    After a rollback that is the version that was rolled back: it gets ALL traffic now. To replace
    it with a fixed one, use `infra deploy --resync`, which lets it serve for minutes only.
    """
    from infra.release.resync import plan_resync

    with _open(stack_name, region) as (stack, target):
        plan = plan_resync(
            stack.session.client("lambda"), stack.session.client("codedeploy"), target
        )
        _move(stack, target, plan, yes=yes, as_json=as_json)


def rollback(
    *,
    to: To = None,
    stack_name: StackName = None,
    region: Region = None,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Take the newest release back, at whatever point it is.

    A release in progress is stopped; a share given by hand is taken back; after a promotion the
    previous version gets all traffic at once.
    """
    from infra.release.alias import describe_transition, read_alias
    from infra.release.deployments import refuse_while_running
    from infra.release.resync import advise
    from infra.release.rollback import plan_rollback, roll_back

    with _open(stack_name, region) as (stack, target):
        functions, codedeploy = (
            stack.session.client("lambda"),
            stack.session.client("codedeploy"),
        )
        plan = plan_rollback(functions, codedeploy, target, to, datetime.now(UTC))
        if plan.is_done:
            say(complete_commands(plan.text), error=True)
            seconds = 0.0
        else:
            confirm(_place(stack, target, plan.text), yes=yes)
            if plan.move:
                refuse_while_running(codedeploy, target)  # it may have begun since the plan
            seconds = roll_back(functions, codedeploy, target, plan)
        alias = read_alias(functions, target.function, target.alias)
    # A stopped deployment is CloudFormation's own, which then takes back its stack by itself.
    advice = "" if plan.running else complete_commands(advise(alias, target))
    result = {"version": alias.version, "changed": not plan.is_done, "seconds": round(seconds, 3)}
    done = f"Version {alias.version} has all traffic, after {seconds:.2f} s."
    if alias.transition:
        done = describe_transition(alias)
    if as_json:
        print_json({**result, "text": plan.text if plan.is_done else done, "advice": advice})
        return
    if not plan.is_done:
        say(done)
    if advice:
        say(advice)


def prune(
    *,
    keep: Annotated[int, typer.Option(min=1, help="Newest versions to keep.")] = 5,
    stack_name: StackName = None,
    region: Region = None,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Delete old versions, and layers that only they use.

    Never one that an alias, CloudFormation or a rollback needs.
    """
    from infra.release.prune import plan_pruning
    from infra.release.prune import prune as delete

    with _open(stack_name, region) as (stack, target):
        functions = stack.session.client("lambda")
        plan = plan_pruning(
            functions, stack.session.client("codedeploy"), target, stack.status, keep
        )
        kept = "".join(f" Version {one} stays: {why}." for one, why in plan.kept.items())
        if plan.versions:
            snap = f" ({plan.snap_start} of them with SnapStart)" if plan.snap_start else ""
            layers = f", and so will {len(plan.layers)} versions of layers" if plan.layers else ""
            numbers = ", ".join(plan.versions)
            noun = "Version" if len(plan.versions) == 1 else "Versions"
            text = f"{noun} {numbers}{snap} will be deleted for good{layers}.{kept}"
            confirm(_place(stack, target, text), yes=yes)
            delete(functions, target, plan)
    if as_json:
        print_json({**asdict(plan), "deleted": len(plan.versions)})
    elif plan.versions:
        say(f"Deleted {len(plan.versions)} versions and {len(plan.layers)} of layers.")
    else:
        say(f"No version is older than the newest {keep} and unused.{kept}")


@contextmanager
def _open(stack_name: str | None, region: str | None) -> Iterator[tuple[DeployedStack, "Target"]]:
    """Open the stack whose alias is to be moved or shown."""
    from infra.release.target import read_target

    with open_stack(stack_name, region) as stack:
        yield stack, read_target(stack)


def _place(stack: DeployedStack, target: "Target", text: str) -> str:
    text = complete_commands(text)
    return f"{target.alias} of {target.stack} in {stack.region}: {text}"


def _move(
    stack: DeployedStack, target: "Target", plan: "PlannedMove", *, yes: bool, as_json: bool
) -> None:
    """Carry out a plan if it is confirmed, and print where the alias is then."""
    from infra.release.alias import move_alias, read_alias
    from infra.release.deployments import refuse_while_running
    from infra.release.resync import advise

    functions = stack.session.client("lambda")
    if plan.move:
        confirm(_place(stack, target, plan.text), yes=yes)
        refuse_while_running(stack.session.client("codedeploy"), target)  # it may have begun
        move_alias(functions, plan.alias, plan.move)
    alias = read_alias(functions, target.function, target.alias)
    advice = complete_commands(advise(alias, target))
    shares = ", ".join(f"{one} has {100 * share:g} %" for one, share in alias.shares.items())
    text = f"Of the traffic, version {shares}." if plan.move else plan.text
    if as_json:
        print_json(
            {
                "version": alias.version,
                "shares": dict(alias.shares),
                "changed": plan.move is not None,
                "text": text,
                "advice": advice,
            }
        )
        return
    say(text)
    if advice:
        say(advice)


def _status_dict(found: "Status") -> dict[str, Any]:
    versions = [
        {
            "version": one.version,
            "share": one.share,
            **asdict(one.identity),
            **asdict(one.traffic),
            "error_percent": one.traffic.error_percent,
        }
        for one in found.versions
    ]
    return asdict(found) | {"versions": versions}


def _show_status(found: "Status", stack: DeployedStack) -> None:
    """Print a table of the versions, and what else a person should know."""
    target = found.target
    console = Terminal()
    console.print(
        f"{target.alias} of {target.function}, stack {target.stack} ({stack.status}) in "
        f"{stack.region}, last {found.minutes} min",
        soft_wrap=True,
    )
    table = Table(*HEADINGS, box=None, padding=(0, 1, 0, 0))
    for column in table.columns:
        column.no_wrap = True  # at 80 columns a model's long name is cut, and no line is broken
    for column in table.columns[1:6]:
        column.justify = "right"
    for one in found.versions:
        table.add_row(*_format_version(one))
    console.print(table)
    for one in found.versions:
        if one.identity.error:
            console.print(one.identity.error, style="red", soft_wrap=True)
    for line in _describe_rest(found):
        console.print(complete_commands(line), soft_wrap=True)


def _format_version(one: "Served") -> tuple[str, ...]:
    traffic, identity = one.traffic, one.identity
    errors = traffic.error_percent
    return (
        one.version,
        f"{100 * one.share:g} %",
        str(traffic.requests + traffic.crashes),
        "-" if errors is None else f"{errors:.2f} %",
        *("-" if ms is None else f"{ms:.1f}" for ms in (traffic.p50_ms, traffic.p99_ms)),
        identity.model or "does not answer",
        identity.model_version,
        identity.sha256[:12],
    )


def _describe_rest(found: "Status") -> Iterator[str]:
    target = found.target
    if found.deployment:
        one = found.deployment
        yield (
            f"Deployment {one.id} of {one.subject}: {one.status} since "
            f"{one.created.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
        )
    else:
        yield "No deployment is in progress."
    if found.failure:
        gone = found.failure.target
        is_orphan = gone and all(gone != one.version for one in found.versions)
        yield found.failure.describe_end() + (
            f" Version {gone} gets no traffic." if is_orphan else ""
        )
    agreement = "agrees" if found.agrees else "does NOT agree"
    where = f"it has {target.alias} on version {target.stack_version}"
    yield f"CloudFormation {agreement}: {where}."
    if found.record:
        yield f"Moved by hand: {found.record}."
    for alarm in found.alarms:
        yield f"Alarm {alarm.name}: {alarm.reason}"
    if not found.alarms:
        yield "No alarms are firing."
    yield from filter(None, dict.fromkeys((found.transition, found.advice)))
