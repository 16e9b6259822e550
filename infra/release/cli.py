"""The commands of a release: parsing, printing and exit codes only.

Each says what it will do before it asks; the result alone goes to standard output.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from infra.command import current_project, name_stack_in, retype
from infra.options import Region, StackName
from infra.terminal import Terminal, print_json, say

if TYPE_CHECKING:
    from infra.release.alias import Plan
    from infra.release.deploy import Outcome
    from infra.release.preflight import Finding
    from infra.release.status import Served, Status
    from infra.release.target import Target
    from infra.stack import Deployment

ROLLED_BACK = 3
INTERRUPTED = 130  # as a shell has it for Ctrl-C

HEADINGS = ("Version", "Share", "Requests", "Errors", "p50 ms", "p99 ms", "Model", "", "sha256")

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do it without asking.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON, and nothing else.")]
To = Annotated[str | None, typer.Option(metavar="VERSION", help="A published version's number.")]


def status(
    *,
    minutes: Annotated[int, typer.Option(min=1, max=1440, help="Count the last MINUTES.")] = 60,
    stack_name: StackName = None,
    region: Region = None,
    as_json: Json = False,
) -> None:
    """Show which versions serve, how well, and what is going on.

    Each version is asked which model it serves, so its own count of requests rises by two.
    """
    from infra.release.status import read_status

    with _open(stack_name, region) as (deployment, target):
        found = read_status(
            deployment.session.client("lambda"),
            deployment.session.client("codedeploy"),
            deployment.session.client("cloudwatch"),
            target,
            deployment.output("AlarmTopicArn"),
            minutes=minutes,
            now=datetime.now(UTC),
        )
    if as_json:
        print_json({"stack_status": deployment.status, **_status_dict(found)})
    else:
        _show_status(found, deployment)


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

    with _open(stack_name, region) as (deployment, target):
        functions = deployment.session.client("lambda")
        plan = plan_shift(functions, deployment.session.client("codedeploy"), target, percent, to)
        _move(deployment, target, plan, yes=yes, as_json=as_json)


def promote(
    *,
    stack_name: StackName = None,
    region: Region = None,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Give all traffic to the version that `infra shift` gave a share."""
    from infra.release.shift import plan_promotion

    with _open(stack_name, region) as (deployment, target):
        functions = deployment.session.client("lambda")
        plan = plan_promotion(
            functions, deployment.session.client("codedeploy"), target, datetime.now(UTC)
        )
        _move(deployment, target, plan, yes=yes, as_json=as_json)


