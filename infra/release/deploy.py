"""`infra deploy`: the command, which walks through its stages once, from the first to the last."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from infra.account.connect import connect
from infra.account.errors import explained
from infra.command import complete_commands, confirm, current_project, retype
from infra.options import Json, Region, StackName, Yes
from infra.terminal import Terminal, print_json, say

if TYPE_CHECKING:
    from infra.release.findings import Finding

EXIT_ROLLED_BACK = 3
INTERRUPTED = 130  # as a shell has it for Ctrl-C
STYLES = {"error": "red", "warning": "yellow", "note": ""}


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
    force: Annotated[
        bool, typer.Option("--force", help="With --yes, deploy despite warnings.")
    ] = False,
    stack_name: StackName = None,
    region: Region = None,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Check that a release can begin, deploy what was built, and say how that ended.

    Exit code 3 if CodeDeploy took the release back.
    """
    from infra.release.alias import ROLLED_BACK
    from infra.release.apply import HINT, apply
    from infra.release.follow import follow
    from infra.release.preflight import inspect
    from infra.release.prepare import DeployRequest, prepare
    from infra.release.verdict import conclude

    request = DeployRequest(dict(_split(one) for one in parameter or []), resync)
    account = connect(current_project(), region, env)
    name = stack_name or account.name_stack()
    with explained(account.unreachable):
        prepared = prepare(current_project(), account, name, request)
        findings = [
            replace(one, text=complete_commands(one.text))
            for one in inspect(prepared, datetime.now(UTC))
        ]
        _show_findings(findings)
        _stop_at(findings, yes=yes, force=force, as_json=as_json)
        confirm(prepared.text, yes=yes)
        try:
            with ExitStack() as way_back:
                begun = apply(prepared, way_back, _report, asks=not yes, quiet=as_json)
                status = follow(begun, _report)
                verdict = conclude(begun, status, way_back)
        except KeyboardInterrupt:
            say("", error=True)
            _report(f"A release that has begun goes on: {HINT}.")
            raise typer.Exit(INTERRUPTED) from None
    if as_json:
        print_json({**asdict(verdict), "findings": [asdict(one) for one in findings]})
    else:
        say(complete_commands(str(verdict)))
    raise typer.Exit(EXIT_ROLLED_BACK if verdict.result == ROLLED_BACK else 0)


def _report(text: str) -> None:
    say(complete_commands(text), error=True)


def _split(parameter: str) -> tuple[str, str]:
    key, equals, value = parameter.partition("=")
    if not equals or not key:
        raise typer.BadParameter(f"{parameter!r} is not KEY=VALUE", param_hint="--parameter")
    return key, value


def _show_findings(findings: "Sequence[Finding]") -> None:
    console = Terminal(stderr=True)
    for one in findings:
        text = f"{one.level.capitalize()}: {one.text}"
        console.print(text, style=STYLES[one.level], soft_wrap=True)


def _stop_at(findings: "Sequence[Finding]", *, yes: bool, force: bool, as_json: bool) -> None:
    """End at an error; raise ReleaseError at a warning that nobody has read."""
    from infra.release.errors import ReleaseError
    from infra.release.findings import Level

    levels = {finding.level for finding in findings}
    is_wrong = Level.ERROR in levels
    is_unread = Level.WARNING in levels and yes and not force
    if as_json and (is_wrong or is_unread):
        print_json({"result": "refused", "findings": [asdict(one) for one in findings]})
    if is_wrong:
        raise typer.Exit(1)
    if is_unread:
        again = retype("--force")
        raise ReleaseError(f"nothing was deployed: --yes does not override warnings; use `{again}`")
