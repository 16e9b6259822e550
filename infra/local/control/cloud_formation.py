"""CloudFormation's part: which stacks there are, and one change of each at a time."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from infra.local.control.archives import Archives, archive
from infra.local.control.code_deploy import Progress, ReleaseEvent, ReleaseResult, plan
from infra.local.control.handlers import Handlers
from infra.local.control.lambda_resources import StuckError
from infra.local.control.live_stack import LiveStack, find_version
from infra.local.control.resource import Change
from infra.local.control.stack_record import Records
from infra.local.errors import UpdateError
from infra.local.stack import BuiltStack

type OnEvent = Callable[[ReleaseEvent], None]
type Addresses = Callable[[], Mapping[str, str]]


class CloudFormation:
    """Creates, updates and deletes stacks in `records`, where CloudFormation's API finds them.

    `addresses` returns the places on this machine in the place of URLs on AWS.
    """

    def __init__(self, records: Records, handlers: Handlers, addresses: Addresses) -> None:
        self._records = records
        self._handlers = handlers
        self._addresses = addresses
        self._stacks: dict[str, LiveStack] = {}
        self._busy: set[str] = set()
        self._updates: set[asyncio.Task[ReleaseResult]] = set()

    def __contains__(self, name: str) -> bool:
        """Return whether there is a stack of this name."""
        return name in self._stacks

    def find(self, name: str) -> LiveStack:
        """Return a stack by its name."""
        return self._stacks[name]

    def open(self, stack: BuiltStack, parent: BuiltStack | None = None) -> LiveStack:
        """Make room for a stack, or for one in another."""
        record = self._records.add(stack, parent)
        return LiveStack(stack, self._handlers, record, self._addresses)

    def close(self, live: LiveStack) -> None:
        """Let CloudFormation's API show no more of a stack than that it was deleted."""
        self._records.remove(live.record)

    async def create(self, stack: BuiltStack) -> None:
        """Create a stack with all that it holds.

        Raises TemplateError if the template has anything that the local platform does not support,
        and what stops the creation: then everything is taken back.
        """
        if stack.name in self._stacks:
            raise UpdateError(f"stack {stack.name} exists already")
        self._handlers.check(stack)
        archives = await asyncio.to_thread(archive, stack)
        live = self.open(stack)
        live.set_status("CREATE_IN_PROGRESS")
        try:
            await live.put(stack, archives, Change())
            await live.commit()
        except BaseException as error:
            await self._take_back(live, error)
            raise
        self._stacks[stack.name] = live
        live.set_status("CREATE_COMPLETE")

    async def _take_back(self, live: LiveStack, error: BaseException) -> None:
        """Delete what a failed creation made; if that fails too, the stack stays to be deleted."""
        try:
            await live.delete()
        except UpdateError as failure:
            self._stacks[live.stack.name] = live
            live.set_status("ROLLBACK_FAILED", f"{error}; {failure}")
        else:
            live.set_status("ROLLBACK_COMPLETE", str(error))
            self.close(live)

    async def delete(self, name: str) -> None:
        """Delete a stack, but for what its template retains.

        Raises UpdateError if a resource cannot be deleted; deleting the stack again goes on there.
        """
        with self._changing(name) as live:
            live.set_status("DELETE_IN_PROGRESS")
            try:
                await live.delete()
            except BaseException as error:
                live.set_status("DELETE_FAILED", str(error))
                raise
            live.set_status("DELETE_COMPLETE")
            del self._stacks[name]
            self.close(live)

    async def publish(self, stack: BuiltStack) -> str:
        """Publish a version with all that does not wait for an alias; the aliases stay."""
        archives = await asyncio.to_thread(archive, stack)
        change = Change()
        with self._changing(stack.name) as live:
            await live.prepare(stack, archives, change)
        return change.published[stack.function.name]

    async def release(self, stack: BuiltStack, on_event: OnEvent) -> ReleaseResult:
        """Update a stack, with a new version of its function even if nothing has changed.

        `on_event` gets each event of that version. Raises UpdateError if another update is under
        way, and what stops this one before an alias is to move.
        """
        change = Change({stack.function.name: Progress(on_event)})
        return await self._begin(stack, change, find_version(stack))

    async def update(self, stack: BuiltStack) -> None:
        """Begin what UpdateStack asks for; the files of `stack` may change when this returns.

        Raises UpdateError if another update is under way, or TemplateError.
        """
        is_copied = asyncio.Event()
        updating = self._begin(stack, Change(), on_fast=is_copied.set)
        copying = asyncio.ensure_future(is_copied.wait())
        await asyncio.wait({updating, copying}, return_when=asyncio.FIRST_COMPLETED)
        copying.cancel()
        if updating.done():
            await updating

    async def stop(self) -> None:
        """Leave updates where they are."""
        for updating in self._updates:
            updating.cancel()
        await asyncio.gather(*self._updates, return_exceptions=True)

    def _begin(
        self,
        stack: BuiltStack,
        change: Change,
        forced: str = "",
        on_fast: Callable[[], None] = lambda: None,
    ) -> "asyncio.Task[ReleaseResult]":
        if stack.name not in self._stacks:
            raise UpdateError(f"there is no stack {stack.name}")
        if stack.name in self._busy:
            raise UpdateError(f"a release of stack {stack.name} is in progress")
        self._busy.add(stack.name)
        update = Update(self._stacks[stack.name], stack, change, forced, on_fast)
        updating = asyncio.create_task(self._update(update, stack))
        self._updates.add(updating)
        updating.add_done_callback(self._updates.discard)
        updating.add_done_callback(lambda _: self._busy.discard(stack.name))
        return updating

    async def _update(self, update: "Update", stack: BuiltStack) -> ReleaseResult:
        """Run an update, unless its template or its files are such that it cannot even begin."""
        self._handlers.check(stack)
        for group in stack.resources("AWS::CodeDeploy::DeploymentGroup", "1").values():
            plan(group["DeploymentConfigName"])
        return await update.run(await asyncio.to_thread(archive, stack))

    @contextmanager
    def _changing(self, name: str) -> Iterator[LiveStack]:
        if name in self._busy:
            raise UpdateError(f"a release of stack {name} is in progress")
        self._busy.add(name)
        try:
            yield self._stacks[name]
        finally:
            self._busy.discard(name)


