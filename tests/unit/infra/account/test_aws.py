"""The arguments with which SAM CLI deploys."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from infra.account.account import StackChange
from infra.account.aws import AwsAccount
from tests.sam_template import PROJECT, ROOT


def list_arguments(parameters: dict[str, str], *, asks: bool) -> list[str]:
    session: Any = SimpleNamespace(region_name="eu-west-1")
    change = StackChange("shop", Path(), parameters, (), (), asks=asks)
    return AwsAccount(PROJECT, "prod", session).list_arguments(change)


def test_sam_understands_the_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    # GIVEN values with what a command line could mistake
    from samcli.cli.context import Context
    from samcli.commands.deploy.command import cli as sam_deploy

    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("SAM_CLI_TELEMETRY", "0")
    parameters = {"Rate": "1", "Text": "two words", "Empty": "", "Email": "a+b=c@example.com"}

    # WHEN SAM CLI itself parses the arguments
    context = sam_deploy.make_context("deploy", list_arguments(parameters, asks=False))

    # THEN they say what was meant, and win over samconfig.toml
    assert context.params["parameter_overrides"] == parameters
    assert context.params["stack_name"] == "shop"
    assert context.ensure_object(Context).region == "eu-west-1"
    assert context.params["confirm_changeset"] is False


def test_sam_asks_itself_where_samconfig_wants_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from samcli.commands.deploy.command import cli as sam_deploy

    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("SAM_CLI_TELEMETRY", "0")
    arguments = list_arguments({}, asks=True)
    assert sam_deploy.make_context("deploy", arguments).params["confirm_changeset"] is True
