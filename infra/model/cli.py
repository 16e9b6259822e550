"""The `infra model` commands: parsing, printing and exit codes only."""

import asyncio
from collections.abc import Coroutine, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from infra.command import add_command, complete_commands, current_project
from infra.model.errors import ModelError
from infra.options import IN_PROJECT, in_project
from infra.terminal import Terminal, print_json, say

app = typer.Typer(help="Check an ONNX file, and add it to the stack.", no_args_is_help=True)
command = partial(add_command, app)

File = Annotated[Path, typer.Argument(help="The ONNX file.", show_default=False)]
Samples = Annotated[
    Path | None,
    typer.Option(help="File with real inputs, one a row: .csv with a header, .jsonl or .npz."),
]
Features = Annotated[
    str,
    typer.Option(
        metavar="a,b,c", help="Names of the input's columns, and which to read from the samples."
    ),
]
Labels = Annotated[str, typer.Option(metavar="a,b,c", help="Names of the columns of the output.")]
Target = Annotated[
    str,
    typer.Option(help="Column of the samples with the known outcome, to measure quality with."),
]
AllowWorse = Annotated[
    bool, typer.Option("--allow-worse", help="Accept a model that is worse than the current one.")
]
GoldenSynthetic = Annotated[
    bool,
    typer.Option("--golden-synthetic", help="Make golden requests of made-up rows, not samples."),
]
Version = Annotated[
    str | None,
    typer.Option(help="Version of the model; by default the next number.", show_default=False),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@command(
    "infra model check layers/model/model.onnx --samples tests/events/customers.csv --target bought"
)
def check(
    file: File,
    *,
    samples: Samples = None,
    features: Features = "",
    target: Target = "",
    as_json: Json = False,
) -> None:
    """Check whether and how well a model would run on Lambda.

    Exit code 1 if it cannot be served.
    """
    from infra.model import doctor
    from infra.model.report import describe_diagnosis

    with problems_in_json(as_json), _progress("Running it as Lambda would"):
        checking = doctor.check(current_project(), file, samples, split_names(features), target)
        diagnosis = _run(checking)
    if as_json:
        print_json({"servable": diagnosis.servable, **asdict(diagnosis)})
    else:
        title = f"{file.name} {'can' if diagnosis.servable else 'cannot'} be served"
        _show(title, describe_diagnosis(diagnosis))
    raise typer.Exit(not diagnosis.servable)


@command("infra model add your.onnx --samples customers.csv --target bought --labels stays,leaves")
def add(  # noqa: PLR0913 each is an option of the command
    file: File,
    *,
    name: Annotated[
        str | None,
        typer.Option(help="Name of the model; by default the file's.", show_default=False),
    ] = None,
    version: Version = None,
    description: Annotated[
        str | None, typer.Option(help="What the model predicts, in one sentence.")
    ] = None,
    samples: Samples = None,
    features: Features = "",
    labels: Labels = "",
    target: Target = "",
    allow_worse: AllowWorse = False,
    golden_synthetic: GoldenSynthetic = False,
    to: Annotated[
        Path, typer.Option(callback=in_project, help="Folder of the layer to put the model into.")
    ] = IN_PROJECT.model_layer,
    as_json: Json = False,
) -> None:
    """Replace the model that is built and deployed.

    The model is first run as Lambda would run it. If anything is wrong with it, nothing changes.
    """
    from infra.model import package
    from infra.model.report import describe_added

    options = package.AddOptions(
        name,
        version,
        description,
        samples,
        split_names(features),
        split_names(labels),
        target,
        allow_worse,
        golden_synthetic,
    )
    with problems_in_json(as_json), _progress("Packaging it, and running it as Lambda would"):
        added = _run(package.add(current_project(), file, to, options))
    if as_json:
        print_json(asdict(added))
    else:
        title = f"{added.name} version {added.version} is in {added.directory}"
        _show(title, ((label, complete_commands(text)) for label, text in describe_added(added)))


def split_names(names: str) -> list[str]:
    """Split the value of an option such as `--features a,b,c`."""
    return [name.strip() for name in names.split(",") if name.strip()]


@contextmanager
def problems_in_json(as_json: bool) -> Iterator[None]:  # noqa: FBT001 an option, handed on
    """Print the problems of a ModelError as JSON and exit with its code, if `as_json` is set."""
    try:
        yield
    except ModelError as error:
        if not as_json:
            raise
        print_json({"problems": error.problems})
        raise typer.Exit(error.exit_code) from error


def _run[T](work: Coroutine[Any, Any, T]) -> T:
    """Run the work of a command; a signal that ends the command lets it clean up first."""
    from infra.local.functions.interruption import cancel_on_signals

    async def run() -> T:
        cancel_on_signals()
        return await work

    try:
        return asyncio.run(run())
    except asyncio.CancelledError:
        say("Stopped.", error=True)
        raise typer.Exit(1) from None


def _show(title: str, rows: Iterable[tuple[str, str]]) -> None:
    """Print a title and labelled lines: as a table on a terminal, plain elsewhere."""
    console = Terminal()
    console.print(title, style="bold", soft_wrap=True)
    if not console.is_terminal:
        for label, text in rows:
            console.print(f"{label:<10} {text}", soft_wrap=True)
        return
    table = Table.grid(padding=(0, 2))
    table.add_column(style="cyan")
    for label, text in rows:
        table.add_row(label, text, style="red" if label == "Problem" else "")
    console.print(table)


def _progress(text: str) -> AbstractContextManager[object]:
    console = Terminal(stderr=True)
    return console.status(f"{text} ...") if console.is_terminal else nullcontext()
