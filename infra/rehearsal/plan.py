"""What to rehearse, and the command that then releases it on AWS."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from infra.model.package import AddOptions


@dataclass(frozen=True)
class RehearsalPlan:
    """A candidate, the options it is packaged with, and the load and clock of its rehearsal."""

    source: Path
    options: AddOptions
    rate: float  # requests a second
    minute: float  # seconds that a minute of the release takes
    parameters: Mapping[str, str]  # of the template, other than its defaults


def format_release_command(plan: RehearsalPlan, name: str) -> str:
    """Return the shell command that releases the candidate on AWS, as the model `name`."""
    options = plan.options
    values = {
        "--name": name,
        "--version": options.version,
        "--samples": options.samples and str(options.samples),
        "--features": ",".join(options.features),
        "--labels": ",".join(options.labels),
        "--target": options.target,
    }
    given = [part for key, value in values.items() if value for part in (key, value)]
    given += ["--allow-worse"] if options.allow_worse else []
    given += ["--golden-synthetic"] if options.golden_synthetic else []
    pairs = plan.parameters.items()
    parameters = [part for key, value in pairs for part in ("--parameter", f"{key}={value}")]
    add = shlex.join(["infra", "model", "add", str(plan.source), *given])
    return f"{add} && sam build && {shlex.join(['infra', 'deploy', *parameters])}"
