"""The doctor and `infra model add`, on the built function and runtime layer."""

import json
import os
import re
import subprocess
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import ModelProto, TensorProto, helper

from infra.model.contract import describe
from infra.model.doctor import Diagnosis, check
from infra.model.errors import ModelError, SlowError
from infra.model.graph.graph import read_graph
from infra.model.layer import write
from infra.model.package import AddOptions, add
from infra.model.simplify import simplify
from infra.model.sizing import Size, Suggestion
from infra.model.trial.examination import Measurement, examine
from infra.model.trial.trial import open_bench, read_onnxruntime_version
from infra.project import MARKS
from tests.example_model import MODEL, copy_layer
from tests.onnx_models import (
    DATATYPES,
    crashing_at_load,
    crashing_at_run,
    deep,
    endless,
    gather,
    identities,
    identity,
    linear_classifier,
    logistic,
    misdeclared,
    random,
    scaled,
)
from tests.sam_template import PROJECT

ROOT = Path(__file__).parents[4]
INFRA = ROOT / ".venv/bin/infra"


def save(model: ModelProto, path: Path) -> Path:
    path.write_bytes(model.SerializeToString())
    return path


def model(*operators: str, **fields: Any) -> ModelProto:
    """Apply operators to x, FP32 [-1, 2], one after the other."""
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, 2]) for name in "xy"]
    names = ["x", *(f"v{i}" for i in range(1, len(operators))), "y"]
    nodes = [
        helper.make_node(operator, [names[i]], [names[i + 1]])
        for i, operator in enumerate(operators)
    ]
    opsets = [helper.make_opsetid("", fields.pop("opset", 17))]
    graph = helper.make_graph(nodes, "graph", values[:1], values[1:])
    return helper.make_model(graph, opset_imports=opsets, ir_version=fields.pop("ir_version", 8))


async def diagnose(model: ModelProto, folder: Path, samples: Path | None = None) -> Diagnosis:
    return await check(PROJECT, save(model, folder / "m.onnx"), samples, [])


