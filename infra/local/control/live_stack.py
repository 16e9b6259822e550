"""A stack that exists: created, updated, rolled back and deleted resource by resource."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from infra.local.control.archives import Archives, write_template
from infra.local.control.handlers import Handlers
from infra.local.control.lambda_resources import VersionContent, find_function, read_content
from infra.local.control.resource import Change, Held, Wanted
from infra.local.control.stack_record import ResourceRecord, StackRecord
from infra.local.dependencies import find_needs, order_around, sort_by_needs
from infra.local.errors import LocalRunError, UpdateError
from infra.local.stack import ALIAS, NESTED, VERSION, BuiltStack


@dataclass(frozen=True)
class Snapshot:
    """A stack as it was at one time."""

    stack: BuiltStack
    archives: Archives
    held: Mapping[str, Held] = field(default_factory=dict)


class LiveStack:
    """A stack that exists: its resources, and the changes of them in the template's order.

    `addresses` are the places here in the place of URLs on AWS.
    """

    def __init__(
        self,
        stack: BuiltStack,
        handlers: Handlers,
        record: StackRecord,
        addresses: Callable[[], Mapping[str, str]],
    ) -> None:
        self.stack = stack
        self.record = record
        self._handlers = handlers
        self._addresses = addresses
        self._archives: Archives = {}
        self._held: dict[str, Held] = {}
        self._replaced: list[Held] = []  # by others, which may not stay
        self._before = self._wanted = Snapshot(stack, {})
        self._attempts = 0

    @property
    def template(self) -> str:
        """The template of the last update that succeeded, as SAM CLI would have sent it."""
        return write_template(self.stack, self._archives)

    def outputs(self) -> Mapping[str, tuple[str, str]]:
        """Return the outputs as (value, description)."""
        return self._locate(self.stack.outputs(self._intrinsics(self.stack)))

    def begin(self) -> None:
        """Remember what there is, to go back to it."""
        self._before = Snapshot(self.stack, self._archives, dict(self._held))

    async def put(
        self,
        stack: BuiltStack,
        archives: Archives,
        change: Change,
        *,
        forced: str = "",
        on_fast: Callable[[], None] = lambda: None,
    ) -> None:
        """Create and change resources until they are as `stack` wants them.

        What need not wait for an alias comes first; `on_fast` is called when that is done. Aliases
        move at the same time. `forced` is the logical id of a version that is published in any
        case. Raises what a handler raises; the rest of the work is over by then.
        """
        self._attempts += 1
        self._wanted = Snapshot(stack, archives)
        resources = stack.template["Resources"]
        needs = find_needs(resources)
        waiting, done = list(sort_by_needs(needs)), set[str]()
        moving: dict[asyncio.Task[None], str] = {}
        failure: BaseException | None = None
        is_fast_over = False
        while waiting or moving:
            ready = [name for name in waiting if needs[name] <= done and failure is None]
            fast = [name for name in ready if resources[name]["Type"] != ALIAS]
            if fast:
                waiting.remove(fast[0])
                try:
                    await self._put_one(stack, archives, fast[0], change, forced)
                except Exception as error:
                    failure = error
                done.add(fast[0])
                continue
            if failure is None and not is_fast_over:
                is_fast_over = True
                on_fast()
            for name in ready:
                waiting.remove(name)
                moving[asyncio.create_task(self._put_one(stack, archives, name, change, ""))] = name
            if not moving:
                break
            finished, _ = await _wait(moving)
            for task in finished:
                done.add(moving.pop(task))
                failure = failure or task.exception()
        if failure:
            raise failure

    async def prepare(self, stack: BuiltStack, archives: Archives, change: Change) -> None:
        """Create and change what need not wait for an alias, and publish a version in any case."""
        self._attempts += 1
        forced = find_version(stack)
        before, _ = order_around(stack.template["Resources"], *stack.find(ALIAS))
        for logical_id in before:
            await self._put_one(stack, archives, logical_id, change, forced)

    async def commit(self) -> None:
        """End an update that succeeded: what it replaced or dropped is deleted."""
        self.stack = stack = self._wanted.stack
        self._archives = self._wanted.archives
        present = self._list_present(stack)
        dropped = [held for name, held in self._held.items() if name not in present]
        for held in (*self._replaced, *reversed(dropped)):
            if not held.wanted.is_retained:
                await self._handlers.find(held.wanted.kind).delete(held)
        self._replaced = []
        self._held = {name: held for name, held in self._held.items() if name in present}
        for held in self._held.values():
            if held.wanted.kind == NESTED:
                await held.made.commit()
        self.show()

    async def roll_back(self, change: Change) -> None:
        """Restore every resource to its state before the update."""
        before = self._wanted = self._before
        self.stack, self._archives = before.stack, before.archives
        resources = before.stack.template["Resources"]
        for logical_id in sort_by_needs(find_needs(resources)):
            old, held = before.held.get(logical_id), self._held.get(logical_id)
            if old is None or held is old:
                continue
            handler = self._handlers.find(old.wanted.kind)
            if held and handler.keeps_replaced and held.physical_id != old.physical_id:
                await self._drop(held)
                self._held[logical_id] = old
            else:
                self._held[logical_id] = await handler.restore(old, held, change)
        for logical_id in [name for name in reversed(self._held) if name not in before.held]:
            await self._drop(self._held.pop(logical_id))
        self._replaced = []
        self.show()

    async def delete(self) -> None:
        """Delete every resource, but those that are to be retained.

        Raises UpdateError, naming it, if one cannot be deleted; that one and the rest are still
        held then.
        """
        order = sort_by_needs(find_needs(self.stack.template["Resources"]))
        for logical_id in reversed(order):
            held = self._held.get(logical_id)
            if held and (not held.wanted.is_retained or held.wanted.kind == VERSION):
                try:
                    await self._handlers.find(held.wanted.kind).delete(held)
                except Exception as error:
                    text = f"{logical_id} ({held.wanted.kind}) cannot be deleted: {error}"
                    raise UpdateError(text) from error
            self._held.pop(logical_id, None)

    def show(self) -> None:
        """Let CloudFormation's API show the stack as it is."""
        self.record.held_parameters = self.stack.parameters
        self.record.held_outputs = self.outputs()
        self.record.template = self.template
        self.record.resources = [
            ResourceRecord(name, held.physical_id, held.wanted.kind)
            for name, held in self._held.items()
        ]

    def set_status(self, status: str, reason: str = "") -> None:
        """Let CloudFormation's API show a status, also of the stacks in this one."""
        self.record.set_status(status, reason)
        for held in self._held.values():
            if held.wanted.kind == NESTED:
                held.made.set_status(status, reason)

    async def _drop(self, held: Held) -> None:
        """Delete what a failed update has made."""
        if not held.wanted.is_retained:
            await self._handlers.find(held.wanted.kind).delete(held)

    async def _put_one(
        self, stack: BuiltStack, archives: Archives, logical_id: str, change: Change, forced: str
    ) -> None:
        resource = stack.template["Resources"][logical_id]
        intrinsics = self._intrinsics(stack)
        if not intrinsics.holds(resource):
            return
        attempt = self._attempts if logical_id == forced else 0
        wanted = Wanted(
            logical_id=logical_id,
            kind=resource["Type"],
            name=stack.name_resource(logical_id, intrinsics),
            properties=intrinsics.resolve(resource.get("Properties", {})),
            content=_read_content(stack, logical_id, archives, attempt),
            policy=intrinsics.resolve(resource.get("UpdatePolicy", {})),
            is_retained=resource.get("DeletionPolicy") == "Retain",
            stack=stack,
            archives=archives,
        )
        held = self._held.get(logical_id)
        if held and held.wanted == wanted and not attempt:
            return
        handler = self._handlers.find(wanted.kind)
        if held and held.wanted.kind != wanted.kind:
            raise UpdateError(f"Update of resource type is not permitted: {logical_id}")
        try:
            new = await handler.put(wanted, held, change)
        except Exception as error:
            if held:  # it may have changed in part, so it is not what it was
                self._held[logical_id] = replace(held)
            if isinstance(error, LocalRunError):
                raise
            raise UpdateError(f"{logical_id} ({wanted.kind}): {error}") from error
        if held and handler.keeps_replaced and new.physical_id != held.physical_id:
            self._replaced.append(held)
        self._held[logical_id] = new

    def _intrinsics(self, stack: BuiltStack) -> Any:
        return stack.intrinsics({name: held.attributes for name, held in self._held.items()})

    def _list_present(self, stack: BuiltStack) -> set[str]:
        """Return the logical ids of the resources that a template has."""
        intrinsics = self._intrinsics(stack)
        resources = stack.template["Resources"]
        return {name for name, resource in resources.items() if intrinsics.holds(resource)}

    def _locate(self, outputs: Mapping[str, tuple[str, str]]) -> dict[str, tuple[str, str]]:
        located = {}
        for key, (value, description) in outputs.items():
            text = value
            for there, here in self._addresses().items():
                text = text.replace(there, here)
            located[key] = (text, description)
        return located


async def _wait(tasks: Mapping[asyncio.Task[None], str]) -> tuple[set[asyncio.Task[None]], Any]:
    """Wait for one of several tasks; if this is cancelled, so are they."""
    try:
        return await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    except asyncio.CancelledError:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise


def find_version(stack: BuiltStack) -> str:
    """Return the logical id of the version of the stack's own function."""
    for logical_id in stack.find(VERSION):
        if stack.functions[find_function(stack, logical_id)].name == stack.function.name:
            return logical_id
    raise UpdateError(f"stack {stack.name} publishes no version")


def _read_content(stack: BuiltStack, logical_id: str, archives: Archives, attempt: int) -> Any:
    """Return what stands for the files of a resource."""
    match stack.template["Resources"][logical_id]["Type"]:
        case "AWS::Lambda::Function":
            return read_content(stack, logical_id, archives)
        case "AWS::Lambda::Version":
            content = read_content(stack, find_function(stack, logical_id), archives)
            return VersionContent(content, attempt)
        case "AWS::Lambda::LayerVersion":
            return archives.get(stack.layers[logical_id], "")
        case "AWS::CloudFormation::Stack":
            return stack.nested[logical_id], tuple(sorted(archives.items()))
    return None
