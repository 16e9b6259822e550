"""Everything that is put into moto, where, and why; tests show that moto still lacks each of it.

Patches are applied as long as a platform runs, and moto is what it was before once it has stopped.
"""

from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from moto.awslambda import urls as lambda_urls
from moto.awslambda.models import LambdaBackend, LambdaFunction
from moto.awslambda.responses import LambdaResponse
from moto.cloudformation.responses import CloudFormationResponse
from moto.cloudwatch import models as cloudwatch
from moto.cloudwatch.models import CloudWatchBackend, Dimension
from moto.cloudwatch.responses import CloudWatchResponse
from moto.codedeploy import responses as code_deploy
from moto.codedeploy.responses import CodeDeployResponse
from moto.sqs.models import SQSBackend
from moto.sqs.responses import SQSResponse
from moto.stepfunctions.parser.asl.utils import boto_client

from infra.local.control import account, code_deploy_api, sqs_messages
from infra.local.control.lambda_api import LambdaApi
from infra.local.control.metric_data import get_metric_data
from infra.local.control.statistics import Percentiles, get_metric_statistics

type Methods = Mapping[str, Any]


@dataclass(frozen=True)
class Patch:
    """Names and what stands for them in a class, a module or a table of moto's, and why."""

    owner: Any
    names: Methods
    reason: str

    @contextmanager
    def apply(self) -> Iterator[None]:
        """Put the names into the owner, and put back what it had."""
        if isinstance(self.owner, MutableMapping):
            before = dict(self.owner)
            self.owner.update(self.names)
            try:
                yield
            finally:
                self.owner.clear()
                self.owner.update(before)
        else:
            with patched(self.owner, **self.names):
                yield


@contextmanager
def patched(owner: type | ModuleType, **methods: Any) -> Iterator[None]:
    """Give a class these methods, or a module these names, and put back what it had."""
    before = {name: vars(owner)[name] for name in methods if name in vars(owner)}
    for name, method in methods.items():
        setattr(owner, name, method)
    try:
        yield
    finally:
        for name in methods:
            delattr(owner, name)
        for name, method in before.items():
            setattr(owner, name, method)


# Those that need no function: the account has them wherever it is used.
PATCHES: Sequence[Patch] = (
    Patch(
        Dimension,
        {"__lt__": lambda one, other: str(one.name) < str(other.name)},
        "moto orders dimensions by a rule that depends on the order in which they come, so a query "
        "that names them in another order than the metric did would find nothing",
    ),
    Patch(
        cloudwatch,
        {"Statistics": Percentiles},
        "moto computes no percentiles and no percentile ranks",
    ),
    Patch(
        CloudWatchResponse,
        {"get_metric_statistics": get_metric_statistics},
        "moto's GetMetricStatistics ignores ExtendedStatistics",
    ),
    Patch(
        CloudWatchBackend,
        {"get_metric_data": get_metric_data},
        "moto's GetMetricData looks at all values of all metrics for each period of each query: "
        "after an hour of traffic a dashboard would take minutes",
    ),
    Patch(
        CloudWatchResponse,
        {"put_composite_alarm": CloudWatchResponse.put_metric_alarm},
        "moto's PutMetricAlarm takes the rule of a composite alarm, but no action leads there",
    ),
    Patch(lambda_urls.url_paths, account.ROUTES, "moto has no route to the two below"),
    Patch(
        LambdaResponse,
        {
            "get_account_settings": account.get_account_settings,
            "get_provisioned_concurrency_config": account.get_provisioned_concurrency_config,
        },
        "moto knows neither the quotas of an account nor provisioned concurrency",
    ),
    Patch(
        code_deploy,
        {
            "_deployment_info": code_deploy_api.describe_deployment,
            "_deployment_group_info": code_deploy_api.describe_group,
        },
        "moto's GetDeployment leaves out errors and rollbacks, its groups their alarms",
    ),
    Patch(
        SQSBackend,
        {"send_message": sqs_messages.send_message},
        "moto's queues grow until this machine has no memory left",
    ),
    Patch(
        SQSBackend,
        {"is_message_valid_based_on_retention_period": sqs_messages.is_kept},
        "moto looks three times at all messages of a queue for each one that is received",
    ),
    Patch(
        SQSResponse,
        sqs_messages.methods(),
        "moto's SQS drops the trace header, by which a function that invokes itself is found",
    ),
)


@dataclass(frozen=True)
class Replacements:
    """Methods that need the running platform, by the class of moto's into which they are put."""

    lambda_api: LambdaApi
    event_configs: Methods
    event_sources: Methods
    code_deploy: Methods
    cloud_formation: Methods
    state_machines: Any


def list_patches(replacements: Replacements) -> Sequence[Patch]:
    """Return what a running platform puts into moto, besides `PATCHES`."""
    lambda_api = replacements.lambda_api
    return (
        Patch(LambdaResponse, lambda_api.methods(), "moto's Invoke runs functions in containers"),
        Patch(
            LambdaFunction,
            lambda_api.function_methods(),
            "moto's topics and buckets invoke functions, too",
        ),
        Patch(
            LambdaResponse,
            replacements.event_configs,
            "moto keeps one EventInvokeConfig for a function, whatever the qualifier, and never "
            "changes it",
        ),
        Patch(
            LambdaBackend,
            replacements.event_sources,
            "moto's queues hand each message to a function themselves, in the thread of the sender",
        ),
        Patch(
            CodeDeployResponse,
            replacements.code_deploy,
            "moto's CodeDeploy lacks StopDeployment and the reports of hooks",
        ),
        Patch(
            CloudFormationResponse,
            replacements.cloud_formation,
            "moto's CloudFormation runs no function and knows no aliases, APIs and deployments",
        ),
        Patch(
            boto_client,
            {"boto3": replacements.state_machines},
            "moto's interpreter of state machines signs as `ak`, and calls localhost:5000",
        ),
    )


@contextmanager
def patch_moto(patches: Sequence[Patch]) -> Iterator[None]:
    """Apply patches, in this order."""
    with ExitStack() as exits:
        for patch in patches:
            exits.enter_context(patch.apply())
        yield