def run(*arguments: str | Path, **options: Any) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [INFRA, "model", *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        **options,
    )


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def read(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


async def test_the_example_model_is_served_well() -> None:
    diagnosis = await check(PROJECT, MODEL, None, [])

    assert diagnosis.servable
    assert diagnosis.opsets == {"ai.onnx": 17, "ai.onnx.ml": 1}
    assert diagnosis.operators == {"ai.onnx.ml:TreeEnsembleClassifier": 1}
    assert diagnosis.inputs == ({"name": "features", "datatype": "FP32", "shape": [-1, 4]},)
    assert f"onnxruntime=={diagnosis.onnxruntime} " in PROJECT.runtime_requirements.read_text()
    measured = diagnosis.measured
    assert measured
    assert measured.repeatable
    assert measured.row_ms
    assert measured.batch_ms
    assert 0 < measured.load_ms < measured.cold_start_ms
    assert measured.peak_memory_mb > 40
    assert diagnosis.suggested
    assert diagnosis.suggested.memory_mb == 1769
    usd = diagnosis.suggested.usd_per_million
    assert 1.2 < usd["arm64"] <= usd["x86_64"] < 3
    assert diagnosis.size
    assert diagnosis.size.model == MODEL.stat().st_size
    assert diagnosis.size.total > diagnosis.size.layers > 50 * 2**20


def test_machines_get_documented_keys_and_an_exit_code() -> None:
    # WHEN a model that can be served and a file that is none are checked
    good, bad = run("check", "--json", MODEL), run("check", "--json", ROOT / "README.md")
    # THEN both answers have the same keys, which are the fields of the diagnosis
    keys = {"servable", *(field.name for field in fields(Diagnosis))}
    diagnosis, problem = json.loads(good.stdout), json.loads(bad.stdout)
    assert diagnosis.keys() == problem.keys() == keys
    assert diagnosis["measured"].keys() == {field.name for field in fields(Measurement)}
    assert diagnosis["size"].keys() == {field.name for field in fields(Size)}
    assert diagnosis["suggested"].keys() == {field.name for field in fields(Suggestion)}
    # AND the exit code tells which is which
    assert (good.returncode, diagnosis["servable"]) == (0, True)
    assert (bad.returncode, problem["servable"]) == (1, False)
    assert problem["problems"] == ["README.md is not an ONNX model"]


def test_the_report_is_plain_lines_where_no_terminal_is(tmp_path: Path) -> None:
    source = save(linear_classifier(), tmp_path / "iris.onnx")
    report = run("check", source)
    assert report.returncode == 0
    assert report.stdout.isascii()
    lines = dict(re.findall(r"^(\w+) +(.+)$", report.stdout, re.MULTILINE))
    assert report.stdout.startswith("iris.onnx can be served\n")
    assert (
        "\nNote       output 'output_probability' is a sequence of maps made by ZipMap: removed"
        in (report.stdout)
    )
    assert lines["Input"] == "X: FP32, any x 4"
    assert lines["Output"] == ("output_probability: FP32, any x 3 (setosa, versicolor, virginica)")


def test_the_report_shows_the_range_of_an_index(tmp_path: Path) -> None:
    report = run("check", save(gather(), tmp_path / "table.onnx"))

    assert "\nInput      x: INT64, any, indices from -3 to 2\n" in report.stdout


@pytest.mark.parametrize(
    ("broken", "text"),
    [
        (crashing_at_load(), r"^onnxruntime crashed \(signal: Segmentation fault\) while loading$"),
        (
            crashing_at_run(),
            r"^onnxruntime crashed \(signal: Segmentation fault\) while answering$",
        ),
        (model("Nothing"), r"^onnxruntime cannot load it: .*No Op registered for Nothing"),
        (model("Relu", opset=99), r"^onnxruntime cannot load it: .*Opset 99 is under development"),
        (
            model("Relu", ir_version=99),
            r"^onnxruntime cannot load it: Unsupported model IR version",
        ),
    ],
)
async def test_a_crash_of_onnxruntime_is_reported_and_survived(
    broken: ModelProto, text: str, tmp_path: Path
) -> None:
    diagnosis = await diagnose(broken, tmp_path)

    [problem] = diagnosis.problems
    assert re.search(text, problem)
    assert str(tmp_path) not in problem
    assert diagnosis.measured is None


async def test_a_model_that_takes_too_long_is_stopped(tmp_path: Path) -> None:
    # GIVEN a bench with little time, and a model that never ends
    graph = await read_graph(save(endless(), tmp_path / "m.onnx"))
    contract = describe(graph)
    async with open_bench(PROJECT) as bench:
        hurried = replace(bench, function=replace(bench.function, timeout_seconds=0.2))
        write(graph, contract, bench.directory / "layer/model")
        trial = await hurried.load(bench.directory / "layer", "m")
        # WHEN it is examined THEN it is asked but once
        message = r"^answering takes too long: Task timed out after 0\.20 seconds$"
        with pytest.raises(SlowError, match=message):
            await examine(trial, contract, None)


async def test_what_cannot_be_served_is_reported_without_running_it(tmp_path: Path) -> None:
    # GIVEN a model with an output, an operator and a file that cannot be
    broken = model("Relu")
    broken.graph.output[0].CopyFrom(
        helper.make_tensor_sequence_value_info("y", TensorProto.FLOAT, None)
    )
    broken.graph.node.append(helper.make_node("Mine", ["x"], ["z"], domain="shop"))
    outside = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1])
    outside.data_location = TensorProto.EXTERNAL
    outside.external_data.add(key="location", value="../w.bin")
    broken.graph.initializer.append(outside)
    # WHEN it is checked
    diagnosis = await diagnose(broken, tmp_path)
    # THEN each has a line of its own
    assert [problem[:30] for problem in diagnosis.problems] == [
        "output 'y' has the type sequen",
        "external data '../w.bin': the ",
        "operator shop:Mine is not part",
    ]
    assert diagnosis.size
    assert diagnosis.measured is None


