"""Where results of events go, on a client that sends nothing."""

from types import SimpleNamespace
from typing import Any, cast

import boto3

from infra.local.control.destinations import Destinations
from infra.local.functions.asynchronous import Event, EventConfig, Outcome
from infra.local.functions.invoker import Invoker, Target

ARN = "arn:aws:lambda:eu-west-1:123456789012:function:audit"


async def test_each_result_has_the_trace_of_its_own_event() -> None:
    # GIVEN a client that all results share
    client = boto3.client(
        "lambda",
        region_name="eu-west-1",
        aws_access_key_id="x",
        aws_secret_access_key="x",  # noqa: S106 nothing is sent
    )
    sent = []

    def answer(params: Any, **_: Any) -> Any:
        sent.append(params["headers"].get("X-Amzn-Trace-Id"))
        return SimpleNamespace(status_code=202), {}

    client.meta.events.register_last("before-call", answer)
    invoker = cast("Invoker", SimpleNamespace(hosted={}))
    destinations = Destinations(lambda _: client, invoker, "eu-west-1", lambda now: now)
    # WHEN the results of two events go to a function, and somebody else uses the client
    for trace in ("A", "B"):
        event = Event(Target("shop"), b"{}", "id-1", trace, 0)
        await destinations.report(event, Outcome("Success", 1), EventConfig(on_success=ARN))
    client.invoke(FunctionName="other", Payload="{}")
    # THEN each has its own trace, and the last has none
    assert sent == ["A", "B", None]
