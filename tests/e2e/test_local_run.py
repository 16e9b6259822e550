"""What a stranger does with a fresh checkout, on the files that `sam deploy` would send."""

import json
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from infra.local.errors import FunctionError
from infra.local.functions import managed_runtime
from infra.local.platform import serve
from infra.local.stack import read_stack
from tests import local_aws
from tests.curl import send
from tests.local_run import LocalRun
from tests.sam_template import PROJECT

ROOT = Path(__file__).parents[2]
MANIFEST = json.loads((ROOT / "layers/model/model.json").read_text("utf-8"))
MODEL = f"/v2/models/{MANIFEST['name']}"


def test_the_curl_that_the_ready_line_offers_works(local_run: LocalRun) -> None:
    answer = send(local_run.curl, local_run.url, local_run.checkout)

    assert answer.status_code == 200
    outputs = [(output["name"], output["datatype"]) for output in answer.json()["outputs"]]
    assert outputs == [(output["name"], output["datatype"]) for output in MANIFEST["outputs"]]


def test_metadata_shows_which_model_and_which_version_answer(local_run: LocalRun) -> None:
    metadata = httpx.get(f"{local_run.url}{MODEL}").json()

    assert metadata["properties"]["sha256"] == MANIFEST["files"]["model.onnx"]
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
    assert httpx.post(f"{local_run.url}{MODEL}/infer", content="{}").status_code == 400

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
            stack.with_function(function),
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
