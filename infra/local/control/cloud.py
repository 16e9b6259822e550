"""The AWS account on this machine: a moto server, and those of its backends that the platform uses.

Importing this takes seconds: moto's CloudFormation loads most of moto.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from functools import lru_cache
from typing import Any

import boto3
from botocore.config import Config
from moto.awslambda.models import lambda_backends
from moto.cloudformation.models import cloudformation_backends
from moto.cloudwatch.models import cloudwatch_backends
from moto.codedeploy.models import codedeploy_backends
from moto.logs.models import logs_backends
from moto.moto_api._internal.models import moto_api_backend
from moto.sqs.models import sqs_backends

from infra.local.control.access_key import create_access_key
from infra.local.control.aws_endpoint import AwsEndpoint
from infra.local.control.patches import PATCHES, Patch, patch_moto
from infra.local.control.statistics import Datum
from infra.local.identifiers import ACCOUNT_ID
from infra.local.metrics import Sample

KEPT_LOG_EVENTS = 10_000  # of a stream: moto keeps them in memory, the file of the version all


class Cloud:
    """An AWS account of one Region, empty until a stack is created in it.

    Its APIs answer whoever signs with its `key`, at `endpoint_url` once it has started.
    """

    def __init__(self, region: str) -> None:
        moto_api_backend.reset()  # moto's backends belong to the process
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self.region = region
        self.functions = lambda_backends[ACCOUNT_ID][region]
        self.stacks = cloudformation_backends[ACCOUNT_ID][region]
        self.code_deploy = codedeploy_backends[ACCOUNT_ID][region]
        self.queues = sqs_backends[ACCOUNT_ID][region]
        self.alarms = cloudwatch_backends[ACCOUNT_ID][region].alarms
        self.key = create_access_key()
        self.endpoint_url = ""
        self._metrics = cloudwatch_backends[ACCOUNT_ID][region].metric_data
        self._logs = logs_backends[ACCOUNT_ID][region]
        self._endpoint: AwsEndpoint | None = None
        self._exits = ExitStack()
        self.connect = lru_cache(self._connect)

    def start(self, port: int) -> str:
        """Serve AWS's APIs on a port of 127.0.0.1 (0: any free one); return their endpoint URL.

        Raises OSError if the port is taken.
        """
        self._endpoint = AwsEndpoint(port, self.key)
        self._exits.enter_context(patch_moto(PATCHES))
        self.endpoint_url = self._endpoint.url
        return self.endpoint_url

    def patch(self, patches: Sequence[Patch]) -> None:
        """Put more into moto, which stays there until this stops."""
        self._exits.enter_context(patch_moto(patches))

    def stop(self) -> None:
        """Stop serving, and then leave moto as it was: it would answer in its own way."""
        if self._endpoint:
            self._endpoint.stop()
        self._exits.close()

    def variables(self) -> Mapping[str, str]:
        """Return the environment variables with which boto3 and the AWS CLI use the account.

        The empty session token replaces one of real credentials, which they would send otherwise.
        """
        return {
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "AWS_ACCESS_KEY_ID": self.key.id,
            "AWS_SECRET_ACCESS_KEY": self.key.secret,
            "AWS_SESSION_TOKEN": "",
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
        }

    def put_metrics(self, samples: Iterable[Sample]) -> None:
        """Add samples to CloudWatch's metrics."""
        self._metrics.extend(Datum(sample) for sample in samples)

    def put_logs(self, group: str, stream: str, lines: Iterable[tuple[int, str]]) -> None:
        """Add lines with their times (ms) to a stream; its oldest go when there are too many."""
        held = self._logs.groups.get(group)
        if held is None:  # somebody has deleted it
            return
        if stream not in held.streams:
            held.create_log_stream(stream)
        events = [{"timestamp": time, "message": line} for time, line in lines]
        held.put_log_events(stream, events)
        held.streams[stream].events = held.streams[stream].events[-KEPT_LOG_EVENTS:]

    def create_log_group(self, name: str) -> None:
        """Create a log group unless there is one, as Lambda does for a function without one."""
        if name not in self._logs.groups:
            self._logs.create_log_group(name, {})

    def _connect(self, service: str) -> Any:
        """Return a client of one of the account's own services."""
        return boto3.client(  # type: ignore[call-overload]  # the service is not a literal here
            service,
            endpoint_url=self.endpoint_url,
            region_name=self.region,
            aws_access_key_id=self.key.id,
            aws_secret_access_key=self.key.secret,
            config=Config(retries={"total_max_attempts": 1}),  # when the platform stops, none waits
        )
