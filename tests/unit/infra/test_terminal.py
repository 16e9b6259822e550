"""Whatever a name holds, a terminal shows it: in every output path of every command."""

# ruff: noqa: SLF001 what prints is private to each command

import json
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from rich.table import Table

from infra import cli, command
from infra.artifacts import ArtifactError
from infra.cloudwatch import logs
from infra.local.control.code_deploy import ReleaseEvent
from infra.local.errors import LocalRunError
from infra.model import cli as model
from infra.model import report
from infra.model.doctor import Diagnosis
from infra.model.errors import ModelError
from infra.model.sizing import Size, Suggestion
from infra.model.trial.examination import Measurement
from infra.rehearsal import cli as rehearsal
from infra.rehearsal.load import Answer
from infra.rehearsal.result import Caught, Colour, RehearsalFinding, RehearsalResult, tally
from infra.release import cli as release
from infra.release import deploy
from infra.release.deployments import CodeDeployment
from infra.release.errors import ReleaseError
from infra.release.findings import Finding, Level
from infra.release.status import Served, Status
from infra.release.target import Target
from infra.release.traffic import Traffic
from infra.release.verdict import Verdict
from infra.release.version import Identity
from infra.simulation import cli as simulation
from infra.simulation.result import summarize
from infra.simulation.service import ServiceProfile
from infra.stack import FiringAlarm, StackError
from infra.terminal import Terminal, escape, print_json, say
from tests.terminals import ESCAPE, RICH

NAME = f"name{ESCAPE}\r\nForged line\x00\x85\u2028[red]x[/red][link=http://e]:bomb:\ud800\U000e0041"
SHOWN = "[red]x[/red][link=http://e]:bomb:"
NOW = datetime(2026, 11, 24, tzinfo=UTC)


