"""An account of AWS: SAM CLI changes its stacks."""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from subprocess import Popen
from typing import TYPE_CHECKING

from infra.account.account import Report, StackChange
from infra.account.errors import AccountError
from infra.project import Project

if TYPE_CHECKING:
    import boto3


@dataclass(frozen=True)
class SamDeploy:
    """A running `sam deploy`, which prints its own progress."""

    process: Popen[bytes]

    def follow(self, _report: Report, _news: Iterator[str]) -> int:
        """Wait for its end and return its exit status."""
        return self.wait()

    def wait(self) -> int:
        """Wait for its exit status; kill it if the wait is interrupted."""
        with self.process:
            try:
                return self.process.wait()
            except BaseException:
                self.process.kill()
                raise


@dataclass(frozen=True)
class AwsAccount:
    """An account of AWS and what samconfig.toml sets for an environment."""

    project: Project
    env: str
    session: "boto3.Session"
    unreachable: str = ""
    absent: str = "deploy it, or name another with --stack-name"

    def name_stack(self) -> str:
        """Return the environment's stack; raise ProjectError if samconfig.toml names none."""
        return self.project.read_stack_name(self.env)

    def read_parameters(self) -> Mapping[str, str]:
        """Return the parameters that samconfig.toml sets; raise ProjectError."""
        return self.project.read_parameter_overrides(self.env)

    def upload(self, change: StackChange, report: Report) -> None:
        """Let SAM CLI upload all and plan the change, which the deploy itself then finds done."""
        report("Uploading, while nothing changes yet:")
        arguments = [*self.list_arguments(change), "--no-execute-changeset"]
        if self._start(arguments, change).wait():
            raise AccountError(
                "nothing was changed: what SAM CLI says is above; then `infra deploy --resync`"
            )

    def apply(self, change: StackChange) -> SamDeploy:
        """Start `sam deploy`."""
        return self._start(self.list_arguments(change), change)

    def list_arguments(self, change: StackChange) -> list[str]:
        """Return the arguments of `sam deploy`.

        Every parameter that samconfig.toml sets is named again: --parameter-overrides replaces the
        whole list in samconfig.toml.
        """
        given = [f'{key}="{value}"' for key, value in change.parameters.items()]
        return [
            *("--config-env", self.env, "--stack-name", change.stack),
            *("--region", str(self.session.region_name)),
            *(("--parameter-overrides", *given) if given else ()),
            *(() if change.asks else ("--no-confirm-changeset",)),
        ]

    def _start(self, arguments: list[str], change: StackChange) -> SamDeploy:
        return SamDeploy(
            Popen(
                [sys.executable, "-m", "samcli", "deploy", *arguments],
                cwd=self.project.root,
                stdout=sys.stderr if change.quiet else None,
            )
        )
