"""Where the results of asynchronous invocations go: destinations, and queues for dead letters."""

import asyncio
import json
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from infra.local.clock import Clock, read
from infra.local.functions.asynchronous import (
    Event,
    EventConfig,
    Outcome,
    explain_failure,
    write_record,
)
from infra.local.functions.invoker import Invoker

SHOWN_ERROR = 1024  # characters of an error message in an attribute

_trace: ContextVar[str] = ContextVar("trace", default="")  # of the event whose result is sent


class Destinations:
    """Sends each event's result to the function's destinations.

    `connect` returns a client of a service of this account.
    """

    def __init__(
        self, connect: Callable[[str], Any], invoker: Invoker, region: str, clock: Clock
    ) -> None:
        self._connect = connect
        self._invoker = invoker
        self._region = region
        self._clock = clock

    async def report(self, event: Event, outcome: Outcome, config: EventConfig) -> None:
        """Send a success or a failure to its destination, and a failure to the dead letters."""
        hosted = self._invoker.hosted.get(event.target.name)
        dead_letters = hosted.latest.dead_letters if hosted else ""
        if not outcome.is_success and dead_letters:
            await asyncio.to_thread(self._bury, dead_letters, event, outcome)
        destination = config.on_success if outcome.is_success else config.on_failure
        if destination:
            record = write_record(event, outcome, self._region, read(self._clock))
            await asyncio.to_thread(self._send, destination, json.dumps(record), outcome, event)

    def _send(self, arn: str, record: str, outcome: Outcome, event: Event) -> None:
        match arn.split(":"):
            case [_, _, "sqs", *_, name]:
                sqs = self._connect("sqs")
                sqs.send_message(QueueUrl=_find_queue(sqs, name), MessageBody=record)
            case [_, _, "sns", *_]:
                self._connect("sns").publish(TopicArn=arn, Message=record)
            case [_, _, "lambda", *_]:
                # What a function causes is counted, so that two do not go round in circles.
                client = self._connect("lambda")
                # Everybody's client: by its id the handler is there once, however often it comes.
                client.meta.events.register("before-call", _add_trace, unique_id="trace")
                token = _trace.set(event.trace_id)
                try:
                    client.invoke(FunctionName=arn, InvocationType="Event", Payload=record)
                finally:
                    _trace.reset(token)
            case [_, _, "events", *_]:
                result = "Success" if outcome.is_success else "Failure"
                self._connect("events").put_events(
                    Entries=[
                        {
                            "Source": "lambda",
                            "DetailType": f"Lambda Function Invocation Result - {result}",
                            "Detail": record,
                            "EventBusName": arn.rpartition("/")[2],
                            "Resources": [arn, event.target.arn(self._region)],
                        }
                    ]
                )

    def _bury(self, arn: str, event: Event, outcome: Outcome) -> None:
        error = outcome.error
        text = "" if error is None else explain_failure(error, event.request_id)["errorMessage"]
        attributes = {
            "RequestID": {"DataType": "String", "StringValue": event.request_id},
            "ErrorCode": {"DataType": "Number", "StringValue": "200"},
            "ErrorMessage": {
                "DataType": "String",
                "StringValue": text[:SHOWN_ERROR] or outcome.condition,
            },
        }
        body = event.payload.decode()
        if arn.split(":")[2] == "sqs":
            sqs = self._connect("sqs")
            url = _find_queue(sqs, arn.rpartition(":")[2])
            sqs.send_message(QueueUrl=url, MessageBody=body, MessageAttributes=attributes)
        else:
            sns = self._connect("sns")
            sns.publish(TopicArn=arn, Message=body, MessageAttributes=attributes)


def _find_queue(sqs: Any, name: str) -> str:
    return str(sqs.get_queue_url(QueueName=name)["QueueUrl"])


def _add_trace(params: dict[str, Any], **_: Any) -> None:
    if trace := _trace.get():
        params["headers"]["X-Amzn-Trace-Id"] = trace
