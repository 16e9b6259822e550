"""The options that most commands have."""

from typing import Annotated

import typer

StackName = Annotated[
    str | None, typer.Option(help="The stack; by default the local run's, or samconfig.toml's.")
]
Region = Annotated[str | None, typer.Option(help="AWS Region; by default the environment's.")]
