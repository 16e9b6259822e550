"""`infra dashboard`: parsing and printing only."""

import webbrowser
from datetime import UTC, datetime
from typing import Annotated

import typer

from infra.command import open_stack
from infra.options import IN_PROJECT, Page, Region, StackName
from infra.terminal import say


def dashboard(
    *,
    output: Page = IN_PROJECT.dashboard_page,
    open_: Annotated[bool, typer.Option("--open", help="Show it in the browser.")] = False,
    hours: Annotated[float, typer.Option(min=0.25, max=24, help="How far back.")] = 3,
    stack_name: StackName = None,
    region: Region = None,
) -> None:
    """Draw the stack's dashboard: on AWS, or of the local run (AWS_ENDPOINT_URL)."""
    from infra.pages.dashboard.make import make_page

    with open_stack(stack_name, region) as stack:
        page = make_page(stack, hours, datetime.now(UTC))
    output.write_text(page, "utf-8")
    say(f"Wrote {output}")
    if open_:
        webbrowser.open(output.resolve().as_uri())
