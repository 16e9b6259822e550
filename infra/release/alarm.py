"""The stack's alarms that are firing."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch import CloudWatchClient


@dataclass(frozen=True)
class Firing:
    """An alarm in state ALARM, and what CloudWatch says of why."""

    name: str
    reason: str

    def is_release_alarm(self, stack: str) -> bool:
        """Tell whether it watches one version; the next release has alarms of its own."""
        return self.name.startswith(f"{stack}-release-")


def list_firing(cloudwatch: "CloudWatchClient", topic_arn: str) -> list[Firing]:
    """Return the alarms that fire and tell the topic: all of the stack's do, no others should.

    A stack's name is no way to find them: it may begin the name of another stack.
    """
    pages = cloudwatch.get_paginator("describe_alarms").paginate(ActionPrefix=topic_arn)
    return [
        Firing(alarm["AlarmName"], alarm.get("StateReason", ""))
        for page in pages
        for alarm in page["MetricAlarms"]
        if alarm["StateValue"] == "ALARM"
    ]
