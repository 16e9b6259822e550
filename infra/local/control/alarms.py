"""CloudWatch's alarms on this machine: moto keeps their states, but does not set them."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from infra.cloudwatch.alarm_rule import is_met, list_alarms
from infra.cloudwatch.alarms import AlarmError, Evaluation, State, evaluate, read_alarm, read_data
from infra.cloudwatch.metric_math import ExpressionError
from infra.local.clock import Clock, pause, read

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch import CloudWatchClient

LOOK_SECONDS = 1  # between two looks at the clock
NUMBERS = {"Threshold": float, "EvaluationPeriods": int, "DatapointsToAlarm": int, "Period": int}


class Watcher:
    """Sets the states of the alarms whenever a minute of `clock` is over, as CloudWatch does.

    `flush` brings what was measured until then into CloudWatch.
    """

    def __init__(
        self, client: "CloudWatchClient", clock: Clock, flush: Callable[[], Awaitable[None]]
    ) -> None:
        self._client = client
        self._clock = clock
        self._flush = flush
        self._seen = read(clock)
        self._one_at_a_time = asyncio.Lock()

    async def watch(self) -> None:
        """Go on until cancelled."""
        while True:
            await self.catch_up()
            await asyncio.sleep(pause(self._clock, LOOK_SECONDS))

    async def catch_up(self) -> None:
        """Set the states for the last minute that is over, unless that is done."""
        async with self._one_at_a_time:
            before, self._seen = self._seen, read(self._clock)
            if self._seen // 60 > before // 60:
                await self._flush()
                at = datetime.fromtimestamp(self._seen, UTC)
                with contextlib.suppress(BotoCoreError, ClientError):  # the local run stops
                    await asyncio.to_thread(update_states, self._client, at)


def put_alarm(client: "CloudWatchClient", name: str, properties: Mapping[str, Any]) -> None:
    """Create or update an alarm, a composite one too, from its CloudFormation properties.

    A new alarm has no state yet; one that exists keeps its own.
    """
    held = {one["AlarmName"]: one["StateValue"] for one in _describe(client, AlarmNames=[name])}
    numbers = {key: NUMBERS[key](properties[key]) for key in NUMBERS.keys() & properties}
    put = client.put_composite_alarm if "AlarmRule" in properties else client.put_metric_alarm
    put(**{**properties, **numbers, "AlarmName": name})
    _set(client, name, held.get(name, "INSUFFICIENT_DATA"), "Unchecked: Initial alarm creation")


def delete_alarms(client: "CloudWatchClient", names: Iterable[str]) -> None:
    """Delete alarms."""
    if found := sorted(names):
        client.delete_alarms(AlarmNames=found)


def update_states(client: "CloudWatchClient", now: datetime) -> None:
    """Give every alarm the state that CloudWatch would give it at `now`."""
    states: dict[str, State] = {}
    for properties in sorted(_describe(client), key=lambda one: "AlarmRule" in one):
        name, state = properties["AlarmName"], State(properties["StateValue"])
        try:
            if rule := properties.get("AlarmRule"):
                new = _evaluate_rule(rule, states)
            else:
                new = evaluate(read_alarm(name, properties), partial(read_data, client), now, state)
        except (AlarmError, ExpressionError) as error:
            new = Evaluation(State.INSUFFICIENT_DATA, str(error))
        states[name] = new.state
        if new.state != state:
            with contextlib.suppress(client.exceptions.ResourceNotFound):  # just deleted
                _set(client, name, new.state, new.reason)


def _evaluate_rule(rule: str, states: Mapping[str, State]) -> Evaluation:
    ringing = [name for name in list_alarms(rule) if states.get(name) == State.ALARM]
    reason = f"in state ALARM: {', '.join(ringing) or 'none'}"
    return Evaluation(State.ALARM if is_met(rule, states) else State.OK, reason)


def _describe(client: "CloudWatchClient", **which: Any) -> list[Mapping[str, Any]]:
    pages = client.get_paginator("describe_alarms").paginate(
        AlarmTypes=["MetricAlarm", "CompositeAlarm"], **which
    )
    return [alarm for page in pages for alarm in (*page["MetricAlarms"], *page["CompositeAlarms"])]


def _set(client: "CloudWatchClient", name: str, state: Any, reason: str) -> None:
    client.set_alarm_state(AlarmName=name, StateValue=state, StateReason=reason)
