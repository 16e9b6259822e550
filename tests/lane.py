"""A tiny stack with a queue, as `sam build` would leave it: its function asks another stack's."""

import asyncio
import textwrap
from functools import partial
from pathlib import Path
from typing import Any

from infra.local.platform import Platform
from infra.local.stack import BuiltStack, read_stack
from tests.tiny_stack import connect

NAME = "lane"
SECONDS = 30
TEMPLATE = """
AWSTemplateFormatVersion: "2010-09-09"
Transform: AWS::Serverless-2016-10-31
Parameters:
  AliasArn: {Type: String, Default: none}
Globals:
  Function: {Runtime: python3.13, Handler: asker.handler, Timeout: 10}
Resources:
  Inbox:
    Type: AWS::SQS::Queue
    Properties:
      VisibilityTimeout: 10
      RedrivePolicy: {deadLetterTargetArn: !GetAtt DeadLetters.Arn, maxReceiveCount: 2}
  DeadLetters: {Type: AWS::SQS::Queue}
  Outbox: {Type: AWS::SQS::Queue}
  Asker:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: Asker
      Environment: {Variables: {ALIAS_ARN: !Ref AliasArn, OUTBOX: !Ref Outbox}}
      Events:
        Inbox:
          Type: SQS
          Properties:
            Queue: !GetAtt Inbox.Arn
            BatchSize: 5
            FunctionResponseTypes: [ReportBatchItemFailures]
Outputs:
  Inbox: {Value: !Ref Inbox}
  Outbox: {Value: !Ref Outbox}
  DeadLetters: {Value: !Ref DeadLetters}
  Asker: {Value: !Ref Asker}
"""
HANDLER = """
import json
import os
import time

import boto3

CLIENTS = {name: boto3.client(name) for name in ("lambda", "sqs")}


def handler(event, context):
    if "Records" not in event:
        return answer(event)
    failed = []
    for record in event["Records"]:
        if record.get("body") == "fail":
            failed.append({"itemIdentifier": record["messageId"]})
        else:
            send({"body": record.get("body"), **ask(record)})
    return {"batchItemFailures": failed}


def answer(event):
    # What an asynchronous event asks for.
    send(event | {"trace_id": os.environ.get("_X_AMZN_TRACE_ID", "")})
    if event.get("do") == "raise":
        raise ValueError("no such lane")
    return {"done": event}


def ask(record):
    if os.environ["ALIAS_ARN"] == "none":
        return {"record": {**record, "receiptHandle": None, "body": None}}
    payload = json.dumps({"rawPath": "/echo", "requestContext": {"lane": "stream"}})
    answer = CLIENTS["lambda"].invoke(FunctionName=os.environ["ALIAS_ARN"], Payload=payload)
    body = json.loads(json.load(answer["Payload"])["body"])
    return {"release": body["release"], "version": answer["ExecutedVersion"]}


def send(message):
    CLIENTS["sqs"].send_message(QueueUrl=os.environ["OUTBOX"], MessageBody=json.dumps(message))
"""


class Lane:
    """The queues of the second stack, from outside."""

    def __init__(self, local: Platform) -> None:
        self._sqs = connect(local, "sqs")
        [stack] = connect(local, "cloudformation").describe_stacks(StackName="lane")["Stacks"]
        self.urls = {one["OutputKey"]: one["OutputValue"] for one in stack["Outputs"]}

    def send(self, body: str, queue: str = "Inbox") -> None:
        self._sqs.send_message(QueueUrl=self.urls[queue], MessageBody=body)

    async def receive(self, queue: str = "Outbox") -> str:
        """Wait for the next message of a queue; return its body."""
        [message] = await self.receive_whole(queue)
        return str(message["Body"])

    async def receive_whole(self, queue: str) -> Any:
        """Wait for the next message of a queue; return it with its attributes."""
        receive = partial(
            self._sqs.receive_message,
            QueueUrl=self.urls[queue],
            WaitTimeSeconds=1,
            MessageAttributeNames=["All"],
        )
        async with asyncio.timeout(SECONDS):
            while not (messages := (await asyncio.to_thread(receive)).get("Messages")):
                pass
        receipt = messages[0]["ReceiptHandle"]
        self._sqs.delete_message(QueueUrl=self.urls[queue], ReceiptHandle=receipt)
        return messages

    def count(self, queue: str) -> int:
        """Count the messages of a queue, those in work as well."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        told = self._sqs.get_queue_attributes(QueueUrl=self.urls[queue], AttributeNames=["All"])
        return sum(int(told["Attributes"][name]) for name in names)


def build_lane(directory: Path, edits: dict[str, str] | None = None) -> Path:
    """Write the built stack, with texts of its template replaced."""
    template = TEMPLATE[1:]
    for old, new in (edits or {}).items():
        assert old in template
        template = template.replace(old, new)
    (directory / "Asker").mkdir(parents=True)
    (directory / "template.yaml").write_text(template)
    (directory / "Asker" / "asker.py").write_text(textwrap.dedent(HANDLER))
    return directory


def read_lane(build: Path, region: str, **parameters: Any) -> BuiltStack:
    """Read the built stack."""
    return read_stack(build, NAME, region, parameters)