async def test_a_model_over_lambdas_limit_is_refused(tmp_path: Path) -> None:
    # GIVEN a model whose external data is larger than what is left of 250 MB
    large = model("Relu")
    weight = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1])
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value="w.bin")
    large.graph.initializer.append(weight)
    with (tmp_path / "w.bin").open("wb") as file:
        file.truncate(180 * 2**20)
    # WHEN it is checked THEN the sizes are told
    diagnosis = await diagnose(large, tmp_path)
    [problem] = diagnosis.problems
    assert re.match(
        r"the model is 180\.0 MB, with the function and its runtime 2\d\d\.\d MB, over", problem
    )
    assert diagnosis.external_data == {"w.bin": 180 * 2**20}
    # AND it is not added
    with pytest.raises(ModelError, match="over the budget of 245 MB"):
        await add(PROJECT, tmp_path / "m.onnx", tmp_path / "layer", AddOptions())
    assert not (tmp_path / "layer").exists()


@pytest.mark.parametrize("but", ["BF16", "BYTES"])  # onnxruntime cannot run both in one model
async def test_every_datatype_is_asked_and_answered(but: str, tmp_path: Path) -> None:
    shapes: list[list[int | None]] = [[None, 2], [], [2, 3], [1, None]]
    every = {name: shapes[i % 4] for i, name in enumerate(DATATYPES) if name != but}
    diagnosis = await diagnose(identities(every), tmp_path)
    assert diagnosis.servable
    assert diagnosis.measured
    assert diagnosis.measured.repeatable
    assert diagnosis.measured.batch_ms is None


async def test_answers_that_vary_are_noticed(tmp_path: Path) -> None:
    diagnosis = await diagnose(random(), tmp_path)
    assert diagnosis.servable
    assert "the answer to the same request varies" in diagnosis.notes
    added = await add(PROJECT, tmp_path / "m.onnx", tmp_path / "layer", AddOptions())
    assert added.golden == 0
    assert "it has no golden request, which would prove a release" in added.notes


async def test_numbers_that_a_model_does_not_take_are_made_up_anew(tmp_path: Path) -> None:
    # GIVEN an embedding of only eight positions
    nodes = [
        helper.make_node("Shape", ["ids"], ["length"], start=1),
        helper.make_node("Squeeze", ["length"], ["n"]),
        helper.make_node("Range", ["zero", "n", "one"], ["positions"]),
        helper.make_node("Gather", ["table", "positions"], ["y"]),
    ]
    weights = [
        helper.make_tensor("zero", TensorProto.INT64, [], [0]),
        helper.make_tensor("one", TensorProto.INT64, [], [1]),
        helper.make_tensor("table", TensorProto.FLOAT, [8], range(8)),
    ]
    ids = helper.make_tensor_value_info("ids", TensorProto.INT64, ["rows", "length"])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["length"])
    graph = helper.make_graph(nodes, "graph", [ids], [y], weights)
    opsets = [helper.make_opsetid("", 17)]
    embedding = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    # WHEN it is checked THEN a shorter row is found, and the length is no problem
    diagnosis = await diagnose(embedding, tmp_path)
    assert diagnosis.servable
    assert diagnosis.measured
    assert diagnosis.measured.row_ms


async def test_a_model_that_takes_no_made_up_number_can_still_be_served(tmp_path: Path) -> None:
    # GIVEN a model whose answer is a number only above one
    diagnosis = await diagnose(model("Log", "Log"), tmp_path)
    assert diagnosis.servable
    assert diagnosis.measured
    assert diagnosis.measured.row_ms is None
    [note] = diagnosis.notes
    assert note == (
        "made-up numbers were tried and not answered (output 'y' holds NaN or infinity): "
        "give --samples"
    )
    # WHEN there are real numbers
    (tmp_path / "s.csv").write_text("a,b\n3,4\n")
    diagnosis = await check(PROJECT, tmp_path / "m.onnx", tmp_path / "s.csv", [])
    # THEN it is measured with them
    assert diagnosis.notes == [
        "s.csv: columns read: a, b (input 'x' takes them in this order: check it)"
    ]
    assert diagnosis.measured
    assert diagnosis.measured.row_ms