class Update:
    """One update of a stack, to its end or back to its beginning."""

    def __init__(
        self,
        live: LiveStack,
        stack: BuiltStack,
        change: Change,
        forced: str,
        on_fast: Callable[[], None],
    ) -> None:
        self._live = live
        self._stack = stack
        self._change = change
        self._forced = forced
        self._on_fast = on_fast
        self._is_fast_over = False

    async def run(self, archives: Archives) -> ReleaseResult:
        """Update the stack from the archives of its files; return what became of its function.

        Raises what stops the update before an alias was to move.
        """
        live, change = self._live, self._change
        live.begin()
        live.set_status("UPDATE_IN_PROGRESS")
        try:
            await live.put(self._stack, archives, change, forced=self._forced, on_fast=self._go_on)
            await live.commit()
        except asyncio.CancelledError:  # the platform stops
            raise
        except StuckError as error:
            live.set_status("UPDATE_ROLLBACK_FAILED", str(error))
            return self._conclude(error)
        except Exception as error:
            await self._go_back(error)
            if self._is_fast_over or isinstance(error, UpdateError):
                return self._conclude(error)
            raise
        live.set_status("UPDATE_COMPLETE")
        return self._conclude(None)

    def _go_on(self) -> None:
        self._is_fast_over = True
        for function, version in self._change.published.items():
            progress = self._change.release(function)
            progress.note("created", f"version {version} is published", 0)
        self._on_fast()

    async def _go_back(self, error: Exception) -> None:
        """Roll back; that no alarm of a new version stops that is assumed.

        CloudFormation gives a deployment group its old alarms before it moves the alias.
        """
        moved = [
            (function, progress)
            for function, progress in self._change.releases.items()
            if progress.percent == 100  # noqa: PLR2004 percent
        ]
        way_back = Change(creator="CloudFormationRollback")
        try:
            await self._live.roll_back(way_back)
        except Exception as failure:
            self._live.set_status("UPDATE_ROLLBACK_FAILED", f"the way back failed: {failure}")
            raise
        for function, progress in moved:
            returned = way_back.release(function)
            progress.note("rolled-back", returned.events[-1].text, 0)
        self._live.set_status("UPDATE_ROLLBACK_COMPLETE", str(error))

    def _conclude(self, error: Exception | None) -> ReleaseResult:
        function = self._stack.function.name if self._stack.functions else ""
        progress = self._change.release(function)
        deployment = progress.deployment
        status = "Failed" if error else "Succeeded"
        reason = str(error) if error else ""
        if error and deployment and deployment.status != "Succeeded":
            status, reason = deployment.status, deployment.error["message"]
        elif any(event.kind == "promoted" for event in progress.events) and error:
            reason = f"the stack failed after the promotion: {error}"
        return ReleaseResult(
            self._change.published.get(function, ""),
            deployment.deployment_id if deployment else "",
            status,
            reason,
            tuple(progress.events),
            progress.gate,
        )
