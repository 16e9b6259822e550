"""AWS on this machine: a moto server, and those of its backends that the local run itself uses.

Importing this takes seconds: moto's CloudFormation loads most of moto.
"""

import base64
import hashlib
import io
import json
import logging
import zipfile
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from copy import deepcopy
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from moto.awslambda.exceptions import UnknownAliasException
from moto.awslambda.models import lambda_backends
from moto.cloudformation.models import cloudformation_backends
from moto.cloudwatch import models as cloudwatch
from moto.cloudwatch.models import (
    CloudWatchBackend,
    Dimension,
    MetricAggregatedDatum,
    MetricDatum,
    Statistics,
    cloudwatch_backends,
)
from moto.cloudwatch.responses import CloudWatchResponse
from moto.codedeploy.models import codedeploy_backends
from moto.core.responses import ActionResult
from moto.iam.models import iam_backends
from moto.logs.models import logs_backends
from moto.moto_api._internal.models import moto_api_backend

from infra.local.control.access_key import create_access_key
from infra.local.control.account import answer_account
from infra.local.control.aws_endpoint import AwsEndpoint
from infra.local.control.metric_data import get_metric_data
from infra.local.control.stack_record import ResourceRecord, StackRecord
from infra.local.control.step_functions import sign_tasks
from infra.local.errors import BuildError, FunctionError
from infra.local.functions.versions import LATEST
from infra.local.identifiers import ACCOUNT_ID, API_ID
from infra.local.metrics import Sample, extended_statistic
from infra.local.stack import BuiltStack, Function, list_paths

# moto orders dimensions by a rule that depends on the order they come in, so a query that names
# them in another order than the metric did would find nothing.
Dimension.__lt__ = lambda one, other: str(one.name) < str(other.name)  # type: ignore[method-assign]  # as said

EXTENDED = ("p", "PR(")  # what the names of percentiles and their ranks begin with
DASHBOARD = "AWS::CloudWatch::Dashboard"
DIGESTS = "md5sums"  # the one file of an archive
KEPT_LOG_EVENTS = 10_000  # of a stream: moto keeps them in memory, the file of the version all


class Datum(MetricAggregatedDatum):
    """All values of a series in one second.

    As on CloudWatch a query sees it by its exact dimension set; moto's own data also answers to a
    part of theirs, which would count a request once for each of its dimension sets.
    """

    def __init__(self, sample: Sample) -> None:
        series, time, self.values = sample
        self.series = series
        super().__init__(
            series.namespace,
            series.name,
            min(self.values),
            max(self.values),
            len(self.values),
            sum(self.values),
            [{"Name": name, "Value": value} for name, value in series.dimensions],
            datetime.fromtimestamp(time, UTC).replace(tzinfo=None),
            series.unit,
        )

    def filter(
        self,
        namespace: str | None,
        name: str | None,
        dimensions: list[dict[str, str]],
        already_present_metrics: list[Any] | None = None,
    ) -> bool:
        """Tell whether the datum answers a query, or ListMetrics if that tells what it has."""
        if already_present_metrics is None:
            fits = len(dimensions) == len(self.dimensions)
        else:
            fits = all(self.series != getattr(o, "series", None) for o in already_present_metrics)
        return fits and bool(super().filter(namespace, name, dimensions))


class Percentiles(Statistics):
    """The statistics of one period; moto itself knows no percentiles and no percentile ranks.

    As on CloudWatch there are none if a value is negative, nor of a statistic set unless all its
    values are the same. Source: docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/
    API_GetMetricStatistics.html.
    """

    def get_statistics_for_type(self, stat: str) -> Any:
        """Return one statistic, None if there is none."""
        if not stat.startswith(EXTENDED):
            return super().get_statistics_for_type(stat)
        values: list[float] = []
        for datum in self.metric_data:
            match datum:
                case Datum():
                    values += datum.values
                case MetricDatum():
                    values.append(datum.value)
                case MetricAggregatedDatum(min=low, max=high) if low == high:
                    values += [low] * int(datum.sample_count)
                case _:
                    return None
        return extended_statistic(stat, values) if min(values) >= 0 else None

    @property
    def extended_statistics(self) -> dict[str, float] | None:
        """What GetMetricStatistics is asked for besides moto's own statistics."""
        asked = [stat for stat in self.stats if stat.startswith(EXTENDED)]
        values = {stat: self.get_statistics_for_type(stat) for stat in asked}
        return {stat: value for stat, value in values.items() if value is not None} or None


