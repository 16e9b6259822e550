"""A stranger serves a model of their own: `infra model add`, the layer's build, the local run."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np
import onnx
import onnxruntime
import pytest

from infra.local.functions import managed_runtime
from infra.local.platform import serve
from infra.local.stack import read_stack
from tests.onnx_models import linear_classifier
from tests.sam_template import PROJECT

ROOT = Path(__file__).parents[2]
FEATURES = "sepal_length,sepal_width,petal_length,petal_width"


def infra(*arguments: str | Path) -> str:
    command = [ROOT / ".venv/bin/infra", "model", *arguments]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT).stdout


def build(layer: Path, artifacts: Path) -> None:
    environment = os.environ | {"ARTIFACTS_DIR": str(artifacts)}
    subprocess.run([sys.executable, "build.py"], check=True, cwd=layer, env=environment)


@pytest.fixture
def samples(tmp_path: Path) -> Path:
    rows = np.random.default_rng(0).random((60, 4), np.float32).round(2) * 5
    lines = [FEATURES, *(",".join(map(str, row)) for row in rows)]
    (tmp_path / "flowers.csv").write_text("\n".join(lines))
    return tmp_path / "flowers.csv"


def export(folder: Path, *, external: bool) -> Path:
    """Save a classifier as skl2onnx does, its ZipMap included, or with its weights in a file."""
    folder.mkdir()
    model = linear_classifier()
    if external:
        weights = np.random.default_rng(1).random((4, 4), np.float32)
        model.graph.initializer.append(onnx.numpy_helper.from_array(weights, "rotation"))
        model.graph.node.insert(0, onnx.helper.make_node("MatMul", ["X", "rotation"], ["rotated"]))
        model.graph.node[1].input[0] = "rotated"
    onnx.save(
        model,
        folder / "iris.onnx",
        save_as_external_data=external,
        location="iris.bin",
        size_threshold=0,
    )
    return folder / "iris.onnx"


@pytest.mark.parametrize("external", [False, True])
async def test_an_exported_model_is_served_with_the_numbers_it_was_exported_with(
    external: bool, samples: Path, tmp_path: Path
) -> None:
    # GIVEN a model that a library exported, and the layer of the example
    source, layer = export(tmp_path / "export", external=external), tmp_path / "layer"
    shutil.copytree(ROOT / "layers/model", layer)
    # WHEN it is checked, added and built
    options = ["--samples", str(samples), "--features", FEATURES]
    assert "iris.onnx can be served" in infra("check", source, *options)
    infra("add", source, "--to", layer, *options)
    built = tmp_path / "ModelLayer"
    build(layer, built)
    # THEN the layer holds the model and its contract, and nothing of the example
    files = {"model.json", "model.onnx"} | ({"iris.bin"} if external else set())
    assert {path.name for path in (built / "model").iterdir()} == files

    # WHEN the local run serves it
    stack = read_stack(ROOT / ".aws-sam/build", "serverless-onnx", "eu-west-1")
    runtime, _ = stack.function.layers
    function = replace(stack.function, layers=(runtime, built))
    rows = np.loadtxt(samples, np.float32, delimiter=",", skiprows=1)
    csv = await asyncio.to_thread(samples.read_bytes)
    async with (
        serve(
            stack.with_function(function),
            python=await managed_runtime.prepare(PROJECT.managed_runtime),
            directory=tmp_path / "run",
        ) as local,
        httpx.AsyncClient(base_url=local.url) as client,
    ):
        tensor = {"name": "X", "datatype": "FP32", "shape": list(rows.shape)}
        request = {"inputs": [tensor | {"data": rows.ravel().tolist()}]}
        answer = (await client.post("/v2/models/iris/infer", json=request)).json()
        metadata = (await client.get("/v2/models/iris")).json()
        headers = {"Content-Type": "text/csv"}
        predictions = await client.post("/invocations", content=csv, headers=headers)

    # THEN every number is what the exported file itself answers
    labels, maps = onnxruntime.InferenceSession(source).run(None, {"X": rows})
    found_labels, found_table = (output["data"] for output in answer["outputs"])
    assert found_labels == labels.tolist()
    assert found_table == [value for row in maps for value in row.values()]
    contract = json.loads((layer / "model.json").read_text())
    assert metadata["properties"]["sha256"] == contract["files"]["model.onnx"]
    # AND its features are the columns of the scoring protocol
    assert predictions.status_code == 200
    assert len(predictions.json()["predictions"]) == len(rows)