async def test_samples_that_the_model_does_not_take_are_a_problem(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text("x\n7\n")
    diagnosis = await diagnose(gather(), tmp_path, tmp_path / "s.csv")
    [problem] = diagnosis.problems
    assert problem == (
        "the first row of the samples is not answered: input 'x': data[0]: Expected an index "
        "from -3 to 2"
    )


def test_samples_that_cannot_be_read_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text("a,b,c,d\n1,2,3,four\n")
    failed = run("add", MODEL, "--samples", tmp_path / "s.csv", "--to", tmp_path / "layer")
    assert failed.returncode == 1
    assert failed.stderr == "Error: s.csv line 2, 'd': expected FP32, got text\n"
    assert failed.stdout == ""
    assert not (tmp_path / "layer").exists()


def test_without_a_build_it_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "layers/runtime").mkdir(parents=True)
    for name in MARKS:
        (tmp_path / name).touch()
    failed = subprocess.run(
        [INFRA, "model", "check", MODEL],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env=os.environ | {"PATH": os.defpath},  # which does not lead to the tools
    )
    assert failed.returncode == 1
    sam = INFRA.with_name("sam")
    assert failed.stderr == f"Error: .aws-sam/build holds no build: run `{sam} build` first\n"


async def test_outputs_with_wrong_declared_shapes_are_corrected(tmp_path: Path) -> None:
    # GIVEN a model whose outputs have other shapes than it says
    source = save(misdeclared(), tmp_path / "m.onnx")
    shapes = {"label": [-1], "table": [-1, 4], "sums": [-1]}
    notes = [
        f"output '{name}' is declared with the shape {declared}, but the model returns "
        f"{shapes[name]} (-1: any length): corrected"
        for name, declared in (("label", [1]), ("table", [-1, 5]), ("sums", [-1, 1]))
    ]
    # WHEN it is checked THEN what it returns is told, and that it was declared otherwise
    diagnosis = await check(PROJECT, source, None, [])
    assert {one["name"]: one["shape"] for one in diagnosis.outputs} == shapes
    assert [*diagnosis.notes[:3]] == notes
    # WHEN it is added THEN contract and graph agree on what it returns
    added = await add(PROJECT, source, tmp_path / "layer", AddOptions())
    assert [*added.notes[:3]] == notes
    contract = json.loads((tmp_path / "layer/model.json").read_text())
    assert {one["name"]: one["shape"] for one in contract["outputs"]} == shapes
    session = onnxruntime.InferenceSession(tmp_path / "layer/model.onnx")
    assert {
        one.name: [n if isinstance(n, int) else -1 for n in one.shape]
        for one in session.get_outputs()
    } == shapes
    # AND it answers as before
    rows = np.random.default_rng(0).random((3, 4), np.float32)
    answers = [
        one.run(None, {"x": rows}) for one in (session, onnxruntime.InferenceSession(source))
    ]
    assert all(np.array_equal(*pair) for pair in zip(*answers, strict=True))


async def test_the_next_version_takes_columns_by_the_names_of_the_previous_one(
    tmp_path: Path,
) -> None:
    # GIVEN a model with named features
    source = save(identity("FP32", [None, 2]), tmp_path / "m.onnx")
    await add(PROJECT, source, tmp_path / "layer", AddOptions(features=["age", "spend"]))
    # WHEN its next version is added with samples in another order
    (tmp_path / "s.csv").write_text("id,Spend,age\nx,200,30\ny,100,40\n")
    added = await add(PROJECT, source, tmp_path / "layer", AddOptions(samples=tmp_path / "s.csv"))
    # THEN each feature has its own column
    contract = json.loads((tmp_path / "layer/model.json").read_text())
    assert contract["golden"][0]["inputs"]["x"] == [[30, 200]]
    assert [one["minimum"] for one in contract["inputs"][0]["features"]] == [30, 100]
    assert added.notes[:3] == [
        "s.csv: columns read: age, Spend",
        "s.csv: column 'Spend' is read as 'spend'",
        "s.csv: columns not read: id",
    ]