_get_plain_statistics = CloudWatchResponse.get_metric_statistics


def _get_metric_statistics(response: CloudWatchResponse) -> ActionResult:
    """Answer GetMetricStatistics, also with the percentiles that moto leaves out."""
    response.params.setdefault("Statistics", response.params.get("ExtendedStatistics", []))
    return _get_plain_statistics(response)


CloudWatchResponse.get_metric_statistics = _get_metric_statistics  # type: ignore[method-assign,assignment]  # moto has no setting for it
CloudWatchBackend.get_metric_data = get_metric_data  # type: ignore[method-assign,assignment]  # moto has no setting for it
cloudwatch.Statistics = Percentiles  # type: ignore[misc]  # moto has no setting for it
answer_account()
# moto's PutMetricAlarm takes the rule of a composite alarm, but no action leads there.
CloudWatchResponse.put_composite_alarm = CloudWatchResponse.put_metric_alarm  # type: ignore[attr-defined]  # as said


type Archives = Mapping[Path, str]


class Cloud:
    """An AWS account of one Region, empty until a stack is created in it.

    Its APIs answer whoever signs with its `key`.
    """

    def __init__(self, region: str) -> None:
        moto_api_backend.reset()  # moto's backends belong to the process
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self._region = region
        self._lambda = lambda_backends[ACCOUNT_ID][region]
        self._metrics = cloudwatch_backends[ACCOUNT_ID][region].metric_data
        self._stacks = cloudformation_backends[ACCOUNT_ID][region]
        self.code_deploy = codedeploy_backends[ACCOUNT_ID][region]
        self.key = create_access_key()
        self._endpoint_url = ""
        self._exits = ExitStack()
        self._url = ""
        self._published = 0

    def start(self, port: int) -> str:
        """Serve AWS's APIs on the loopback interface; return their endpoint URL."""
        endpoint = AwsEndpoint(port, self.key)
        self._exits.callback(endpoint.stop)
        self._exits.enter_context(sign_tasks(self.key, endpoint.url))
        self._endpoint_url = endpoint.url
        return endpoint.url

    def variables(self) -> Mapping[str, str]:
        """Return the environment variables with which boto3 and the AWS CLI use the account.

        The empty session token replaces one of real credentials, which they would send otherwise.
        """
        return {
            "AWS_ENDPOINT_URL": self._endpoint_url,
            "AWS_ACCESS_KEY_ID": self.key.id,
            "AWS_SECRET_ACCESS_KEY": self.key.secret,
            "AWS_SESSION_TOKEN": "",
            "AWS_REGION": self._region,
            "AWS_DEFAULT_REGION": self._region,
        }

    def stop(self) -> None:
        """Stop serving."""
        self._exits.close()

    def create_stack(self, stack: BuiltStack, archives: Archives, url: str) -> None:
        """Create what there is before the stack's own resources, with the alias on version 1."""
        function, gate = stack.function, stack.gate("1")
        if gate:
            self.put_function(gate, archives)
        self.publish(function, archives)
        self._lambda.create_alias(function.alias, function.name, "1", "", "")
        self._url = url
        groups = logs_backends[ACCOUNT_ID][self._region]
        for one in filter(None, (function, gate)):
            if one.log_group not in groups.groups:
                groups.create_log_group(one.log_group, {})
        self._record(stack.name, stack.stack_id)
        self.update_stack(stack, "1")
        self.set_status(stack.name, "CREATE_COMPLETE")

    def update_stack(self, stack: BuiltStack, version: str) -> None:
        """Let CloudFormation show a stack as it is on `version`, with the stacks in it."""
        address = f"https://{API_ID}.execute-api.{self._region}.amazonaws.com"
        record = self._record(stack.name, stack.stack_id)
        record.held_parameters = stack.parameters
        record.held_outputs = {
            key: (value.replace(address, self._url), description)
            for key, (value, description) in stack.outputs(version).items()
        }
        record.resources = [ResourceRecord(*one) for one in stack.list_resources(version)]
        for nested in stack.nested(version).values():
            inner = self._record(nested.name, nested.stack_id, parent_id=stack.stack_id)
            inner.template = json.dumps(nested.source)
            inner.held_parameters, inner.held_outputs = nested.parameters, nested.outputs()
            inner.resources = [ResourceRecord(*one) for one in nested.list_resources()]

    def forget_stack(self, stack_id: str) -> None:
        """Let CloudFormation show no more of a nested stack that is gone."""
        if record := self._stacks.stacks.pop(stack_id, None):
            record.status = "DELETE_COMPLETE"
            self._stacks.deleted_stacks[stack_id] = record

    def set_status(self, stack: str, status: str, reason: str = "") -> None:
        """Let CloudFormation tell the status of a stack, and of those in it."""
        held: Any = self._stacks.get_stack(stack)
        for record in list(self._stacks.stacks.values()):
            if isinstance(record, StackRecord) and held.stack_id in {
                record.stack_id,
                record.parent_id,
            }:
                record.set_status(status, reason)

    def _record(self, name: str, stack_id: str, parent_id: str = "") -> StackRecord:
        """Return the record of a stack, a new one if there is none."""
        record = self._stacks.stacks.get(stack_id)
        if not isinstance(record, StackRecord):
            record = StackRecord(
                stack_id, name, self._region, parent_id=parent_id, root_id=parent_id
            )
            record.status = "CREATE_COMPLETE"
            self._stacks.stacks[stack_id] = record
        return record

    def put_dashboard(self, properties: Mapping[str, str]) -> None:
        """Create or change a dashboard, from its CloudFormation properties."""
        cloudwatch_backends[ACCOUNT_ID][self._region].put_dashboard(
            properties["DashboardName"], properties["DashboardBody"]
        )

    def publish(self, function: Function, archives: Archives) -> str:
        """Publish the next version of the function; return its number, which no other ever had."""
        self.put_function(function, archives)
        published: Any = self._lambda.publish_version(function.name)
        self._published += 1
        if published.version != self._published:  # moto takes how many there are for a number
            published.set_version(self._published)
            arns = self._lambda._lambdas._arns  # noqa: SLF001 moto has no setting for it
            for one in self._lambda.list_versions_by_function(function.name):
                arns[one.function_arn] = one
        return str(self._published)

    def put_function(self, function: Function, archives: Archives) -> None:
        """Create a function, or change what it is without a version."""
        if function.name not in {held.function_name for held in self._lambda.list_functions()}:
            self._create_function(function, archives)
            return
        code = {"ZipFile": archives[function.code]}
        self._lambda.update_function_code(function.name, LATEST, code)
        self._lambda.update_function_configuration(
            function.name, LATEST, self._configuration(function, archives)
        )

    def shift(self, function: Function, version: str, additional: Mapping[str, float]) -> None:
        """Point the function's alias at `version`, with a share of the requests for others."""
        routing: Any = {"AdditionalVersionWeights": dict(additional)}
        self._lambda.update_alias(function.alias, function.name, version, None, routing)  # type: ignore[arg-type]  # None: as it is

    def read_states(self, alarms: Iterable[str]) -> Mapping[str, str]:
        """Return the states of those of the alarms that there are."""
        held = cloudwatch_backends[ACCOUNT_ID][self._region].alarms
        return {name: held[name].state_value for name in alarms if name in held}

    def weights(self, function: str, alias: str) -> Mapping[str, float]:
        """Return the share of requests that the alias sends to each version.

        Raises FunctionError if somebody has deleted the alias.
        """
        try:
            held = self._lambda.get_alias(alias, function)
        except UnknownAliasException as error:
            raise FunctionError("", f"there is no alias {alias}") from error
        routing: Any = held.routing_config or {}
        additional = routing.get("AdditionalVersionWeights") or {}
        return {held.function_version: 1 - sum(additional.values()), **additional}

    def put_metrics(self, samples: Iterable[Sample]) -> None:
        """Add samples to CloudWatch's metrics."""
        self._metrics.extend(Datum(sample) for sample in samples)

    def put_logs(self, group: str, stream: str, lines: Iterable[tuple[int, str]]) -> None:
        """Add lines with their times (ms) to a stream; its oldest go when there are too many."""
        held = logs_backends[ACCOUNT_ID][self._region].groups.get(group)
        if held is None:  # somebody has deleted it
            return
        if stream not in held.streams:
            held.create_log_stream(stream)
        events = [{"timestamp": time, "message": line} for time, line in lines]
        held.put_log_events(stream, events)
        held.streams[stream].events = held.streams[stream].events[-KEPT_LOG_EVENTS:]

    def _create_function(self, function: Function, archives: Archives) -> None:
        role = iam_backends[ACCOUNT_ID]["aws"].create_role(
            f"{function.name}-role", "{}", "/", None, "", [], "3600"
        )
        self._lambda.create_function(
            {
                "FunctionName": function.name,
                "Role": role.arn,
                "Runtime": function.runtime,
                "Architectures": [function.architecture],
                "Code": {"ZipFile": archives[function.code]},
                **self._configuration(function, archives),
            }
        )

    def _configuration(self, function: Function, archives: Archives) -> dict[str, Any]:
        layers = [
            self._lambda.publish_layer_version(
                {
                    "LayerName": f"{function.name}-{layer.name}",
                    "Content": {"ZipFile": archives[layer]},
                    "CompatibleRuntimes": [function.runtime],
                }
            ).arn
            for layer in function.layers
        ]
        return {
            "Description": function.description,
            "Handler": function.handler,
            "MemorySize": function.memory_mb,
            "Timeout": function.timeout_seconds,
            "Environment": {"Variables": dict(function.environment)},
            "Layers": layers,
        }


