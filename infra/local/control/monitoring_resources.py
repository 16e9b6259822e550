"""CloudWatch's resources of a stack: alarms, composite ones too."""

import asyncio
from typing import TYPE_CHECKING, override

from infra.local.control.alarms import delete_alarms, put_alarm
from infra.local.control.resource import Change, Handler, Held, Wanted
from infra.local.stack import name_attributes

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch import CloudWatchClient


class Alarms(Handler):
    """Alarms: one of another name is another alarm, and the old one goes with the update's end."""

    def __init__(self, client: "CloudWatchClient") -> None:
        self._client = client

    @override
    async def put(self, wanted: Wanted, held: Held | None, change: Change) -> Held:
        await asyncio.to_thread(put_alarm, self._client, wanted.name, wanted.properties)
        region = wanted.stack.region
        attributes = name_attributes(wanted.kind, wanted.name, region, wanted.properties)
        return Held(wanted, wanted.name, attributes)

    @override
    async def delete(self, held: Held) -> None:
        await asyncio.to_thread(delete_alarms, self._client, [held.physical_id])
