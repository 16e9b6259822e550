"""The request of the benchmark, which is a golden request of the model, and its answer."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from infra.local.triggers.event import to_response
from infra.model.example import make_request
from infra.model.trial.open_inference import make_event


class AnswerError(Exception):
    """Raised when an answer is not the golden one."""


@dataclass(frozen=True)
class Sample:
    """An Open Inference request in JSON, and the outputs that must be its answer."""

    path: str
    body: bytes
    golden: Mapping[str, Any]

    def event(self) -> bytes:
        """Return the event that the HTTP API makes of the request."""
        return make_event(self.path, {"content-type": "application/json"}, self.body)

    def check_payload(self, payload: bytes) -> None:
        """Raise AnswerError unless a handler returned the golden outputs."""
        response = to_response(payload)
        self.check(response.status, response.body)

    def check(self, status: int, body: bytes) -> None:
        """Raise AnswerError unless a response holds the golden outputs."""
        try:
            outputs = {tensor["name"]: tensor for tensor in json.loads(body)["outputs"]}
            for name, expected in self.golden["outputs"].items():
                found = np.reshape(outputs[name]["data"], outputs[name]["shape"])
                relative, absolute = (
                    self.golden[f"{kind}_tolerance"] for kind in ("relative", "absolute")
                )
                np.testing.assert_allclose(found, expected, relative, absolute)
        except (AssertionError, KeyError, TypeError, ValueError) as error:
            text = body[:200].decode(errors="replace")
            raise AnswerError(f"status {status}, not the golden answer: {text}") from error


def read_sample(model: Path) -> Sample:
    """Read the first golden sample of the model in the folder `model`."""
    manifest = json.loads((model / "model.json").read_text())
    if not manifest["golden"]:
        raise AnswerError(f"{model}/model.json has no golden sample to measure with")
    golden = manifest["golden"][0]
    request = make_request(manifest, golden["inputs"])
    return Sample(
        path=f"/v2/models/{manifest['name']}/infer",
        body=json.dumps(request).encode(),
        golden=golden,
    )
