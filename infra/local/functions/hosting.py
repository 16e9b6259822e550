"""Where the account's functions run: each in a folder of its own, with what all of them share."""

import asyncio
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from infra.local.functions.logs import Logs
from infra.local.functions.runtime_api import RuntimeApi
from infra.local.functions.versions import HostedFunction
from infra.local.metrics import Metrics
from infra.local.stack import Function

HOOK_PREFIX = "CodeDeployHook_"


@dataclass
class Hosting:
    """Creates a HostedFunction for each function, in a folder of `directory`.

    `concurrency` is how often each function may run at one time, `variables` are those of every
    environment. `put_logs` gets a log group, a stream and lines with their times in ms, `on_error`
    a version or the name of another function, and a line that a person at a terminal wants to see.
    """

    directory: Path
    python: Path
    api: RuntimeApi
    metrics: Metrics
    concurrency: int
    variables: Mapping[str, str]
    put_logs: Callable[[str, str, list[tuple[int, str]]], None]
    on_error: Callable[[str, str], None]
    logs: list[Logs] = field(default_factory=list)

    def host(self, function: Function, *, is_main: bool) -> HostedFunction:
        """Create a function in a folder of its name; the main one's is `directory` itself."""
        folder, label = ("", "") if is_main else (function.name, _label(function.name))

        def put(stream: str, lines: list[tuple[int, str]]) -> None:
            self.put_logs(function.log_group, stream, lines)

        def report(version: str, line: str) -> None:
            self.on_error(label or version, line)

        self.logs.append(Logs(put))
        return HostedFunction(
            directory=self.directory / folder,
            python=self.python,
            api=self.api,
            metrics=self.metrics,
            logs=self.logs[-1],
            concurrency=self.concurrency,
            variables=self.variables,
            on_error=report,
        )

    async def clear(self, hosted: HostedFunction) -> None:
        """End a function's environments and remove its files, but not its logs."""
        await hosted.stop()
        await asyncio.to_thread(shutil.rmtree, hosted.files, ignore_errors=True)


def _label(name: str) -> str:
    """Return a short name of a function for a person: that of a hook is what it does."""
    return name.rpartition("_")[2] if name.startswith(HOOK_PREFIX) else name
