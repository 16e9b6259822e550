"""Resources that moto's services support but its CloudFormation does not."""

import json
from collections.abc import Callable, Mapping
from typing import Any, override

from moto.s3.models import s3_backends
from moto.sns.models import sns_backends
from moto.sqs.models import sqs_backends

from infra.local.control.resource import Change, Handler, Held, Wanted
from infra.local.identifiers import ACCOUNT_ID

type Policy = Mapping[str, Any] | None
type SetPolicy = Callable[[Wanted, Policy], None]


class Policies(Handler):
    """Policies of one kind; `set_policy` gives one to what it is about, or takes it away."""

    def __init__(self, set_policy: SetPolicy) -> None:
        self._set_policy = set_policy

    @override
    async def put(self, wanted: Wanted, held: Held | None, change: Change) -> Held:
        self._set_policy(wanted, wanted.properties["PolicyDocument"])
        return Held(wanted, wanted.name, {"Ref": wanted.name, "Id": wanted.name})

    @override
    async def delete(self, held: Held) -> None:
        self._set_policy(held.wanted, None)


def set_topic_policy(wanted: Wanted, policy: Policy) -> None:
    """Set the policy of topics, which are named by their ARNs."""
    backend = sns_backends[ACCOUNT_ID][wanted.stack.region]
    for arn in wanted.properties["Topics"]:
        if arn in backend.topics:
            backend.topics[arn].policy = json.dumps(policy or {})


def set_queue_policy(wanted: Wanted, policy: Policy) -> None:
    """Set the policy of queues, which are named by their URLs."""
    backend = sqs_backends[ACCOUNT_ID][wanted.stack.region]
    for url in wanted.properties["Queues"]:
        if queue := backend.queues.get(url.rpartition("/")[2]):
            queue.policy = json.dumps(policy) if policy else None


def set_bucket_policy(wanted: Wanted, policy: Policy) -> None:
    """Set the policy of a bucket."""
    backend = s3_backends[ACCOUNT_ID]["aws"]
    name = wanted.properties["Bucket"]
    if name in backend.buckets:
        backend.buckets[name].policy = json.dumps(policy).encode() if policy else None


class Subscriptions(Handler):
    """Subscriptions to topics; nobody here sends mail."""

    @override
    async def put(self, wanted: Wanted, held: Held | None, change: Change) -> Held:
        properties = wanted.properties
        if held:
            await self.delete(held)
        made = sns_backends[ACCOUNT_ID][wanted.stack.region].subscribe(
            properties["TopicArn"], properties["Endpoint"], properties["Protocol"]
        )
        return Held(wanted, made.arn, {"Ref": made.arn}, made)

    @override
    async def delete(self, held: Held) -> None:
        sns_backends[ACCOUNT_ID][held.wanted.stack.region].unsubscribe(held.physical_id)
