"""What a cold start imports, by name: a guard that does not depend on the clock.

In the built layers and on the managed runtime's Python alone, as on Lambda.
"""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

BUILD = Path(__file__).parents[3] / ".aws-sam/build"
EXPECTED = Path(__file__).with_name("cold_imports.txt")

MODULES_OF_THE_FLOOR = """
import sys
import awslambdaric.bootstrap, awslambdaric.lambda_runtime_client
import numpy, onnxruntime
print("\\n".join(sys.modules))
"""
MODULES_OF_A_COLD_INFERENCE = """
import json, sys, types
import awslambdaric.bootstrap, awslambdaric.lambda_runtime_client
import api.handler
event = json.loads(sys.argv[1])
context = types.SimpleNamespace(
    function_name="f", memory_limit_in_mb=1769, invoked_function_arn="arn", aws_request_id="id")
assert api.handler.handler(event, context)["statusCode"] == 200
print("\\n".join(sys.modules))
"""


def infer_event() -> dict[str, Any]:
    """Make an event for the built model: its first golden sample, as JSON."""
    manifest = json.loads((BUILD / "ModelLayer/model/model.json").read_text())
    [tensor] = manifest["inputs"]
    data = manifest["golden"][0]["inputs"][tensor["name"]]
    shape = [len(data), *tensor["shape"][1:]]
    request = {"inputs": [{**tensor, "shape": shape, "data": data}]}
    path = f"/v2/models/{manifest['name']}/infer"
    return {
        "rawPath": path,
        "headers": {"content-type": "application/json"},
        "requestContext": {"stage": "$default", "http": {"method": "POST", "path": path}},
        "body": json.dumps(request),
        "isBase64Encoded": False,
    }


def run(python: Path, code: str, **variables: str) -> list[str]:
    """Run `code` in a process that sees the built function and layers; return what it prints."""
    process = subprocess.run(
        [python, "-B", "-P", "-c", code, json.dumps(infer_event())],
        env={
            "PATH": os.defpath,
            "PYTHONPATH": f"{BUILD}/InferenceFunction:{BUILD}/RuntimeLayer/python",
            "MODEL_DIR": f"{BUILD}/ModelLayer/model",
            "AWS_REGION": "eu-west-1",
            **variables,
        },
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return process.stdout.splitlines()


def test_a_cold_inference_imports_these_modules_and_no_others(managed_python: Path) -> None:
    # GIVEN what the runtime client, numpy and onnxruntime import by themselves
    floor = set(run(managed_python, MODULES_OF_THE_FLOOR))
    # WHEN the function starts and answers its first request
    printed = run(managed_python, MODULES_OF_A_COLD_INFERENCE)
    ours = {line for line in printed if not line.startswith("{")} - floor
    # THEN it has imported what it is known to need; each more would be paid for by every cold start
    expected = set(EXPECTED.read_text().split())
    assert ours - expected == set(), "imported, but not in cold_imports.txt"
    assert expected - ours == set(), "in cold_imports.txt, but not imported"


COPIES = 8
RESTORE_COPIES = f"""
import json, os, random, sys, types
import awslambdaric.bootstrap
from awslambdaric import lambda_runtime_hooks_runner as hooks
import api.handler, telemetry
context = types.SimpleNamespace(
    function_name="f", memory_limit_in_mb=1769, invoked_function_arn="arn", aws_request_id="id")
hooks.run_before_snapshot()
loaded = {{"fastapi", "mangum", "protocols.scoring"}} <= sys.modules.keys()
state = random.getstate()  # which a fork renews, but no restore
for _ in range({COPIES}):
    if os.fork() == 0:  # a copy of the initialised process, as an environment is of the snapshot
        random.setstate(state)
        if os.environ.get("RESTORE_HOOKS"):
            hooks.run_after_restore()
        answer = api.handler.handler(json.loads(sys.argv[1]), context)
        level = telemetry.logger.log_level
        print(json.dumps([answer["statusCode"], random.random(), level, loaded]))
        sys.stdout.flush()
        os._exit(0)
    os.wait()
"""


def restore(python: Path, **variables: str) -> tuple[list[Any], list[Any]]:
    """Return what each copy of a snapshot tells, and the metrics that it writes."""
    printed = run(
        python,
        RESTORE_COPIES,
        AWS_LAMBDA_INITIALIZATION_TYPE="snap-start",
        POWERTOOLS_LOGGER_SAMPLE_RATE="0.5",
        **variables,
    )
    told = [json.loads(line) for line in printed if line.startswith("[")]
    metrics = [json.loads(line) for line in printed if '"_aws"' in line]
    assert len(told) == len(metrics) == COPIES
    return told, metrics


def test_copies_of_a_snapshot_share_no_random_numbers(managed_python: Path) -> None:
    # WHEN environments are restored from one snapshot
    told, metrics = restore(managed_python, RESTORE_HOOKS="1")
    # THEN each answers, with every route loaded, and counts as a cold start that loaded no model
    assert {(status, loaded) for status, _, _, loaded in told} == {(200, True)}
    assert {(line["ColdStart"][0], "ModelLoadTime" in line) for line in metrics} == {(1, False)}
    # THEN each has random numbers of its own, and its own chance to log at DEBUG
    assert len({number for _, number, _, _ in told}) == COPIES


def test_without_the_hooks_copies_would_share_random_numbers(managed_python: Path) -> None:
    told, _ = restore(managed_python)
    assert len({number for _, number, _, _ in told}) == 1