def resync(
    *,
    stack_name: StackName = None,
    region: Region = None,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Put the alias where CloudFormation believes it to be.

    After a rollback that is the version that was rolled back: it gets ALL traffic now. To replace
    it with a fixed one, use `infra deploy --resync`, under which it serves for minutes only.
    """
    from infra.release.resync import plan_resync

    with _open(stack_name, region) as (deployment, target):
        plan = plan_resync(
            deployment.session.client("lambda"), deployment.session.client("codedeploy"), target
        )
        _move(deployment, target, plan, yes=yes, as_json=as_json)


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
    version before gets all traffic at once.
    """
    from infra.release.alias import read_alias, tell_transition
    from infra.release.confirm import confirm
    from infra.release.deployments import refuse_while_running
    from infra.release.resync import advise
    from infra.release.rollback import plan_rollback, roll_back

    with _open(stack_name, region) as (deployment, target):
        functions, codedeploy = (
            deployment.session.client("lambda"),
            deployment.session.client("codedeploy"),
        )
        plan = plan_rollback(functions, codedeploy, target, to, datetime.now(UTC))
        if plan.is_done:
            say(name_stack_in(plan.text), error=True)
            seconds = 0.0
        else:
            confirm(_place(deployment, target, plan.text), yes=yes)
            if plan.move:
                refuse_while_running(codedeploy, target)  # it may have begun since the plan
            seconds = roll_back(functions, codedeploy, target, plan)
        alias = read_alias(functions, target.function, target.alias)
    # CloudFormation takes its own stack back when it was its deployment that was stopped.
    advice = "" if plan.running else name_stack_in(advise(alias, target))
    result = {"version": alias.version, "changed": not plan.is_done, "seconds": round(seconds, 3)}
    done = f"Version {alias.version} has all traffic, after {seconds:.2f} s."
    if alias.transition:
        done = tell_transition(alias)
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
    from infra.release.confirm import confirm
    from infra.release.prune import plan_pruning
    from infra.release.prune import prune as delete

    with _open(stack_name, region) as (deployment, target):
        functions = deployment.session.client("lambda")
        plan = plan_pruning(
            functions, deployment.session.client("codedeploy"), target, deployment.status, keep
        )
        kept = "".join(f" Version {one} stays: {why}." for one, why in plan.kept.items())
        if plan.versions:
            snap = f" ({plan.snap_start} of them with SnapStart)" if plan.snap_start else ""
            layers = f", and so will {len(plan.layers)} versions of layers" if plan.layers else ""
            numbers = ", ".join(plan.versions)
            noun = "Version" if len(plan.versions) == 1 else "Versions"
            text = f"{noun} {numbers}{snap} will be deleted for good{layers}.{kept}"
            confirm(_place(deployment, target, text), yes=yes)
            delete(functions, target, plan)
    if as_json:
        print_json({**asdict(plan), "deleted": len(plan.versions)})
    elif plan.versions:
        say(f"Deleted {len(plan.versions)} versions and {len(plan.layers)} of layers.")
    else:
        say(f"No version is older than the newest {keep} and unused.{kept}")


def deploy(  # noqa: PLR0913 each is an option of the command
    *,
    env: Annotated[str, typer.Option(help="Environment of samconfig.toml.")] = "default",
    resync: Annotated[
        bool,
        typer.Option(
            "--resync",
            help="After a rollback: first give CloudFormation's version, the bad one, all traffic; "
            "the new one replaces it at once when it has passed the gate, which does not compare "
            "their answers (--parameter MaxAnswerChange=10 does).",
        ),
    ] = False,
    parameter: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="Set a parameter of the stack.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="With --yes: despite warnings.")] = False,
    stack_name: StackName = None,
    region: Region = None,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Check that a release can begin, deploy what was built, and say how that ended.

    Exit code 3 if CodeDeploy took the release back.
    """
    from infra.release import run
    from infra.release.confirm import confirm
    from infra.release.errors import ReleaseError
    from infra.release.preflight import Level
    from infra.stack import connect, explained, name_stack

    with explained():
        project = current_project()
        job = run.prepare(
            project,
            stack_name or name_stack(project, env),
            connect(region),
            env,
            dict(_split(one) for one in parameter or []),
            resync=resync,
        )
        findings = [
            replace(one, text=name_stack_in(one.text))
            for one in run.preflight(job, datetime.now(UTC))
        ]
        _show_findings(findings)
        levels = {finding.level for finding in findings}
        if Level.ERROR in levels:
            if as_json:
                print_json({"result": "refused", "findings": [asdict(one) for one in findings]})
            raise typer.Exit(1)
        if Level.WARNING in levels and yes and not force:
            again = retype("--force")
            raise ReleaseError(
                f"nothing was deployed: --yes is no answer to a warning, `{again}` is"
            )
        confirm(job.text, yes=yes)
        try:
            outcome = run.run(job, lambda text: say(text, error=True), quiet=as_json, asks=not yes)
        except KeyboardInterrupt:
            say("", f"A release that has begun goes on: {run.HINT}.", error=True)
            raise typer.Exit(INTERRUPTED) from None
    if as_json:
        print_json({**asdict(outcome), "findings": [asdict(one) for one in findings]})
    else:
        say(_tell_outcome(outcome))
    raise typer.Exit(ROLLED_BACK if outcome.result == "rolled back" else 0)


def _split(parameter: str) -> tuple[str, str]:
    key, equals, value = parameter.partition("=")
    if not equals or not key:
        raise typer.BadParameter(f"{parameter!r} is not KEY=VALUE", param_hint="--parameter")
    return key, value


@contextmanager
def _open(stack_name: str | None, region: str | None) -> Iterator[tuple["Deployment", "Target"]]:
    """Find the stack; what AWS refuses meanwhile becomes one line."""
    from infra.release.target import read_target
    from infra.stack import explained, find

    deployment = find(current_project(), stack_name, region)
    with explained():
        yield deployment, read_target(deployment)


def _place(deployment: "Deployment", target: "Target", text: str) -> str:
    text = name_stack_in(text)
    return f"{target.alias} of {target.stack} in {deployment.session.region_name}: {text}"


def _move(
    deployment: "Deployment", target: "Target", plan: "Plan", *, yes: bool, as_json: bool
) -> None:
    """Carry a plan out if it is confirmed, and tell where the alias then is."""
    from infra.release.alias import move_alias, read_alias
    from infra.release.confirm import confirm
    from infra.release.deployments import refuse_while_running
    from infra.release.resync import advise

    functions = deployment.session.client("lambda")
    if plan.move:
        confirm(_place(deployment, target, plan.text), yes=yes)
        refuse_while_running(deployment.session.client("codedeploy"), target)  # it may have begun
        move_alias(functions, plan.alias, plan.move)
    alias = read_alias(functions, target.function, target.alias)
    advice = name_stack_in(advise(alias, target))
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


def _show_status(found: "Status", deployment: "Deployment") -> None:
    """Print a table of the versions, and what else a person should know."""
    target = found.target
    console = Terminal()
    console.print(
        f"{target.alias} of {target.function}, stack {target.stack} ({deployment.status}) in "
        f"{deployment.session.region_name}, last {found.minutes} min",
        soft_wrap=True,
    )
    table = Table(*HEADINGS, box=None, padding=(0, 1, 0, 0))
    for column in table.columns:
        column.no_wrap = True  # at 80 columns a model's long name is cut, and no line is broken
    for column in table.columns[1:6]:
        column.justify = "right"
    for one in found.versions:
        table.add_row(*_tell_version(one))
    console.print(table)
    for one in found.versions:
        if one.identity.error:
            console.print(one.identity.error, style="red", soft_wrap=True)
    for line in _tell_rest(found):
        console.print(name_stack_in(line), soft_wrap=True)


def _tell_version(one: "Served") -> tuple[str, ...]:
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


def _tell_rest(found: "Status") -> Iterator[str]:
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
        yield found.failure.tell_end() + (f" Version {gone} gets no traffic." if is_orphan else "")
    agreement = "agrees" if found.agrees else "does NOT agree"
    yield f"CloudFormation {agreement}: it believes in version {target.believed}."
    if found.record:
        yield f"Moved by hand: {found.record}."
    for alarm in found.alarms:
        yield f"Alarm {alarm.name}: {alarm.reason}"
    if not found.alarms:
        yield "No alarm fires."
    yield from filter(None, dict.fromkeys((found.transition, found.advice)))


def _show_findings(findings: "list[Finding]") -> None:
    styles = {"error": "red", "warning": "yellow", "note": ""}
    console = Terminal(stderr=True)
    for one in findings:
        console.print(
            f"{one.level.capitalize()}: {one.text}",
            style=styles[one.level],
            soft_wrap=True,
        )


def _tell_outcome(outcome: "Outcome") -> str:
    match outcome.result:
        case "created":
            return f"Created: version {outcome.version} serves, and its smoke test passed."
        case "promoted":
            remark = f" The gate said: {outcome.remark}" if outcome.remark else ""
            has_all = f"version {outcome.version} has all traffic ({outcome.deployment})"
            return f"Promoted: {has_all}.{remark}"
        case "rolled back":
            return (
                f"Rolled back: version {outcome.version} has all traffic ({outcome.deployment}): "
                f"{outcome.reason}"
            )
    return f"No version was published; version {outcome.version} serves as before."