async def test_a_model_is_added_with_names_and_ranges_from_its_samples(tmp_path: Path) -> None:
    # GIVEN a layer with another model, and samples with a column too many
    layer = tmp_path / "layer"
    copy_layer(layer)
    source = save(linear_classifier(), tmp_path / "Iris Classifier.onnx")
    rows = np.random.default_rng(0).random((200, 4)).round(3) * 5
    lines = (",".join(map(str, [*row, "?"])) for row in rows)
    (tmp_path / "s.csv").write_text("\n".join(["a,b,c,d,species", *lines]))
    options = AddOptions(
        description="Which iris?", samples=tmp_path / "s.csv", features=["a", "b", "c", "d"]
    )
    # WHEN the model is added, and then once more
    await add(PROJECT, source, layer, options)
    added = await add(PROJECT, source, layer, options)
    # THEN it is the next version of itself
    assert (added.name, added.version) == ("iris-classifier", "2")
    contract = json.loads((layer / "model.json").read_text())
    assert contract["version"] == "2"
    assert contract["description"] == "Which iris?"
    # AND features have histograms of all rows
    features = contract["inputs"][0]["features"]
    assert [feature["name"] for feature in features] == ["a", "b", "c", "d"]
    assert [sum(feature["baseline"]["counts"]) for feature in features] == [200] * 4
    # AND the golden answers are those that the exported model gives
    session = onnxruntime.InferenceSession(source)
    assert len(contract["golden"]) == 2
    for golden in contract["golden"]:
        labels, maps = session.run(None, {"X": np.array(golden["inputs"]["X"], np.float32)})
        assert golden["outputs"]["output_label"] == labels.tolist()
        table = np.array(golden["outputs"]["output_probability"], np.float32)
        assert table.tolist() == [list(row.values()) for row in maps]
    # AND nothing but the model was replaced
    kept = {"Makefile", "README.md", "build.py", "training", "model.json", "model.onnx"}
    assert names(layer) == kept
    assert names(tmp_path) == {"Iris Classifier.onnx", "layer", "s.csv"}
    # AND without samples the histograms stay, which the user is told
    again = await add(PROJECT, source, layer, AddOptions())
    assert again.version == "3"
    assert (
        "the features' histograms are those of the previous version: give --samples" in again.notes
    )
    contract = json.loads((layer / "model.json").read_text())
    assert contract["inputs"][0]["features"] == features


async def test_names_and_labels_are_the_users(tmp_path: Path) -> None:
    source = save(identity("FP32", [None, 2]), tmp_path / "m.onnx")
    options = AddOptions(
        name="churn", version="2026-11", features=["age", "visits"], labels=["no", "yes"]
    )
    added = await add(PROJECT, source, tmp_path / "layer", options)
    contract = json.loads((tmp_path / "layer/model.json").read_text())
    assert (added.name, added.version) == ("churn", "2026-11")
    assert contract["inputs"][0]["features"] == [{"name": "age"}, {"name": "visits"}]
    assert contract["outputs"][0]["labels"] == ["no", "yes"]


async def test_an_optional_input_keeps_its_own_value(tmp_path: Path) -> None:
    # GIVEN a model that divides by an input which need not be there
    source = save(scaled(), tmp_path / "m.onnx")
    # WHEN it is added THEN it starts and answers with the value of the graph
    await add(PROJECT, source, tmp_path / "layer", AddOptions())
    [golden, _] = json.loads((tmp_path / "layer/model.json").read_text())["golden"]
    assert golden["inputs"].keys() == {"x"}
    assert np.allclose(golden["outputs"]["y"], np.array(golden["inputs"]["x"]) / 2)


