"""What a local run prints when it is ready: where everything is, and commands to copy."""

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from infra.build import MODEL
from infra.model.example import make_example_request
from infra.terminal import Terminal

if TYPE_CHECKING:
    from infra.local.platform import Platform
    from infra.local.stack import BuiltStack

SHOWN_REQUEST = 2_000  # characters of JSON that a person still copies from a terminal


def announce(console: Terminal, stack: "BuiltStack", directory: Path, local: "Platform") -> None:
    """Print where everything is, and commands to copy."""
    layers = stack.function.layers
    [contract] = [layer / MODEL for layer in layers if (layer / MODEL).exists()]
    manifest = json.loads(contract.read_text())
    body = json.dumps(make_example_request(manifest))
    if len(body) > SHOWN_REQUEST:
        file = directory / "request.json"
        file.write_text(body)
        body = f"@{file}"
    infer = f"{local.url}/v2/models/{manifest['name']}/infer"
    variables = " ".join(f"{key}={value}" for key, value in local.cloud.variables().items())
    console.print_lines(
        f"Ready: {manifest['name']} on {local.url} (Ctrl-C stops it)",
        f"  logs: {directory}/logs",
        "For boto3, the AWS CLI and `infra` in another terminal:",
        f"  export {variables}",
        "Try it:",
        f"  curl {infer} -H 'Content-Type: application/json' -d {shlex.quote(body)}",
    )
