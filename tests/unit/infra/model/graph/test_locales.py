"""Text models: the same letters on every machine, with or without the locale that they name."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import ModelProto, TensorProto, helper

from infra.model.errors import ModelError
from infra.model.graph.graph import read_graph
from infra.model.layer import derive
from tests.onnx_models import normalizer

STOP = {"stopwords": ["A"]}
TEXTS = ["Élan", "ÇA", "Ärger", "ΣΊΓΜΑ", "ЖУК", "I", "ß"]


def save(model: ModelProto, path: Path) -> Path:
    path.write_bytes(model.SerializeToString())
    return path


def normalize(model: Path, texts: list[str]) -> list[str]:
    session = onnxruntime.InferenceSession(model)
    answer: list[str] = session.run(None, {"x": np.array(texts, object)})[0].tolist()
    return answer


@pytest.mark.parametrize(
    ("attributes", "asked"),
    [
        ({}, "the locale en_US.UTF-8"),
        ({"locale": "en_US"}, "the locale en_US"),
        ({"locale": "de_DE.UTF-8", "case_change_action": "UPPER"}, "the locale de_DE.UTF-8"),
        ({"locale": ""}, "the machine's own locale"),
        ({"case_change_action": "NONE"} | STOP, "the locale en_US.UTF-8"),
    ],
)
async def test_a_locale_that_lambda_may_not_have_is_replaced(
    attributes: dict[str, Any], asked: str, tmp_path: Path
) -> None:
    # GIVEN a model that changes case by a locale of its exporter's machine
    source = save(normalizer(**attributes), tmp_path / "m.onnx")
    # WHEN it is packaged
    await derive(source, tmp_path / "model")
    # THEN onnxruntime loads it here, where there may be no such locale
    [node] = onnx.load(tmp_path / "model/model.onnx").graph.node
    found = {one.name: helper.get_attribute_value(one) for one in node.attribute}
    assert found["locale"] == b"C.UTF-8"
    assert normalize(tmp_path / "model/model.onnx", ["a", "b"])
    # AND it is said
    [change] = (await read_graph(source)).changes
    assert change.startswith(f"StringNormalizer asks for {asked}, which Lambda may not have: ")


async def test_letters_of_all_scripts_change_their_case_as_python_changes_it(
    tmp_path: Path,
) -> None:
    await derive(save(normalizer(), tmp_path / "m.onnx"), tmp_path / "model")
    found = normalize(tmp_path / "model/model.onnx", TEXTS)
    assert found == ["élan", "ça", "ärger", "σίγμα", "жук", "i", "ß"]


@pytest.mark.parametrize(
    "attributes",
    [
        {"case_change_action": "NONE"},
        {"case_change_action": "NONE", "is_case_sensitive": 1} | STOP,
        {"locale": "C"},
        {"locale": "POSIX"},
        {"locale": "C.UTF-8"},
    ],
)
async def test_a_model_that_is_the_same_everywhere_stays_as_it_is(
    attributes: dict[str, Any], tmp_path: Path
) -> None:
    source = save(normalizer(**attributes), tmp_path / "m.onnx")
    await derive(source, tmp_path / "model")
    assert (tmp_path / "model/model.onnx").read_bytes() == source.read_bytes()
    assert (await read_graph(source)).changes == ()
    assert normalize(tmp_path / "model/model.onnx", ["a"])


@pytest.mark.parametrize("locale", ["tr_TR.UTF-8", "az_AZ"])
async def test_a_locale_with_other_letters_is_refused(locale: str, tmp_path: Path) -> None:
    source = save(normalizer(locale=locale), tmp_path / "m.onnx")
    with pytest.raises(ModelError, match=f"asks for the locale {locale}, which Lambda does not"):
        await derive(source, tmp_path / "model")


async def test_nested_graphs_and_functions_are_looked_through(tmp_path: Path) -> None:
    # GIVEN a normalizer in a branch, and one in a function that its caller tells the locale
    [inner] = normalizer().graph.node
    inner.input[0], inner.output[0] = "x", "inner"
    value = helper.make_tensor_value_info("inner", TensorProto.STRING, [None])
    branch = helper.make_graph([inner], "branch", [], [value])
    body = helper.make_node("StringNormalizer", ["a"], ["b"], case_change_action="UPPER")
    body.attribute.append(helper.make_attribute_ref("locale", onnx.AttributeProto.STRING))
    opsets = [helper.make_opsetid("", 17)]
    upper = helper.make_function("own", "Upper", ["a"], ["b"], [body], opsets, ["locale"])
    model = normalizer()
    yes = helper.make_tensor("yes", TensorProto.BOOL, [], [True])
    model.graph.initializer.append(yes)
    del model.graph.node[:]
    model.graph.node.extend(
        [
            helper.make_node("If", ["yes"], ["z"], then_branch=branch, else_branch=branch),
            helper.make_node("Upper", ["z"], ["y"], domain="own", locale="xx_XX"),
        ]
    )
    model.functions.append(upper)
    model.opset_import.append(helper.make_opsetid("own", 1))
    # WHEN it is packaged THEN onnxruntime runs both
    await derive(save(model, tmp_path / "m.onnx"), tmp_path / "model")
    assert normalize(tmp_path / "model/model.onnx", ["Éa"]) == ["ÉA"]