async def test_without_samples_the_requests_of_the_previous_version_are_answered_anew(
    tmp_path: Path,
) -> None:
    # GIVEN a model that was added with samples
    layer, samples = tmp_path / "layer", tmp_path / "s.csv"
    samples.write_text("a,b\n1,4\n9,16\n")
    source = save(model("Abs"), tmp_path / "m.onnx")
    await add(PROJECT, source, layer, AddOptions(name="m", samples=samples))
    before = json.loads((layer / "model.json").read_text())["golden"]
    # WHEN another one follows it without any
    added = await add(PROJECT, save(model("Sqrt"), source), layer, AddOptions(name="m"))
    # THEN it has answered the same requests its own way, and no number was made up
    golden = json.loads((layer / "model.json").read_text())["golden"]
    assert [one["inputs"] for one in golden] == [one["inputs"] for one in before]
    assert [one["outputs"]["y"] for one in golden] == [[[1, 2]], [[3, 4], [1, 2]]]
    assert added.notes[0] == "its golden requests are those of version 1, answered anew"
    assert not any("made-up" in note for note in added.notes)


async def test_a_model_whose_every_answer_is_nan_is_refused_without_samples_too(
    tmp_path: Path,
) -> None:
    layer = tmp_path / "layer"
    source = save(model("Abs"), tmp_path / "m.onnx")
    await add(PROJECT, source, layer, AddOptions(name="m"))
    before = read(layer)
    save(model("Abs", "Neg", "Log"), source)
    text = r"^golden\[0\] of the previous version: output 'y' holds NaN or infinity"
    with pytest.raises(ModelError, match=text):
        await add(PROJECT, source, layer, AddOptions(name="m"))
    assert read(layer) == before


@pytest.mark.parametrize(
    "other",
    [identity("FP64", [None, 2]), identity("FP32", [None, 3]), identity("UINT8", [None, 2])],
)
async def test_requests_that_do_not_fit_are_not_asked_anew(
    other: ModelProto, tmp_path: Path
) -> None:
    layer = tmp_path / "layer"
    source = save(identity("FP32", [None, 2]), tmp_path / "m.onnx")
    await add(PROJECT, source, layer, AddOptions())
    added = await add(PROJECT, save(other, source), layer, AddOptions())
    assert (added.version, added.golden) == ("2", 2)
    assert added.notes == ["only made-up numbers were tried, which prove little: give --samples"]


async def test_a_model_of_another_name_replaces_the_current_one_with_a_note(tmp_path: Path) -> None:
    source = save(identity("FP32", [None, 2]), tmp_path / "m.onnx")
    await add(PROJECT, source, tmp_path / "layer", AddOptions(name="churn"))
    added = await add(PROJECT, source, tmp_path / "layer", AddOptions())
    assert added.notes[-1] == (
        "it replaces churn, whose callers will not find it: --name churn keeps the name"
    )


@pytest.mark.parametrize(
    ("model", "options", "text"),
    [
        (crashing_at_load(), AddOptions(), "crashed"),
        (
            logistic(),
            AddOptions(name="no spaces"),
            "--name 'no spaces': expected up to 100 letters",
        ),
        (logistic(), AddOptions(version=".."), "--version '..': expected up to 100 letters"),
        (logistic(), AddOptions(labels=["a", "b"]), "--labels names 2 columns, and no output has"),
        (logistic(), AddOptions(features=["a", "b"]), "takes 4 columns, got 2 (a, b)"),
    ],
)
async def test_what_is_refused_leaves_the_layer_as_it_was(
    model: ModelProto, options: AddOptions, text: str, tmp_path: Path
) -> None:
    layer = tmp_path / "layer"
    copy_layer(layer)
    before = read(layer)
    with pytest.raises(ModelError, match=re.escape(text)):
        await add(PROJECT, save(model, tmp_path / "m.onnx"), layer, options)
    assert read(layer) == before
    assert names(tmp_path) == {"layer", "m.onnx"}


