"""Stacks in a stack: created, updated, rolled back and deleted with it."""

import asyncio
from collections.abc import Callable
from typing import override

from infra.local.control.archives import archive
from infra.local.control.live_stack import LiveStack
from infra.local.control.resource import Change, Handler, Held, Wanted
from infra.local.stack import BuiltStack

type Open = Callable[[BuiltStack, BuiltStack | None], LiveStack]


class NestedStacks(Handler):
    """`open_stack` makes room for a stack in another, and `close_stack` takes it away again."""

    def __init__(self, open_stack: Open, close_stack: Callable[[LiveStack], None]) -> None:
        self._open = open_stack
        self._close = close_stack

    @override
    async def put(self, wanted: Wanted, held: Held | None, change: Change) -> Held:
        parameters = wanted.properties.get("Parameters", {})
        nested = wanted.stack.nest(wanted.logical_id, parameters)
        archives = await asyncio.to_thread(archive, nested)
        live: LiveStack = held.made if held else self._open(nested, wanted.stack)
        live.begin()
        try:
            await live.put(nested, archives, change)
        except BaseException:
            if held is None:
                await live.delete()
                self._close(live)
            raise
        live.stack = nested
        live.show()
        outputs = {f"Outputs.{key}": value for key, (value, _) in live.outputs().items()}
        return Held(wanted, nested.stack_id, {"Ref": nested.stack_id, **outputs}, live)

    @override
    async def restore(self, old: Held, held: Held | None, change: Change) -> Held:
        live: LiveStack = old.made
        await live.roll_back(change)
        return old

    @override
    async def delete(self, held: Held) -> None:
        live: LiveStack = held.made
        await live.delete()
        self._close(live)
