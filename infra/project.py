"""A project: the folder above the user's that holds its two files, and what is where in it."""

import os
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from infra.errors import OperatorError

LOCAL_STACK = "serverless-onnx"  # the stack of a local run
MARKS = ("template.yaml", "samconfig.toml")


class ProjectError(OperatorError):
    """Raised when there is no project, or its samconfig.toml does not say what is needed."""


@dataclass(frozen=True)
class Project:
    """A project's folder. The paths in it are relative if `root` is."""

    root: Path

    @classmethod
    def find(cls, start: Path) -> Self:
        """Find the project of the folder `start`, an absolute path: that folder, or one above.

        Its root is relative to `start`, where the command was typed: a path that a message names
        can then be pasted there. Raises ProjectError.
        """
        for folder in (start, *start.parents):
            if all((folder / name).is_file() for name in MARKS):
                return cls(Path(os.path.relpath(folder, start)))
        raise ProjectError(
            f"{start} is in no project: neither it nor a folder above holds {' and '.join(MARKS)}; "
            "go to your project first: `cd path/to/your-project`"
        )

    # What a person writes.

    @property
    def template(self) -> Path:
        """The stack's template."""
        return self.root / "template.yaml"

    @property
    def nested_template(self) -> Path:
        """The template of the stack that the stack's template nests."""
        return self.root / "infra" / "stacks" / "monitoring.yaml"

    @property
    def samconfig(self) -> Path:
        """The settings of SAM CLI, by environment."""
        return self.root / "samconfig.toml"

    @property
    def functions(self) -> Path:
        """The folder with the code of every function."""
        return self.root / "functions"

    @property
    def layers(self) -> Path:
        """The folder with the sources of every layer."""
        return self.root / "layers"

    @property
    def runtime_requirements(self) -> Path:
        """The locked packages of the runtime layer."""
        return self.layers / "runtime" / "requirements.txt"

    @property
    def model_layer(self) -> Path:
        """The layer with the model that is built and deployed."""
        return self.layers / "model"

    # What `sam build` makes.

    @property
    def build(self) -> Path:
        """The folder that `sam build` fills."""
        return self.root / ".aws-sam" / "build"

    # What the commands make.

    @property
    def scratch(self) -> Path:
        """The folder with all that the commands make."""
        return self.root / "build"

    @property
    def build_lock(self) -> Path:
        """The lock of who writes or copies the build; the Makefile takes it, too."""
        return self.scratch / ".lock"

    @property
    def build_log(self) -> Path:
        """What `sam build` printed last."""
        return self.scratch / "sam-build.log"

    @property
    def managed_runtime(self) -> Path:
        """The folder with the managed runtime's stand-ins."""
        return self.scratch / "managed-runtime"

    @property
    def local_run(self) -> Path:
        """The folder of the local runs, by port."""
        return self.scratch / "local"

    @property
    def local_model_layer(self) -> Path:
        """The layer with the model that a local run serves instead of the built one."""
        return self.scratch / "model"

    @property
    def rehearsal(self) -> Path:
        """The folder of a rehearsal, with its logs."""
        return self.scratch / "rehearsal"

    @property
    def rehearsal_page(self) -> Path:
        """The page of a rehearsal."""
        return self.scratch / "rehearsal.html"

    @property
    def simulation_page(self) -> Path:
        """The page of a simulation."""
        return self.scratch / "simulation.html"

    @property
    def dashboard_page(self) -> Path:
        """The page of the stack's dashboard."""
        return self.scratch / "dashboard.html"

    @property
    def bench(self) -> Path:
        """What `make bench` measured."""
        return self.scratch / "bench.json"

    # What samconfig.toml says.

    def read_stack_name(self, env: str) -> str:
        """Return the name of an environment's stack; raise ProjectError if there is none."""
        try:
            return str(self._read_settings(env)["stack_name"])
        except (OSError, ValueError, KeyError) as error:
            raise ProjectError(
                f"{self.samconfig} names no stack for {env}: give one with --stack-name"
            ) from error

    def read_region(self, env: str) -> str | None:
        """Return the Region of an environment, None if samconfig.toml sets none."""
        try:
            region = self._read_settings(env).get("region")
        except (OSError, ValueError, KeyError):
            return None
        return str(region) if region else None

    def read_parameter_overrides(self, env: str) -> dict[str, str]:
        """Return the stack's parameters as an environment sets them; raise ProjectError."""
        from click import ClickException
        from samcli.cli.types import CfnParameterOverridesType

        try:
            given = self._read_settings(env).get("parameter_overrides", [])
            return dict(CfnParameterOverridesType().convert(given, None, None))
        except KeyError as error:
            known = [name for name, one in self._read_samconfig().items() if isinstance(one, dict)]
            offers = " or ".join(f"`infra deploy --env {name}`" for name in known)
            raise ProjectError(f"{self.samconfig} has no environment {env}: {offers}") from error
        except (OSError, ValueError, ClickException) as error:
            raise ProjectError(
                f"{self.samconfig} cannot be read: {error} (`sam validate` reads it, too)"
            ) from error

    def _read_settings(self, env: str) -> dict[str, Any]:
        """Return what `sam deploy` takes of an environment.

        Raises OSError, ValueError, or KeyError if there is no such environment.
        """
        environment = self._read_samconfig()[env]
        return {
            **environment.get("global", {}).get("parameters", {}),
            **environment.get("deploy", {}).get("parameters", {}),
        }

    def _read_samconfig(self) -> dict[str, Any]:
        return tomllib.loads(self.samconfig.read_text("utf-8"))