@pytest.mark.parametrize("share", [-100, 1])
async def test_a_simplified_graph_is_used_if_it_is_equal_and_faster(
    share: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # GIVEN a model that takes long enough to load, and a gain that is always or never enough
    monkeypatch.setattr("infra.model.simplify.WORTHWHILE_MS", 0)
    monkeypatch.setattr("infra.model.simplify.WORTHWHILE_SHARE", share)
    source = save(deep(), tmp_path / "m.onnx")
    # WHEN it is added
    added = await add(PROJECT, source, tmp_path / "layer", AddOptions())
    # THEN the note tells what was chosen, and the graph is that one
    found = onnx.load(tmp_path / "layer/model.onnx")
    operators = {node.op_type for node in found.graph.node}
    provenance = json.loads((tmp_path / "layer/model.json").read_text())["provenance"]
    if share < 0:
        assert re.search(r"graph simplified: it loads in \d+ ms instead of \d+", added.notes[-1])
        assert operators == {"MatMul", "Tanh"}
        assert provenance["simplified_by"] == read_onnxruntime_version(PROJECT)
    else:
        assert re.search(r"graph as exported: simplified it loads in \d+ ms", added.notes[-1])
        assert (tmp_path / "layer/model.onnx").read_bytes() == source.read_bytes()
        assert "simplified_by" not in provenance
    # AND the answers are the same
    inputs = {"x": np.random.default_rng(0).random((9, 4), np.float32)}
    [one], [two] = (
        onnxruntime.InferenceSession(path).run(None, inputs)
        for path in (source, tmp_path / "layer/model.onnx")
    )
    assert np.allclose(one, two, 1e-5, 1e-6)


async def test_a_graph_that_would_grow_stays_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # GIVEN a graph that computes a large weight from a small one
    shape = helper.make_tensor("shape", TensorProto.INT64, [2], [2, 1000])
    nodes = [
        helper.make_node("ConstantOfShape", ["shape"], ["w"]),
        helper.make_node("MatMul", ["x", "w"], ["y"]),
    ]
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, length])
        for name, length in (("x", 2), ("y", 1000))
    ]
    graph = helper.make_graph(nodes, "graph", values[:1], values[1:], [shape])
    opsets = [helper.make_opsetid("", 17)]
    monkeypatch.setattr("infra.model.simplify.WORTHWHILE_MS", 0)
    source = save(helper.make_model(graph, opset_imports=opsets, ir_version=8), tmp_path / "m.onnx")
    # WHEN it is added THEN its file is not made larger
    added = await add(PROJECT, source, tmp_path / "layer", AddOptions())
    assert re.search(r"graph as exported: simplified it is \d+\.\d times as large", added.notes[-1])
    assert (tmp_path / "layer/model.onnx").read_bytes() == source.read_bytes()


async def test_a_simplified_graph_with_other_answers_is_not_used(tmp_path: Path) -> None:
    # GIVEN a finished layer whose golden answers are not those of its graph
    layer = tmp_path / "layer"
    await add(PROJECT, save(deep(), tmp_path / "m.onnx"), layer / "model", AddOptions())
    contract = json.loads((layer / "model/model.json").read_text())
    contract["golden"][1]["outputs"]["y"][0][0] += 0.5
    async with open_bench(PROJECT) as bench:
        trial = await bench.load(layer, contract["name"])
        # WHEN its graph is simplified
        chosen, note = await simplify(bench, trial, layer, contract)
    # THEN that counts as a difference
    assert chosen == layer
    assert note == ("graph as exported: output 'y' differs from that of the golden request")


def test_add_says_what_is_next_and_lists_for_machines_what_is_there(tmp_path: Path) -> None:
    source = save(logistic(), tmp_path / "m.onnx")
    environment = os.environ | {"COLUMNS": "40", "PATH": os.defpath}
    text = run("add", source, "--to", tmp_path / "layer", env=environment)
    assert text.returncode == 0
    assert text.stdout.startswith(f"m version 1 is in {tmp_path / 'layer'}\n")
    tools = INFRA.parent
    assert text.stdout.endswith(
        f"Next       `{tools}/infra run` serves it here, "
        f"`{tools}/sam build && {tools}/infra deploy` releases it\n"
    )
    added = json.loads(run("add", source, "--to", tmp_path / "layer", "--json").stdout)
    contract = json.loads((tmp_path / "layer/model.json").read_text())
    assert added == {
        "name": "m",
        "version": "2",
        "directory": str(tmp_path / "layer"),
        "files": contract["files"],
        "golden": 2,
        "notes": ["its golden requests are those of version 1, answered anew"],
        "quality": None,
    }
