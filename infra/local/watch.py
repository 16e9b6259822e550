"""CloudWatch's alarms on this machine: moto keeps their states, but does not set them."""

from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config

from infra.alarms import AlarmError, Evaluation, State, evaluate, read_alarm, read_data
from infra.local.stack import Stack
from infra.metric_math import ExpressionError

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch import CloudWatchClient

NUMBERS = {"Threshold": float, "EvaluationPeriods": int, "DatapointsToAlarm": int, "Period": int}


def connect(endpoint_url: str, region: str) -> "CloudWatchClient":
    """Return a client for the local run's CloudWatch."""
    return boto3.client(
        "cloudwatch",
        endpoint_url=endpoint_url,
        region_name=region,
        aws_access_key_id="local",
        aws_secret_access_key="local",  # noqa: S106 moto takes any
        config=Config(retries={"total_max_attempts": 1}),  # when the local run stops, none waits
    )


def put_alarms(client: "CloudWatchClient", stack: Stack, version: str) -> None:
    """Create or update the stack's alarms, as CloudFormation does when it publishes a version.

    A new alarm has no state yet; one that exists keeps its own.
    """
    held = {one["AlarmName"]: one["StateValue"] for one in _describe(client)}
    for logical_id, properties in stack.resources("AWS::CloudWatch::Alarm", version).items():
        name = properties.get("AlarmName", f"{stack.name}-{logical_id}")
        numbers = {key: NUMBERS[key](properties[key]) for key in NUMBERS.keys() & properties}
        client.put_metric_alarm(**{**properties, **numbers, "AlarmName": name})
        _set(client, name, held.get(name, "INSUFFICIENT_DATA"), "Unchecked: Initial alarm creation")


def update_states(client: "CloudWatchClient", now: datetime) -> None:
    """Give every alarm the state that CloudWatch would give it at `now`."""
    for properties in _describe(client):
        name, state = properties["AlarmName"], State(properties["StateValue"])
        try:
            alarm = read_alarm(name, properties)
            new = evaluate(alarm, partial(read_data, client), now, state)
        except (AlarmError, ExpressionError) as error:
            new = Evaluation(State.INSUFFICIENT_DATA, str(error))
        if new.state != state:
            _set(client, name, new.state, new.reason)


def _describe(client: "CloudWatchClient") -> list[Mapping[str, Any]]:
    pages = client.get_paginator("describe_alarms").paginate()
    return [alarm for page in pages for alarm in page["MetricAlarms"]]


def _set(client: "CloudWatchClient", name: str, state: Any, reason: str) -> None:
    client.set_alarm_state(AlarmName=name, StateValue=state, StateReason=reason)
