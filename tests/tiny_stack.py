"""A tiny built stack, as `sam build` would leave it, and the local run of it."""

import asyncio
import random
import textwrap
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.config import Config

from infra.local.platform import Platform, serve
from infra.local.stack import read_stack
from tests import local_aws

REGION = "eu-west-1"
STACK_NAME = "shop"
FUNCTION = "shop-InferenceFunction"

TEMPLATE = """
AWSTemplateFormatVersion: "2010-09-09"
Transform: AWS::Serverless-2016-10-31
Parameters:
  Burst: {Type: Number, Default: 1000}
Conditions:
  IsLoud: !Equals [!Ref Burst, 1]
Resources:
  Api:
    Type: AWS::Serverless::HttpApi
    Properties:
      StageName: $default
      DefaultRouteSettings: {ThrottlingRateLimit: 1000, ThrottlingBurstLimit: !Ref Burst}
      Auth: {EnableIamAuthorizer: true, DefaultAuthorizer: AWS_IAM}
  LogGroup:
    Type: AWS::Logs::LogGroup
    Properties: {LogGroupName: !Sub "/aws/lambda/${AWS::StackName}-inference"}
  InferenceFunction:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: InferenceFunction
      Handler: app.handler
      Runtime: python3.13
      Architectures: [x86_64]
      MemorySize: 256
      Timeout: 3
      Layers: [!Ref RuntimeLayer, !Ref ModelLayer]
      AutoPublishAlias: live
      LoggingConfig: {LogGroup: !Ref LogGroup}
      Environment:
        Variables:
          GREETING: hello
          VOLUME: !If [IsLoud, loud, quiet]
          HOME_REGION: !Ref AWS::Region
      Events:
        Any:
          Type: HttpApi
          Properties: {ApiId: !Ref Api, Path: "/{proxy+}", Method: ANY}
        Model:
          Type: HttpApi
          Properties: {ApiId: !Ref Api, Path: "/models/{model}", Method: POST}
  RuntimeLayer:
    Type: AWS::Serverless::LayerVersion
    Properties: {ContentUri: RuntimeLayer, CompatibleRuntimes: [python3.13]}
  ModelLayer:
    Type: AWS::Serverless::LayerVersion
    Properties: {ContentUri: ModelLayer}
Outputs:
  ApiUrl:
    Value: !Sub https://${Api}.execute-api.${AWS::Region}.${AWS::URLSuffix}
  FunctionName:
    Value: !Ref InferenceFunction
  AliasArn:
    Value: !Ref InferenceFunction.Alias
"""

HANDLER = """
import json
import os
import signal
import socket
import sys
import time
import urllib.error
import urllib.request

import greeting

RELEASE = "one"


def handler(event, context):
    query = event.get("queryStringParameters") or {}
    match event["rawPath"].removeprefix("/prod"):
        case "/raise":
            raise ValueError("no such customer")
        case "/exit":
            os._exit(7)
        case "/kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "/wait":  # at the test's gate, until it is opened
            with socket.create_connection(("127.0.0.1", int(query["port"]))) as gate:
                gate.recv(1)
        case "/take":  # so much memory, and answer at once or never
            taken = b"x" * (int(query["mb"]) << 20)
            while "wait" in query:
                time.sleep(1)
        case "/import":
            __import__(query["name"])
        case "/ask":  # another request, while this one is handled
            try:
                urllib.request.urlopen(query["url"])
            except urllib.error.HTTPError as error:
                return {"statusCode": 200, "body": str(error.code)}
        case "/emf":
            print(event["body"])
        case "/large":
            return {"statusCode": 200, "body": "x" * int(query["size"])}
        case "/return":
            return json.loads(event["body"])
    body = {
        "release": RELEASE,
        "greeting": greeting.WORD,
        "event": event,
        "environment": dict(os.environ),
        "path": sys.path,
        "pid": os.getpid(),
        "request_id": context.aws_request_id,
        "arn": context.invoked_function_arn,
        "remaining": context.get_remaining_time_in_millis(),
    }
    headers = {"Content-Type": "application/json"}
    return {"statusCode": 200, "headers": headers, "body": json.dumps(body)}
"""


@dataclass(frozen=True)
class Gate:
    """Where requests to /wait stop, so that a test knows that they are handled."""

    path: str
    arrivals: asyncio.Queue[asyncio.StreamWriter]

    async def arrival(self) -> asyncio.StreamWriter:
        """Wait for the next request; it goes on when the returned stream is closed."""
        return await asyncio.wait_for(self.arrivals.get(), timeout=30)


@dataclass(frozen=True)
class Starter:
    """Starts the local run of a build, and stops it before the test ends if it is told to."""

    build: Path
    directory: Path
    python: Path
    exits: AsyncExitStack

    async def __call__(self, **options: Any) -> Platform:
        stack = read_stack(self.build, STACK_NAME, REGION)
        rng = random.Random(1)  # noqa: S311 a test must repeat
        options = {"metric_delay": 0} | options  # most tests want to see what they have measured
        local = serve(stack, python=self.python, directory=self.directory, rng=rng, **options)
        return await self.exits.enter_async_context(local)

    async def stop(self) -> None:
        await self.exits.aclose()


def write_build(directory: Path) -> Path:
    """Write a built stack: an echoing function, and two layers."""
    files = {
        "template.yaml": TEMPLATE,
        "InferenceFunction/app.py": HANDLER,
        "RuntimeLayer/python/greeting.py": 'WORD = "good morning"',
        "RuntimeLayer/python/common.py": 'LAYER = "runtime"',
        "ModelLayer/python/common.py": 'LAYER = "model"',
        "ModelLayer/model/model.json": "{}",
    }
    for name, text in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
    return directory


def name_release(build: Path, name: str) -> None:
    """Let the function answer with another name of its release."""
    handler = build / "InferenceFunction" / "app.py"
    lines = handler.read_text().splitlines()
    lines = [f"RELEASE = {name!r}" if line.startswith("RELEASE") else line for line in lines]
    handler.write_text("\n".join(lines))


async def release(local: Platform, build: Path, name: str) -> str:
    """Build a new release of the function, and publish it."""
    name_release(build, name)
    return await local.publish(read_stack(build, STACK_NAME, REGION))


def connect(local: Platform, service: str, config: Config | None = None) -> Any:
    """Return a client of AWS on this machine."""
    return local_aws.connect(local.cloud.variables(), service, config)
