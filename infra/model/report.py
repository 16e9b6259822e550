"""What a person reads about a model that was checked or added: labelled lines."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from infra.artifacts import MB

if TYPE_CHECKING:
    from infra.model.doctor import Diagnosis
    from infra.model.package import Added
    from infra.model.sizing import Suggestion
    from infra.model.trial.examination import Measurement


def describe_diagnosis(diagnosis: "Diagnosis") -> Iterator[tuple[str, str]]:
    """Yield what is known about a model, each line with its label."""
    yield from (("Problem", problem) for problem in diagnosis.problems)
    yield from (("Note", note) for note in diagnosis.notes)
    yield from (("Input", _describe_tensor(tensor)) for tensor in diagnosis.inputs)
    yield from (("Output", _describe_tensor(tensor)) for tensor in diagnosis.outputs)
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
    if diagnosis.quality:
        yield from (("Quality", line) for line in diagnosis.quality.describe())
    if diagnosis.measured and diagnosis.suggested:
        yield from _describe_measurement(diagnosis, diagnosis.measured, diagnosis.suggested)


def describe_added(added: "Added") -> Iterator[tuple[str, str]]:
    """Yield what was added to the layer and what to do next, each line with its label."""
    yield "Files", ", ".join(added.files)
    yield "Golden", f"requests with answers: {added.golden}"
    if added.quality:
        yield from (("Quality", line) for line in added.quality.describe())
    yield from (("Note", note) for note in added.notes)
    yield "Next", "`infra run` serves it here, `sam build && infra deploy` releases it"


def _describe_measurement(
    diagnosis: "Diagnosis", measured: "Measurement", suggested: "Suggestion"
) -> Iterator[tuple[str, str]]:
    start = f"{measured.load_ms:.0f} ms of a cold start of {measured.cold_start_ms:.0f} ms"
    yield "Load", f"{start}, by onnxruntime {diagnosis.onnxruntime} on this machine"
    if measured.row_ms is not None:
        batch = f", one of 100 rows {measured.batch_ms:.1f} ms" if measured.batch_ms else ""
        again = "the same again" if measured.repeatable else "different the next time"
        yield "Answer", f"a request of one row takes {measured.row_ms:.1f} ms{batch}; {again}"
    memory = f"MemorySize: {suggested.memory_mb} ({suggested.reason})"
    yield "Memory", f"{measured.peak_memory_mb} MB at most; {memory}"
    costs = [f"{usd:.2f} USD on {name}" for name, usd in suggested.usd_per_million.items()]
    if costs:
        yield "Cost", f"a million requests of one row: {', '.join(costs)}, HTTP API included"


def _describe_tensor(tensor: dict[str, Any]) -> str:
    shape = " x ".join("any" if length < 0 else str(length) for length in tensor["shape"])
    labels = f" ({', '.join(tensor['labels'])})" if "labels" in tensor else ""
    optional = ", optional" if tensor.get("optional") else ""
    limits = "".join(f", {limit}" for limit in _describe_limits(tensor))
    return (
        f"{tensor['name']}: {tensor['datatype']}, {shape or 'one value'}{labels}{optional}{limits}"
    )


def _describe_limits(tensor: dict[str, Any]) -> Iterator[str]:
    ranges = ("", tensor.get("index_range")), *_by_column(tensor, "column_index_ranges")
    yield from (f"{where}indices from {one[0]} to {one[1]}" for where, one in ranges if one)
    categories = ("", tensor.get("categories")), *_by_column(tensor, "column_categories")
    yield from (f"{where}{len(one)} categories" for where, one in categories if one)
    if tensor.get("sizes"):
        yield "sizes of what the model makes"
    for axis, least in enumerate(tensor.get("least_lengths", ())):
        if least:
            yield f"shape[{axis}] at least {least}"
    for axis, lengths in enumerate(tensor.get("answered_lengths", ())):
        shortest, longest = lengths or (1, None)
        if shortest > 1:
            yield f"shape[{axis}] at least {shortest}"
        if longest:
            yield f"shape[{axis}] at most {longest}"


def _by_column(tensor: dict[str, Any], field: str) -> Iterator[tuple[str, Any]]:
    for column, value in enumerate(tensor.get(field, ())):
        yield f"column {column} (from 0) ", value
