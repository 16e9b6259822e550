"""The gate in a process of its own, which cannot import one module.

Runs as a script, with JSON: the name of the `module`, a `folder` for two versions, the `fields` of
their model.json, and what CodeDeploy says of the deployment in `info`. The last line that it prints
is JSON as well: the gate's outcome, what CodeDeploy was given, and how many requests the versions
got.
"""

import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest

from tests.deployments import HOOK, WaitingDeployment, app_spec
from tests.lambda_versions import FUNCTION, Versions
from tests.onnx_models import logistic


def main(module: str, folder: Path, fields: dict[str, Any], info: dict[str, Any]) -> None:
    """Release version 2, which is like version 1."""
    monkeypatch = pytest.MonkeyPatch()
    versions = Versions(folder, monkeypatch)
    for _ in range(2):
        versions.publish(logistic(), **fields)
    deployment = WaitingDeployment({"revision": app_spec("1", "2")} | info)
    clients = {"lambda": versions, "codedeploy": deployment.connect()}
    monkeypatch.setattr(boto3, "client", lambda service, **_: clients[service])
    os.environ |= {
        "INFERENCE_VERSION": f"{FUNCTION}:2",
        "MODEL_DIR": str(folder / "2"),
        "MAX_SLOWDOWN": "1000",  # these versions share two processors with other tests
        "MAX_ANSWER_CHANGE": "10",
        "ALLOW_CONTRACT_CHANGE": "false",
    }
    # The versions have imported it, with the logger's package; the gate imports it anew.
    del sys.modules["telemetry"]
    sys.modules[module] = None  # type: ignore[assignment] # so that an import of it raises
    from gate import handler

    outcome = handler.handler(HOOK, SimpleNamespace(get_remaining_time_in_millis=lambda: 180_000))
    reports, requests = deployment.reports, len(versions.asked)
    json.dump({"outcome": outcome, "reports": reports, "requests": requests}, sys.stdout)


if __name__ == "__main__":
    arguments = json.loads(sys.argv[1])
    main(**arguments | {"folder": Path(arguments["folder"])})
