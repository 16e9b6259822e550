"""The hook of a deployment: a function that tries a version, and says whether it may have traffic.

Source: docs.aws.amazon.com/codedeploy/latest/userguide/reference-appspec-file-structure-hooks.html.
"""

import asyncio
import contextlib
import json
import uuid
from collections.abc import Mapping
from typing import Any

from infra.local.errors import FunctionError
from infra.local.functions.invoker import Invoker, Target


class Hook:
    """Invokes a function once for a deployment; its report names this invocation's `id`."""

    def __init__(self, function: str, deployment_id: str, invoker: Invoker) -> None:
        self.id = str(uuid.uuid4())
        self.function = function
        self.status = ""  # that of its report
        self._deployment_id = deployment_id
        self._invoker = invoker
        self._invocation: asyncio.Future[bytes] | None = None

    async def start(self) -> None:
        """Invoke the function; it ends by itself, also when nobody waits for it any more."""
        event = {
            "DeploymentId": self._deployment_id,
            "LifecycleEventHookExecutionId": self.id,
        }
        running = self._invoker.invoke(Target(self.function), json.dumps(event).encode())
        self._invocation = asyncio.ensure_future(running)
        self._invocation.add_done_callback(lambda done: done.cancelled() or done.exception())

    def report(self, status: str) -> None:
        """Take its report; the first one counts."""
        self.status = self.status or status

    @property
    def invocation(self) -> asyncio.Future[bytes]:
        """The invocation, which ends after its report: it still says why."""
        assert self._invocation is not None  # noqa: S101 it has started
        return self._invocation

    def read_answer(self) -> Mapping[str, Any]:
        """Return what it said of the version; the `reason` is that of its failure if it failed."""
        if error := self.invocation.exception():
            return {"reason": error.text if isinstance(error, FunctionError) else str(error)}
        with contextlib.suppress(ValueError):
            if isinstance(answer := json.loads(self.invocation.result()), dict):
                return answer
        return {}