@pytest.fixture(params=["", "1"], ids=["plain", "terminal"])
def captured(
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> pytest.CaptureFixture[str]:
    """What is printed where there is no terminal, and where there is a coloured one."""
    monkeypatch.setenv("COLUMNS", "2000")
    if request.param:
        monkeypatch.setenv("FORCE_COLOR", "1")
    return capsys


def check(captured: pytest.CaptureFixture[str]) -> str:
    """Return what was printed, which steers no terminal and forges no line."""
    text = RICH.sub("", "".join(captured.readouterr()))
    assert {char for char in text if not char.isprintable()} <= {"\n"}
    assert not re.search(r"^\W*Forged line", text, re.MULTILINE)
    return text


def diagnosis() -> Diagnosis:
    tensor: dict[str, Any] = {"name": NAME, "datatype": NAME, "shape": [-1, 2], "labels": [NAME]}
    return Diagnosis(
        file=NAME,
        problems=[NAME],
        notes=[NAME],
        producer=NAME,
        ir_version=8,
        opsets={NAME: 17},
        operators={NAME: 1},
        inputs=[tensor | {"dimensions": [NAME, None]}],
        outputs=[tensor],
        external_data={NAME: 8},
        size=Size(1, 2, 3, 6),
        onnxruntime=NAME,
        measured=Measurement(1, 1, 50, 1, 1, repeatable=True),
        suggested=Suggestion(1769, NAME, {NAME: 1.0}),
    )


def result_of(caught: Caught) -> RehearsalResult:
    answers = [Answer(i / 10, 0.01, i, 500, NAME) for i in range(20)]
    return RehearsalResult(
        caught=caught,
        reason=NAME,
        old="1",
        new=NAME,
        events=[ReleaseEvent(1.0, "alarm", NAME, 0)],
        sent=20,
        answers=answers,
        started=0,
        ended=3,
        minute=3,
        findings=[RehearsalFinding(NAME, colour, NAME, {}) for colour in Colour],
        notes=[NAME],
        next=NAME,
    )


def status() -> Status:
    target = Target(NAME, NAME, NAME, NAME, NAME, NAME)
    traffic = Traffic(1, 0, 0, 1.0, 2.0)
    served = [Served(NAME, 0.5, Identity(NAME, NAME, NAME, error), traffic) for error in ("", NAME)]
    running = CodeDeployment(NAME, NAME, NOW, NAME, NAME, NAME, NAME)
    return Status(
        target=target,
        versions=tuple(served),
        minutes=60,
        deployment=running,
        failure=running,
        agrees=False,
        record=NAME,
        alarms=(FiringAlarm(NAME, NAME),),
        advice=NAME,
        transition=NAME,
    )


def show_model() -> None:
    model._show(f"{NAME} can be served", report.describe_diagnosis(diagnosis()))


def show_event() -> None:
    rehearsal._make_printer(Terminal(), 3)(ReleaseEvent(1.0, NAME, NAME, 0))


def show_rehearsal() -> None:
    for caught in Caught:
        one = result_of(caught)
        rehearsal._show(Terminal(), one, tally(one), Path(NAME), Path(NAME))


def show_status() -> None:
    stack: Any = SimpleNamespace(status=NAME, region=NAME)
    typed: Any = SimpleNamespace(command=SimpleNamespace(params=[]))
    command._typed.set(typed)
    release._show_status(status(), stack)


def show_release() -> None:
    deploy._show_findings([Finding(level, NAME) for level in Level])
    for result in ("created", "promoted", "rolled back", "unchanged"):
        say(str(Verdict(result, NAME, NAME, NAME)))
    command.confirm(NAME, yes=True)


def show_log() -> None:
    for line in (NAME, json.dumps({"message": NAME, NAME: NAME, "level": NAME}), f"[ERROR] {NAME}"):
        event = logs.LogEvent("1", 0, f"a[{NAME}]b", line)
        Terminal().print(logs.format_event(event, logs.parse(line)), style="red", soft_wrap=True)
        say(event.line)


def show_run() -> None:
    Terminal(stderr=True).print_lines(f"[1] {NAME}", NAME, style="red")
    with Terminal().status(NAME):
        pass


def show_simulation() -> None:
    found = summarize(np.ones(60), ServiceProfile(5, 500))[1]
    simulation._print_table({NAME: found})


def show_table() -> None:
    table = Table(NAME, title=NAME, caption=NAME)
    table.add_row(NAME)
    Terminal().print(table, NAME, markup=True)


SHOW = [
    *(show_model, show_event, show_rehearsal, show_status, show_release),
    *(show_log, show_run, show_simulation, show_table),
]


@pytest.mark.parametrize("show", SHOW)
def test_every_command_shows_names_and_obeys_none(
    show: Callable[[], None], captured: pytest.CaptureFixture[str]
) -> None:
    show()
    assert SHOWN in check(captured)


@pytest.mark.parametrize(
    "error",
    [
        *(ModelError(NAME), ModelError("a", NAME), LocalRunError(NAME), StackError(NAME)),
        *(ArtifactError(NAME), ReleaseError(NAME), ValueError(NAME.replace("\n", ""))),
        *(typer.BadParameter(NAME), typer.BadParameter(NAME, param_hint="--type")),
    ],
)
def test_every_error_shows_names_and_obeys_none(
    error: Exception, captured: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(**_: object) -> None:
        raise error

    monkeypatch.setattr(cli, "app", fail)
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == (2 if isinstance(error, typer.BadParameter) else 1)
    assert SHOWN in check(captured)


@pytest.mark.parametrize(
    "arguments",
    [
        ["model", "check", NAME],
        ["model", "check", "a", NAME],
        ["model", NAME],
        ["model", "check", "a", f"--{NAME}"],
        ["logs", "--since", NAME],
        ["shift", NAME],
        ["simulate", "--output", f"/proc/{NAME}"],
        ["simulate", "--curve", NAME],
        ["run", "--port", NAME],
    ],
)
def test_every_refusal_of_an_argument_shows_it_and_obeys_it_not(
    arguments: list[str], captured: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = [one.replace("\x00", "").replace("\ud800", "\udc80") for one in arguments]
    monkeypatch.setattr(sys, "argv", ["infra", *arguments])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code in {1, 2}
    assert check(captured)


def test_json_is_the_same_value(captured: pytest.CaptureFixture[str]) -> None:
    print_json({NAME: [NAME, "\x7f"], "diagnosis": replace(diagnosis(), problems=[NAME]).file})
    told = json.loads(check(captured))
    assert told == {NAME: [NAME, "\x7f"], "diagnosis": NAME}


@given(st.text())
def test_escaped_text_is_printable_and_json_reads_it_back(text: str) -> None:
    shown = escape(text)
    assert all(char.isprintable() or char == "\t" or char.isspace() for char in shown)
    assert not {"\n", "\r", "\x0b", "\x0c", "\x1c", "\x85", "\u2028"} & set(shown)
    if not set(text) & set('\\"\t'):
        assert json.loads(f'"{shown}"') == text


@pytest.mark.parametrize("text", ["Größe 3\u00a0€", "年齢\u3000x", "a\tb", "naïve 😀", ""])
def test_what_is_harmless_stays(text: str) -> None:
    assert escape(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31m", r"\u001b[31m"),
        ("\x9b\x7f", r"\u009b\u007f"),
        ("a\u202eb\u2066\u200b", r"a\u202eb\u2066\u200b"),
        ("\U000e0041", r"\udb40\udc41"),
        ("a\nb", r"a\u000ab"),
    ],
)
def test_what_steers_is_written_as_in_json(text: str, shown: str) -> None:
    assert escape(text) == shown
