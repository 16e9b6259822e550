"""The API against its own OpenAPI description: generated requests, valid and hostile."""

import subprocess
import sys
from pathlib import Path

from tests.local_run import LocalRun

SCHEMATHESIS = Path(sys.executable).with_name("st")
CONFIG = Path(__file__).with_name("schemathesis.toml")


def test_generated_requests_get_what_the_description_says(
    local_run: LocalRun, tmp_path: Path
) -> None:
    found = subprocess.run(
        [
            *(SCHEMATHESIS, "--config-file", CONFIG, "run", f"{local_run.url}/openapi.json"),
            *("--max-examples", "30", "--generation-deterministic", "--no-color"),
            *("--rate-limit", "90/s"),  # the stage lets 100 through, as the template says
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert found.returncode == 0, found.stdout
