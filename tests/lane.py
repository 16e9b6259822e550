"""A tiny stack with a queue, as `sam build` would leave it: its function asks another stack's."""

import textwrap
from pathlib import Path
from typing import Any

from infra.local.stack import BuiltStack, read_stack

NAME = "lane"
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
        if record["body"] == "fail":
            failed.append({"itemIdentifier": record["messageId"]})
        else:
            send({"body": record["body"], "records": len(event["Records"]), **ask(record)})
    return {"batchItemFailures": failed}


def answer(event):
    # What an asynchronous event asks for.
    send(event | {"request_id": os.environ.get("_X_AMZN_TRACE_ID", "")})
    if event.get("do") == "raise":
        raise ValueError("no such lane")
    return {"done": event}


def ask(record):
    if os.environ["ALIAS_ARN"] == "none":
        return {"record": record}
    payload = json.dumps({"rawPath": "/echo", "requestContext": {"lane": "stream"}})
    answer = CLIENTS["lambda"].invoke(FunctionName=os.environ["ALIAS_ARN"], Payload=payload)
    body = json.loads(json.load(answer["Payload"])["body"])
    return {"release": body["release"], "version": answer["ExecutedVersion"]}


def send(message):
    CLIENTS["sqs"].send_message(QueueUrl=os.environ["OUTBOX"], MessageBody=json.dumps(message))
"""


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
