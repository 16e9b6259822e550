"""Packaging an ONNX file: the contract that its graph tells, and the files it needs."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnx import ModelProto, TensorProto, ValueInfoProto, helper

from infra.model.errors import ModelError
from infra.model.layer import derive
from serving.manifest import read_manifest
from tests.onnx_models import CLASSES, linear_classifier, scaled, tree_classifier

type Shape = Sequence[int | str | None] | None


def make_model(
    inputs: Sequence[ValueInfoProto] | None = None,
    outputs: Sequence[ValueInfoProto] | None = None,
    *,
    weights: Sequence[TensorProto] = (),
) -> ModelProto:
    """Multiply `features` by a 4 x 2 weight, with other inputs and outputs as told."""
    weight = helper.make_tensor("weight", TensorProto.FLOAT, [4, 2], [0.5] * 8)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["features", "weight"], ["scores"])],
        "graph",
        inputs or [tensor("features", TensorProto.FLOAT, ["N", 4])],
        outputs or [tensor("scores", TensorProto.FLOAT, None)],
        [weight, *weights],
    )
    opsets = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, producer_name="tests", opset_imports=opsets, ir_version=9)


def tensor(name: str, datatype: int, shape: Shape) -> ValueInfoProto:
    return helper.make_tensor_value_info(name, datatype, shape)


def save(model: ModelProto, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(model.SerializeToString())
    return path


def outside(name: str, location: str) -> TensorProto:
    """Make a weight whose values are in a file of their own."""
    weight = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[2])
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value=location)
    return weight


async def test_contract_comes_from_the_graph(tmp_path: Path) -> None:
    # GIVEN a model that lists its weight among its inputs and tells no output shape
    weight = tensor("weight", TensorProto.FLOAT, [4, 2])
    model = make_model([tensor("features", TensorProto.FLOAT, ["N", 4]), weight])
    source = save(model, tmp_path / "Churn Model_v2.onnx")
    # WHEN it is packaged
    contract = await derive(source, tmp_path / "layer" / "model")
    # THEN the weight is no input, and the output's shape is inferred
    assert contract["name"] == "churn-model-v2"
    assert contract["version"] == "1"
    features = {"name": "features", "datatype": "FP32", "shape": [-1, 4]}
    assert contract["inputs"] == [features | {"dimensions": ["N", None]}]
    scores = {"name": "scores", "datatype": "FP32", "shape": [-1, 2]}
    assert contract["outputs"] == [scores | {"dimensions": ["N", None]}]
    assert contract["golden"] == []
    assert contract["provenance"] == {"producer": "tests", "opsets": {"ai.onnx": 17}}
    # AND the folder holds the same bytes under the names that the runtime expects
    packaged = tmp_path / "layer" / "model"
    assert json.loads((packaged / "model.json").read_text()) == contract
    assert (packaged / "model.onnx").read_bytes() == source.read_bytes()
    assert contract["files"] == {"model.onnx": hashlib.sha256(source.read_bytes()).hexdigest()}


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        (["batch", "sequence"], {"dimensions": ["batch", "sequence"]}),
        (["batch", 3], {"dimensions": ["batch", None]}),
        (["past + sequence", None], {"dimensions": ["past + sequence", None]}),
        ([None, 3], {}),
        (["", 3], {}),
        (["?", "?"], {}),  # two lengths that nobody knows are not the same one
        (["None", "unknown"], {}),
        (["unk__12", "unk__13"], {}),
        (['say "hi"', "new\nline"], {}),  # no error could quote them
        (["x" * 201, "batch"], {"dimensions": [None, "batch"]}),
    ],
)
async def test_names_of_dimensions_are_kept_if_they_say_anything(
    tmp_path: Path, shape: Shape, expected: dict[str, Any]
) -> None:
    model = make_model([tensor("features", TensorProto.FLOAT, shape)])

    contract = await derive(save(model, tmp_path / "named.onnx"), tmp_path / "model")

    found = contract["inputs"][0]
    assert {key: value for key, value in found.items() if key == "dimensions"} == expected
    assert read_manifest(tmp_path / "model" / "model.json").inputs[0].name == "features"


@pytest.mark.parametrize(
    ("element", "datatype"),
    [
        (TensorProto.BOOL, "BOOL"),
        (TensorProto.INT8, "INT8"),
        (TensorProto.UINT64, "UINT64"),
        (TensorProto.FLOAT16, "FP16"),
        (TensorProto.BFLOAT16, "BF16"),
        (TensorProto.DOUBLE, "FP64"),
        (TensorProto.STRING, "BYTES"),
    ],
)
async def test_element_types_have_the_names_of_the_protocol(
    element: int, datatype: str, tmp_path: Path
) -> None:
    inputs = [tensor("features", TensorProto.FLOAT, [1, 4]), tensor("extra", element, [None, 3, 0])]
    contract = await derive(save(make_model(inputs), tmp_path / "m.onnx"), tmp_path / "model")
    assert contract["inputs"][1] == {"name": "extra", "datatype": datatype, "shape": [-1, 3, 0]}


async def test_an_input_with_a_value_of_its_own_is_optional(tmp_path: Path) -> None:
    contract = await derive(save(scaled(), tmp_path / "m.onnx"), tmp_path / "model")
    assert contract["inputs"] == [
        {"name": "x", "datatype": "FP32", "shape": [-1, 2]},
        {"name": "divisor", "datatype": "FP32", "shape": [1], "optional": True},
    ]


async def test_weights_that_an_old_model_lists_are_no_inputs(tmp_path: Path) -> None:
    # GIVEN a model from the time when every weight had to be listed among the inputs
    model = scaled()
    model.ir_version = 3
    # WHEN it is packaged THEN onnxruntime, too, lets nobody override them
    contract = await derive(save(model, tmp_path / "m.onnx"), tmp_path / "model")
    assert [tensor["name"] for tensor in contract["inputs"]] == ["x"]


@pytest.mark.parametrize(
    ("model", "labels"), [(linear_classifier(), CLASSES), (tree_classifier(), ["0", "1"])]
)
async def test_a_zipmap_is_removed_and_changes_no_number(
    model: ModelProto, labels: list[str], tmp_path: Path
) -> None:
    # GIVEN a classifier whose probabilities are a sequence of maps
    source = save(model, tmp_path / "m.onnx")
    rows = np.random.default_rng(0).random((50, 4), np.float32)
    expected, maps = onnxruntime.InferenceSession(source).run(None, {"X": rows})
    # WHEN it is packaged
    contract = await derive(source, tmp_path / "model")
    # THEN they are a tensor of the same name, whose columns are the classes
    probabilities = {"name": "output_probability", "datatype": "FP32", "shape": [-1, len(labels)]}
    assert contract["outputs"][1] == probabilities | {"labels": labels}
    session = onnxruntime.InferenceSession(tmp_path / "model" / "model.onnx")
    found, table = session.run(["output_label", "output_probability"], {"X": rows})
    assert found.tolist() == expected.tolist()
    assert table.tolist() == [list(row.values()) for row in maps]


async def test_a_zipmap_is_removed_from_a_model_without_standard_operators(tmp_path: Path) -> None:
    # GIVEN a model that imports nothing but the operators of machine learning
    model = tree_classifier()
    [label] = [node for node in model.graph.node if node.op_type == "Identity"]
    model.graph.node.remove(label)
    model.graph.output[0].name = "label"
    del model.opset_import[:]
    model.opset_import.append(helper.make_opsetid("ai.onnx.ml", 3))
    # WHEN it is packaged THEN onnxruntime loads what takes the place of the ZipMap
    await derive(save(model, tmp_path / "m.onnx"), tmp_path / "model")
    session = onnxruntime.InferenceSession(tmp_path / "model" / "model.onnx")
    [table] = session.run(["output_probability"], {"X": np.zeros((1, 4), np.float32)})
    assert table.tolist() == [[0.75, 0.25]]


async def test_maps_that_the_model_itself_reads_cannot_be_removed(tmp_path: Path) -> None:
    model = tree_classifier()
    model.graph.node.append(helper.make_node("SequenceLength", ["output_probability"], ["n"]))
    with pytest.raises(ModelError, match="output 'output_probability' has the type sequence"):
        await derive(save(model, tmp_path / "m.onnx"), tmp_path / "model")


async def test_a_large_fixed_input_is_within_its_own_limits(tmp_path: Path) -> None:
    inputs = [
        tensor("features", TensorProto.FLOAT, ["N", 4]),
        tensor("image", TensorProto.UINT8, ["N", 3, 1024, 1024]),
    ]
    contract = await derive(save(make_model(inputs), tmp_path / "m.onnx"), tmp_path / "model")
    assert contract["limits"] == {"rows": 10_000, "elements": 3 * 1024 * 1024}


@pytest.mark.parametrize(
    ("inputs", "outputs", "text"),
    [
        (
            None,
            [helper.make_tensor_sequence_value_info("scores", TensorProto.FLOAT, None)],
            "output 'scores' has the type sequence: only dense tensors can be served",
        ),
        (
            [
                helper.make_value_info(
                    "features",
                    helper.make_optional_type_proto(
                        helper.make_tensor_type_proto(TensorProto.FLOAT, [1])
                    ),
                )
            ],
            None,
            "input 'features' has the type optional",
        ),
        (
            [helper.make_sparse_tensor_value_info("features", TensorProto.FLOAT, [1, 4])],
            None,
            "input 'features' has the type sparse tensor",
        ),
        (
            [tensor("features", TensorProto.COMPLEX64, [1, 4])],
            None,
            "input 'features' holds COMPLEX64, which no request can carry",
        ),
        (
            [tensor("features", TensorProto.FLOAT, None)],
            None,
            "input 'features' has no shape",
        ),
    ],
)
async def test_names_the_tensor_that_cannot_be_served(
    inputs: list[ValueInfoProto] | None,
    outputs: list[ValueInfoProto] | None,
    text: str,
    tmp_path: Path,
) -> None:
    source = save(make_model(inputs, outputs), tmp_path / "m.onnx")
    with pytest.raises(ModelError, match=text):
        await derive(source, tmp_path / "model")
    assert not (tmp_path / "model").exists()


async def test_every_tensor_that_cannot_be_served_is_named(tmp_path: Path) -> None:
    inputs = [tensor("features", TensorProto.FLOAT, None), tensor("c", TensorProto.COMPLEX64, [1])]
    sequence = helper.make_tensor_sequence_value_info("scores", TensorProto.FLOAT, None)
    with pytest.raises(ModelError) as error:
        await derive(save(make_model(inputs, [sequence]), tmp_path / "m.onnx"), tmp_path / "model")
    assert [problem.split("'")[1] for problem in error.value.problems] == [
        "features",
        "c",
        "scores",
    ]


async def test_refuses_operators_that_onnxruntime_does_not_have(tmp_path: Path) -> None:
    # GIVEN an operator of somebody's own, one that the model defines, and one of onnxruntime's
    model = make_model()
    model.graph.node.extend(
        [
            helper.make_node("Mine", ["features"], ["a"], domain="shop"),
            helper.make_node("Mine", ["features"], ["b"], domain="shop"),
            helper.make_node("Known", ["features"], ["c"], domain="local"),
            helper.make_node("Gelu", ["features"], ["d"], domain="com.microsoft"),
        ]
    )
    body = [helper.make_node("Neg", ["x"], ["y"])]
    opsets = [helper.make_opsetid("", 17)]
    model.functions.append(helper.make_function("local", "Known", ["x"], ["y"], body, opsets))
    model.opset_import.extend(
        helper.make_opsetid(domain, 1) for domain in ("shop", "local", "com.microsoft")
    )
    # WHEN it is packaged THEN only the first is refused, once
    with pytest.raises(
        ModelError, match=r"^operator shop:Mine is not part of onnxruntime[^;]*;[^;]*$"
    ):
        await derive(save(model, tmp_path / "m.onnx"), tmp_path / "model")


@pytest.mark.parametrize("data", [b"", b"not a model at all\n", b"\x00\x01\x02", b"{}"])
async def test_refuses_a_file_that_is_no_model(data: bytes, tmp_path: Path) -> None:
    source = tmp_path / "notes.onnx"
    source.write_bytes(data)
    with pytest.raises(ModelError, match=r"notes\.onnx is not an ONNX model"):
        await derive(source, tmp_path / "model")


async def test_refuses_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"absent\.onnx cannot be read: No such file"):
        await derive(tmp_path / "absent.onnx", tmp_path / "model")


async def test_external_data_is_listed_and_copied(tmp_path: Path) -> None:
    # GIVEN a model with data in a file beside it, and in one that a nested graph needs
    inner = helper.make_graph(
        [helper.make_node("Identity", ["deep"], ["y"])],
        "inner",
        [],
        [tensor("y", TensorProto.FLOAT, [2])],
        [outside("deep", "parts/deep.bin")],
    )
    model = make_model(weights=[outside("near", "near.bin")])
    flag = helper.make_tensor("flag", TensorProto.BOOL, [], [True])
    model.graph.initializer.append(flag)
    branches = {"then_branch": inner, "else_branch": inner}
    model.graph.node.append(helper.make_node("If", ["flag"], ["unused"], **branches))
    source = save(model, tmp_path / "m.onnx")
    for name, data in (("near.bin", b"n" * 8), ("parts/deep.bin", b"d" * 8)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    # WHEN it is packaged
    contract = await derive(source, tmp_path / "model")
    # THEN both files are in the layer, under the names that the graph knows, with their digests
    assert contract["files"] == {
        name: hashlib.sha256((tmp_path / "model" / name).read_bytes()).hexdigest()
        for name in ("model.onnx", "near.bin", "parts/deep.bin")
    }


@pytest.mark.parametrize(
    ("location", "text"),
    [
        ("/etc/hostname", "must stay in the model's folder"),
        ("../secret.bin", "must stay in the model's folder"),
        ("a/../../secret.bin", "must stay in the model's folder"),
        ("", "must stay in the model's folder"),
        ("absent.bin", "is not next to the model"),
        ("folder", "is not next to the model"),
        ("link.bin", "links are not followed"),
        ("linked/secret.bin", "links are not followed"),
        ("model.json", "the name is reserved"),
    ],
)
async def test_external_data_stays_in_the_folder(location: str, text: str, tmp_path: Path) -> None:
    # GIVEN a folder with a model, links that lead out of it, and a file that is not its own
    (tmp_path / "secret.bin").write_bytes(b"secret")
    home = tmp_path / "home"
    (home / "folder").mkdir(parents=True)
    (home / "model.json").write_text("{}")
    (home / "link.bin").symlink_to(tmp_path / "secret.bin")
    (home / "linked").symlink_to(tmp_path)
    source = save(make_model(weights=[outside("w", location)]), home / "m.onnx")
    # WHEN the model names such a file THEN it is refused
    with pytest.raises(ModelError, match=text):
        await derive(source, tmp_path / "model")


async def test_packaging_replaces_what_was_there_even_its_own_source(tmp_path: Path) -> None:
    # GIVEN a package of another model
    directory = tmp_path / "model"
    save(make_model(), directory / "model.onnx")
    (directory / "stale.bin").write_bytes(b"stale")
    # WHEN the model in it is packaged again into the same folder
    await derive(directory / "model.onnx", directory)
    # THEN nothing but the model and its contract is left
    assert sorted(path.name for path in directory.iterdir()) == ["model.json", "model.onnx"]
    assert (directory / "model.onnx").read_bytes() == make_model().SerializeToString()
