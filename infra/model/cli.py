"""The `infra model` commands: parsing, printing and exit codes only."""

import asyncio
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from infra.command import add_command, current_project
from infra.model.errors import ModelError
from infra.options import in_project
from infra.terminal import Terminal, print_json

if TYPE_CHECKING:
    from infra.model.doctor import Diagnosis, Measurement
    from infra.model.sizing import Suggestion

MB = 2**20

app = typer.Typer(help="Check an ONNX file, and add it to the stack.", no_args_is_help=True)
command = partial(add_command, app)

File = Annotated[Path, typer.Argument(help="The ONNX file.", show_default=False)]
Samples = Annotated[
    Path | None, typer.Option(help="Real inputs: .csv with a header, .jsonl or .npz.")
]
Features = Annotated[
    str, typer.Option(help="Names of the input's columns, a,b,c; those to take of the samples.")
]
Target = Annotated[
    str,
    typer.Option(help="Column of the samples with the known outcome: measures how good it is."),
]
AllowWorse = Annotated[
    bool, typer.Option("--allow-worse", help="Take a model that is worse than the one before.")
]
GoldenSynthetic = Annotated[
    bool,
    typer.Option(
        "--golden-synthetic", help="Make golden requests of made-up rows, not of samples."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@command("infra model check your.onnx --samples customers.csv")
def check(
    file: File, *, samples: Samples = None, features: Features = "", as_json: Json = False
) -> None:
    """Tell whether and how well a model would run on Lambda; exit code 1 if it cannot."""
    from infra.model import doctor

    with problems_in_json(as_json), _progress("Running it as Lambda would"):
        diagnosis = asyncio.run(doctor.check(current_project(), file, samples, _split(features)))
    if as_json:
        print_json({"servable": diagnosis.servable, **asdict(diagnosis)})
    else:
        _show(
            f"{file.name} {'can' if diagnosis.servable else 'cannot'} be served", _tell(diagnosis)
        )
    raise typer.Exit(not diagnosis.servable)


@command("infra model add your.onnx --samples customers.csv --labels stays,leaves")
def add(  # noqa: PLR0913 each is an option of the command
    file: File,
    *,
    name: Annotated[str | None, typer.Option(help="By default that of the file.")] = None,
    version: Annotated[str | None, typer.Option(help="By default the next number.")] = None,
    description: Annotated[str | None, typer.Option(help="What the model tells.")] = None,
    samples: Samples = None,
    features: Features = "",
    labels: Annotated[str, typer.Option(help="Names of the output's columns, a,b,c.")] = "",
    target: Target = "",
    allow_worse: AllowWorse = False,
    golden_synthetic: GoldenSynthetic = False,
    to: Annotated[Path, typer.Option(callback=in_project, help="Folder of the layer.")] = Path(
        "layers/model"
    ),
    as_json: Json = False,
) -> None:
    """Put a model into the layer that is built and deployed, in the place of the one there."""
    from infra.model import package

    options = package.AddOptions(
        name,
        version,
        description,
        samples,
        _split(features),
        _split(labels),
        target,
        allow_worse,
        golden_synthetic,
    )
    with (
        problems_in_json(as_json),
        _progress("Packaging it, and proving it as Lambda would run it"),
    ):
        added = asyncio.run(package.add(current_project(), file, to, options))
    if as_json:
        print_json(asdict(added))
        return
    rows = [("Files", ", ".join(added.files)), ("Golden", f"requests with answers: {added.golden}")]
    rows += [("Quality", line) for line in (added.quality.describe() if added.quality else ())]
    rows += [("Note", note) for note in added.notes]
    rows += [("Next", "make run serves it on this machine, make deploy sends it to AWS")]
    _show(f"{added.name} version {added.version} is in {added.directory}", rows)


@contextmanager
def problems_in_json(wanted: bool) -> Iterator[None]:  # noqa: FBT001 an option, handed on
    """Print the problems of a ModelError as JSON and exit with 1, if that is wanted."""
    try:
        yield
    except ModelError as error:
        if not wanted:
            raise
        print_json({"problems": error.problems})
        raise typer.Exit(1) from error


def _tell(diagnosis: "Diagnosis") -> Iterator[tuple[str, str]]:
    """Yield what is known of a model, each line with its label."""
    yield from (("Problem", problem) for problem in diagnosis.problems)
    yield from (("Note", note) for note in diagnosis.notes)
    yield from (("Input", _tell_tensor(tensor)) for tensor in diagnosis.inputs)
    yield from (("Output", _tell_tensor(tensor)) for tensor in diagnosis.outputs)
    if diagnosis.operators:
        opsets = ", ".join(f"{domain} {number}" for domain, number in diagnosis.opsets.items())
        by = f", by {diagnosis.producer}" if diagnosis.producer else ""
        yield "Graph", f"opset {opsets}; IR version {diagnosis.ir_version}{by}"
        counts = (f"{count} {name}" for name, count in diagnosis.operators.items())
        yield "Operators", ", ".join(counts)
    for name, length in diagnosis.external_data.items():
        yield "Data", f"{name}, {length / MB:.1f} MB"
    if size := diagnosis.size:
        limit = f"{size.budget // MB} MB (Lambda's limit is {size.limit // MB} MB)"
        total = f"with function and runtime {size.total / MB:.1f} of {limit}"
        yield "Size", f"{size.model / MB:.1f} MB; {total}"
    if diagnosis.measured and diagnosis.suggested:
        yield from _tell_measured(diagnosis, diagnosis.measured, diagnosis.suggested)


def _tell_measured(
    diagnosis: "Diagnosis", measured: "Measurement", suggested: "Suggestion"
) -> Iterator[tuple[str, str]]:
    start = f"{measured.load_ms:.0f} ms of a cold start of {measured.cold_start_ms:.0f} ms"
    yield "Load", f"{start}, by onnxruntime {diagnosis.onnxruntime} on this machine"
    if measured.row_ms is not None:
        batch = f", one of 100 rows {measured.batch_ms:.1f} ms" if measured.batch_ms else ""
        again = "the same again" if measured.repeatable else "not the same again"
        yield "Answer", f"a request of one row takes {measured.row_ms:.1f} ms{batch}; {again}"
    memory = f"MemorySize: {suggested.memory_mb} ({suggested.reason})"
    yield "Memory", f"{measured.peak_memory_mb} MB at most; {memory}"
    costs = [f"{usd:.2f} USD on {name}" for name, usd in suggested.usd_per_million.items()]
    if costs:
        yield "Cost", f"a million requests of one row: {', '.join(costs)}, HTTP API included"


def _tell_tensor(tensor: dict[str, Any]) -> str:
    shape = " x ".join("any" if length < 0 else str(length) for length in tensor["shape"])
    labels = f" ({', '.join(tensor['labels'])})" if "labels" in tensor else ""
    optional = ", may be absent" if tensor.get("optional") else ""
    values = "".join(f", {phrase}" for phrase in _tell_values(tensor))
    return (
        f"{tensor['name']}: {tensor['datatype']}, {shape or 'one value'}{labels}{optional}{values}"
    )


def _tell_values(tensor: dict[str, Any]) -> Iterator[str]:
    ranges = ("", tensor.get("index_range")), *_columns(tensor, "column_index_ranges")
    yield from (f"{where}indices from {one[0]} to {one[1]}" for where, one in ranges if one)
    categories = ("", tensor.get("categories")), *_columns(tensor, "column_categories")
    yield from (f"{where}{len(one)} categories" for where, one in categories if one)
    if tensor.get("sizes"):
        yield "sizes of what the model makes"
    for place, least in enumerate(tensor.get("least_lengths", ())):
        if least:
            yield f"shape[{place}] at least {least}"
    for place, lengths in enumerate(tensor.get("answered_lengths", ())):
        shortest, longest = lengths or (1, None)
        if shortest > 1:
            yield f"shape[{place}] at least {shortest}"
        if longest:
            yield f"shape[{place}] at most {longest}"


def _columns(tensor: dict[str, Any], field: str) -> Iterator[tuple[str, Any]]:
    for column, value in enumerate(tensor.get(field, ())):
        yield f"column {column} (from 0) ", value


def _show(title: str, rows: "Iterator[tuple[str, str]] | list[tuple[str, str]]") -> None:
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


def _split(names: str) -> list[str]:
    return [name.strip() for name in names.split(",") if name.strip()]
