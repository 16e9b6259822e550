"""What a stranger does with a fresh checkout, on the files that `sam deploy` would send."""

import csv
import json
import re
import shlex
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import onnxruntime
import pytest

from infra.local.errors import FunctionError
from infra.local.functions import managed_runtime
from infra.local.platform import serve
from infra.local.stack import read_stack
from tests import local_aws
from tests.example_model import needs_example
from tests.local_run import LocalRun
from tests.sam_template import PROJECT

pytestmark = needs_example


ROOT = Path(__file__).parents[2]
INFER = "/v2/models/purchase-propensity/infer"


def send(curl: str, url: str) -> httpx.Response:
    """Do what a curl command says, but to the API at `url`."""
    address, *options = shlex.split(curl)[1:]
    values = dict(zip(options[::2], options[1::2], strict=True))
    name, _, content_type = values["-H"].partition(": ")
    path = "/" + address.split("/", 3)[3]
    return httpx.post(
        url + path,
        content=values.get("-d") or values["--data-binary"],
        headers={name: content_type},
    )


def test_every_curl_of_the_readme_gets_the_answer_of_the_readme(local_run: LocalRun) -> None:
    readme = (ROOT / "README.md").read_text()
    shown = re.findall(
        r"```sh\n(curl http://127\.0\.0\.1.*?)```\s*```json\n(.*?)\n```", readme, re.DOTALL
    )

    for curl, expected in shown:
        answer = send(curl, local_run.url)

        assert answer.status_code == 200
        assert answer.text == expected
    assert len(shown) == 2


def test_the_curl_that_the_ready_line_offers_works(local_run: LocalRun) -> None:
    answer = send(local_run.curl, local_run.url)

    assert answer.status_code == 200
    assert answer.json()["outputs"][1]["shape"] == [1, 2]


def test_real_customers_get_what_onnxruntime_itself_answers(local_run: LocalRun) -> None:
    # GIVEN customers that the model has not been trained on
    with (ROOT / "tests/events/customers.csv").open() as file:
        customers = np.array(
            [[float(value) for value in list(row.values())[:4]] for row in csv.DictReader(file)],
            np.float32,
        )
    session = onnxruntime.InferenceSession(ROOT / "layers/model/model.onnx")
    labels, probabilities = session.run(None, {"features": customers})

    # WHEN the API is asked about all of them
    tensor = {"name": "features", "datatype": "FP32", "shape": list(customers.shape)}
    request = {"inputs": [tensor | {"data": customers.tolist()}]}
    outputs = httpx.post(local_run.url + INFER, json=request).json()["outputs"]

    # THEN every number is the same
    assert len(customers) >= 50
    assert outputs[0]["data"] == labels.tolist()
    assert outputs[1]["data"] == probabilities.ravel().tolist()


def test_metadata_tells_which_model_and_which_version_answer(local_run: LocalRun) -> None:
    metadata = httpx.get(f"{local_run.url}/v2/models/purchase-propensity").json()

    manifest = json.loads((ROOT / "layers/model/model.json").read_text())
    assert metadata["properties"]["sha256"] == manifest["files"]["model.onnx"]
    assert metadata["properties"]["function_version"] == "1"


def test_requests_are_counted_in_cloudwatch_by_version(local_run: LocalRun) -> None:
    # GIVEN an alarm's view of the new version
    dimensions: list[Any] = [
        {"Name": "service", "Value": "serverless-onnx"},
        {"Name": "function_version", "Value": "1"},
    ]
    cloudwatch = local_aws.connect(local_run.variables, "cloudwatch")

    def count(metric: str) -> float:
        now = datetime.now(UTC)
        statistics: Any = cloudwatch.get_metric_statistics(
            Namespace="ServerlessOnnx",
            MetricName=metric,
            Dimensions=dimensions,
            StartTime=now - timedelta(hours=1),
            EndTime=now + timedelta(minutes=1),
            Period=60,
            Statistics=["Sum"],
        )
        return float(sum(point["Sum"] for point in statistics["Datapoints"]))

    # WHEN one more request is wrong
    before = count("ClientErrors")
    assert httpx.post(local_run.url + INFER, content="{}").status_code == 400

    # THEN it is there as soon as the local run has brought its metrics in
    deadline = time.monotonic() + 30
    while count("ClientErrors") == before and time.monotonic() < deadline:
        time.sleep(0.2)
    assert count("ClientErrors") == before + 1


async def test_a_package_that_is_missing_from_the_layer_fails_as_on_lambda(tmp_path: Path) -> None:
    # GIVEN the built runtime layer without numpy, which this machine's Python does have
    stack = read_stack(ROOT / ".aws-sam/build", "serverless-onnx", "eu-west-1")
    runtime, model = stack.function.layers
    broken = tmp_path / "RuntimeLayer"
    _link_tree(runtime, broken, without="numpy")
    function = replace(stack.function, layers=(broken, model))

    # WHEN the function starts, THEN it reports what Lambda would
    with pytest.raises(
        FunctionError, match=r"Runtime\.ImportModuleError: Unable to import .*numpy"
    ):
        async with serve(
            replace(stack, function=function),
            python=await managed_runtime.prepare(PROJECT.managed_runtime),
            directory=tmp_path / "run",
        ):
            pass


def _link_tree(source: Path, target: Path, without: str) -> None:
    for path in source.rglob("*"):
        parts = path.relative_to(source).parts
        if path.is_file() and without not in parts:
            linked = target.joinpath(*parts)
            linked.parent.mkdir(parents=True, exist_ok=True)
            linked.hardlink_to(path)