def tell_template(stack: BuiltStack, archives: Archives) -> dict[str, Any]:
    """Return the template as SAM CLI sends it: the key of an upload in the place of each folder."""
    template = deepcopy(dict(stack.source))
    for properties, key, path in list_paths(template):
        held = archives.get((stack.build / path).resolve())
        properties[key] = f"s3://local/{_name_upload(held) if held else 'unknown'}"
    return template


def _name_upload(archive: str) -> str:
    """Return the digest of a folder under which SAM CLI uploads it (samcli.lib.utils.hash)."""
    with zipfile.ZipFile(io.BytesIO(base64.b64decode(archive))) as files:
        lines = files.read(DIGESTS).decode().splitlines()
    digest = _md5()
    for line in lines:
        of_file, _, path = line.partition(" ")
        digest.update(path.encode() + of_file.encode())
    return str(digest.hexdigest())


def archive(stack: BuiltStack) -> Archives:
    """Make an archive of each built folder of a stack; raise BuildError if one cannot be read."""
    functions = filter(None, (stack.function, stack.gate("1")))
    folders = {folder for one in functions for folder in (one.code, *one.layers)}
    try:
        return {folder: _zip(folder.resolve(strict=True)) for folder in folders}
    except OSError as error:
        raise BuildError(error) from error


def _zip(directory: Path) -> str:
    """Make a small archive that stands for `directory`: its files' digests, not their content."""
    lines = []
    for path in sorted((path for path in directory.rglob("*") if path.is_file()), key=str):
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, _md5).hexdigest()
        lines.append(f"{digest} {path.relative_to(directory)}")
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as files:
        files.writestr(zipfile.ZipInfo(DIGESTS), "\n".join(lines))
    return base64.b64encode(archive.getvalue()).decode()


def _md5() -> Any:
    """Return the digest that SAM CLI takes: it tells builds apart, and keeps nobody out."""
    return hashlib.md5(usedforsecurity=False)
