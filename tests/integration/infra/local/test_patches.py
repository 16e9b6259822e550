"""Whether moto still lacks what the local platform puts into it: one proof for each patch.

Here moto is as it comes. A proof that fails says that moto has learned it: the patch can go.
"""

import contextlib
import io
import json
import warnings
import zipfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws
from moto.awslambda.models import LambdaBackend, lambda_backends
from moto.cloudformation.parsing import get_model_map
from moto.cloudwatch import models as cloudwatch
from moto.cloudwatch.models import Dimension, MetricDatum, cloudwatch_backends
from moto.sqs.models import Message, sqs_backends
from moto.stepfunctions.parser.asl.utils.boto_client import boto_client_for
from moto.utilities.docker_utilities import DockerModel

from infra.local.control.cloud_formation_api import answer_cloud_formation
from infra.local.control.code_deploy_api import answer_code_deploy
from infra.local.control.event_configs import EventConfigs
from infra.local.control.event_sources import EventSources
from infra.local.control.lambda_api import LambdaApi
from infra.local.control.patches import PATCHES, Patch, Replacements, list_patches
from infra.local.control.sqs_messages import MOST_MESSAGES

REGION, ACCOUNT = "eu-west-1", "123456789012"
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
TRACE = "Root=1-5759e988-bd862e3fe1be46a994272793"
HANDLED = {  # the types of resources that the platform makes because moto does not
    *("AWS::ApiGatewayV2::Api", "AWS::ApiGatewayV2::Stage", "AWS::CloudWatch::Alarm"),
    *("AWS::CloudWatch::CompositeAlarm", "AWS::CodeDeploy::Application"),
    *("AWS::CodeDeploy::DeploymentGroup", "AWS::Lambda::Alias", "AWS::Lambda::EventInvokeConfig"),
    *("AWS::S3::BucketPolicy", "AWS::SNS::Subscription", "AWS::SNS::TopicPolicy"),
    "AWS::SQS::QueuePolicy",
}


def connect(service: str) -> Any:
    return boto3.client(  # type: ignore[call-overload]  # the service is not a literal here
        service,
        region_name=REGION,
        aws_access_key_id="x",
        aws_secret_access_key="x",  # noqa: S106 moto takes any
    )


@pytest.fixture
def moto() -> Iterator[None]:
    """Moto without any patch, and with nothing in it."""
    with mock_aws():
        yield


def refuses(call: Callable[..., Any], **arguments: Any) -> bool:
    """Tell whether moto has no such call."""
    try:
        call(**arguments)
    except NotImplementedError:
        return True
    except ClientError as error:
        return error.response["ResponseMetadata"]["HTTPStatusCode"] in {404, 500, 501}
    return False


def refuses_as_invalid(call: Callable[..., Any], **arguments: Any) -> bool:
    """Tell whether moto refuses the arguments of a call."""
    try:
        call(**arguments)
    except ClientError:
        return True
    return False


def create_function(**more: Any) -> Any:
    role = connect("iam").create_role(RoleName="role", AssumeRolePolicyDocument="{}")["Role"]
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as files:
        files.writestr("app.py", "def handler(event, context):\n    return event\n")
    functions = connect("lambda")
    functions.create_function(
        FunctionName="shop",
        Runtime="python3.13",
        Role=role["Arn"],
        Handler="app.handler",
        Code={"ZipFile": archive.getvalue()},
        **more,
    )
    return functions


def put_values(count: int) -> None:
    data = [
        {"MetricName": "Errors", "Value": i, "Timestamp": NOW + timedelta(seconds=i)}
        for i in range(count)
    ]
    connect("cloudwatch").put_metric_data(Namespace="Shop", MetricData=data)


def order_of_dimensions() -> bool:
    one, other = Dimension("service", "z"), Dimension("version", "x")
    return sorted([one, other]) != sorted([other, one])


def percentiles() -> bool:
    statistics = cloudwatch.Statistics(["p99"], NOW)
    statistics.metric_data = [MetricDatum("Shop", "Errors", 1.0, [], NOW, "Count")]
    return statistics.get_statistics_for_type("p99") is None


def extended_statistics() -> bool:
    put_values(3)
    window = {"StartTime": NOW, "EndTime": NOW + timedelta(minutes=1), "Period": 60}
    try:
        points = connect("cloudwatch").get_metric_statistics(
            Namespace="Shop", MetricName="Errors", ExtendedStatistics=["p99"], **window
        )["Datapoints"]
    except Exception:  # moto fails in a way of its own
        return True
    return not any("ExtendedStatistics" in point for point in points)


class CountedDatum(MetricDatum):
    """A value that counts how often somebody asks for its time."""

    looks = 0

    @property
    def timestamp(self) -> datetime:
        CountedDatum.looks += 1
        return NOW.replace(tzinfo=None)

    @timestamp.setter
    def timestamp(self, time: datetime) -> None:
        pass


def metric_data() -> bool:
    CountedDatum.looks = 0
    backend = cloudwatch_backends[ACCOUNT][REGION]
    backend.metric_data.append(CountedDatum("Shop", "Errors", 1.0, [], NOW, "Count"))
    metric = {"Namespace": "Shop", "MetricName": "Errors"}
    query = {"Id": "a", "MetricStat": {"Metric": metric, "Period": 60, "Stat": "Sum"}}
    connect("cloudwatch").get_metric_data(
        MetricDataQueries=[query], StartTime=NOW, EndTime=NOW + timedelta(hours=1)
    )
    return CountedDatum.looks > 60


def composite_alarms() -> bool:
    put = connect("cloudwatch").put_composite_alarm
    return refuses(put, AlarmName="any", AlarmRule='ALARM("one")')


def account_settings() -> bool:
    return refuses(connect("lambda").get_account_settings)


def provisioned_concurrency() -> bool:
    read = create_function().get_provisioned_concurrency_config
    try:
        read(FunctionName="shop", Qualifier="1")
    except NotImplementedError:
        return True
    except ClientError as error:
        return error.response["Error"]["Code"] != "ProvisionedConcurrencyConfigNotFoundException"
    return False


def create_group() -> Any:
    deploy = connect("codedeploy")
    deploy.create_application(applicationName="shop", computePlatform="Lambda")
    deploy.create_deployment_group(
        applicationName="shop",
        deploymentGroupName="group",
        serviceRoleArn="arn:aws:iam::123456789012:role/x",
        alarmConfiguration={"enabled": True, "alarms": [{"name": "errors"}]},
    )
    return deploy


def group_s_alarms() -> bool:
    group = create_group().get_deployment_group(
        applicationName="shop", deploymentGroupName="group"
    )["deploymentGroupInfo"]
    return bool(group.get("alarmConfiguration", {}).get("alarms") != [{"name": "errors"}])


def create_deployment(deploy: Any) -> Any:
    revision = {"revisionType": "AppSpecContent", "appSpecContent": {"content": "{}"}}
    return deploy.create_deployment(
        applicationName="shop", deploymentGroupName="group", revision=revision
    )["deploymentId"]


def deployment_s_error() -> bool:
    deploy = create_group()
    deployment = create_deployment(deploy)
    told = deploy.get_deployment(deploymentId=deployment)["deploymentInfo"]
    return bool(told.get("errorInformation") == told.get("rollbackInfo") == {})  # always


def stop_deployment() -> bool:
    deploy = create_group()
    return refuses(deploy.stop_deployment, deploymentId=create_deployment(deploy))


def hook_reports() -> bool:
    report = connect("codedeploy").put_lifecycle_event_hook_execution_status
    return refuses(report, deploymentId="d-1", lifecycleEventHookExecutionId="x", status="Failed")


def queue_s_end() -> bool:
    queues = sqs_backends[ACCOUNT][REGION]
    queue = queues.create_queue("endless")
    queue._messages += [Message(str(i), "x") for i in range(MOST_MESSAGES)]  # noqa: SLF001 as said
    queues.send_message("endless", "x")
    return len(queue._messages) > MOST_MESSAGES  # noqa: SLF001 moto has no method for it


def age_of_a_message() -> bool:
    looks = []

    class CountedMessage(Message):
        @property
        def visible(self) -> bool:
            looks.append(self)
            return super().visible

    queues = sqs_backends[ACCOUNT][REGION]
    queue = queues.create_queue("long")
    for i in range(10):
        message = CountedMessage(str(i), "x")
        message.mark_sent(0)
        queue._messages.append(message)  # noqa: SLF001 moto has no method for it
    queues.receive_message("long", 5, 0, 30)
    return len(looks) > 5 * len(queue._messages)  # noqa: SLF001 moto has no method for it


def trace_of_a_sender() -> bool:
    sqs = connect("sqs")
    url = sqs.create_queue(QueueName="inbox")["QueueUrl"]

    def add(params: Any, **_: Any) -> None:
        params["headers"]["X-Amzn-Trace-Id"] = TRACE

    sqs.meta.events.register("before-call", add)
    sqs.send_message(QueueUrl=url, MessageBody="x")
    sqs.send_message_batch(QueueUrl=url, Entries=[{"Id": "1", "MessageBody": "x"}])
    received = sqs.receive_message(
        QueueUrl=url, MaxNumberOfMessages=10, MessageSystemAttributeNames=["All"]
    )["Messages"]
    return all("AWSTraceHeader" not in one["Attributes"] for one in received)


def needs_docker(monkeypatch: pytest.MonkeyPatch, invoke: Callable[[], Any]) -> bool:
    """Tell whether moto looks for a container engine."""
    asked = []

    def ask(_: Any) -> Any:
        asked.append(True)
        raise ConnectionError

    monkeypatch.setattr("moto.settings.get_docker_host", lambda: "http://127.0.0.1")
    monkeypatch.setattr(DockerModel, "docker_client", property(ask))
    with contextlib.suppress(ConnectionError, ClientError):
        invoke()
    return bool(asked)


def invoke_in_a_container(monkeypatch: pytest.MonkeyPatch) -> bool:
    functions = create_function()
    return needs_docker(monkeypatch, lambda: functions.invoke(FunctionName="shop", Payload="{}"))


def moto_s_own_invoke(monkeypatch: pytest.MonkeyPatch) -> bool:
    create_function()
    function = lambda_backends[ACCOUNT][REGION].get_function("shop")
    return needs_docker(monkeypatch, lambda: function.invoke("{}", {}, {}))


def config_by_qualifier() -> bool:
    functions = create_function()
    functions.publish_version(FunctionName="shop")
    for qualifier, attempts in (("$LATEST", 0), ("1", 1)):
        functions.put_function_event_invoke_config(
            FunctionName="shop", Qualifier=qualifier, MaximumRetryAttempts=attempts
        )
    read = functions.get_function_event_invoke_config
    return bool(read(FunctionName="shop", Qualifier="1")["MaximumRetryAttempts"] != 1)


def put_config(functions: Any, qualifier: str = "$LATEST", **settings: Any) -> None:
    functions.put_function_event_invoke_config(FunctionName="shop", Qualifier=qualifier, **settings)


def change_of_a_config() -> bool:
    functions = create_function()
    put_config(functions, MaximumRetryAttempts=0)
    functions.update_function_event_invoke_config(
        FunctionName="shop", Qualifier="$LATEST", MaximumRetryAttempts=1
    )
    config = functions.get_function_event_invoke_config(FunctionName="shop", Qualifier="$LATEST")
    return bool(config["MaximumRetryAttempts"] != 1)


def config_of_another_qualifier() -> bool:
    functions = create_function()
    functions.publish_version(FunctionName="shop")
    put_config(functions, MaximumRetryAttempts=0)
    read = functions.get_function_event_invoke_config
    return not refuses(read, FunctionName="shop", Qualifier="1")


def deletion_of_one_config() -> bool:
    functions = create_function()
    functions.publish_version(FunctionName="shop")
    put_config(functions, MaximumRetryAttempts=0)
    put_config(functions, "1", MaximumRetryAttempts=0)
    functions.delete_function_event_invoke_config(FunctionName="shop", Qualifier="1")
    read = functions.get_function_event_invoke_config
    return refuses(read, FunctionName="shop", Qualifier="$LATEST")


def list_of_configs() -> bool:
    functions = create_function()
    functions.publish_version(FunctionName="shop")
    put_config(functions, MaximumRetryAttempts=0)
    put_config(functions, "1", MaximumRetryAttempts=0)
    held = functions.list_function_event_invoke_configs(FunctionName="shop")
    return len(held["FunctionEventInvokeConfigs"]) < 2


def deletion_without_a_process(monkeypatch: pytest.MonkeyPatch) -> bool:
    functions = create_function()
    functions.publish_version(FunctionName="shop")
    delete = functions.delete_function
    return not needs_docker(monkeypatch, lambda: delete(FunctionName="shop", Qualifier="1"))


def create_mapping(functions: Any) -> tuple[Any, str]:
    """Map a queue to the function; return what holds moto's own triggers, and the mapping's id."""
    connect("sqs").create_queue(QueueName="inbox")
    mapping = functions.create_event_source_mapping(
        FunctionName="shop", EventSourceArn=f"arn:aws:sqs:{REGION}:{ACCOUNT}:inbox"
    )
    queue = sqs_backends[ACCOUNT][REGION].get_queue("inbox")
    return queue.lambda_event_source_mappings, mapping["UUID"]


def check_of_a_changed_mapping() -> bool:
    functions = create_function()
    _, identity = create_mapping(functions)
    update = functions.update_event_source_mapping
    return not refuses_as_invalid(update, UUID=identity, BatchSize=11)


def end_of_moto_s_own_trigger() -> bool:
    functions = create_function()
    held, identity = create_mapping(functions)
    was_held = identity in {mapping.uuid for mapping in held.values()}
    functions.delete_event_source_mapping(UUID=identity)
    return was_held


def deletion_of_an_alias() -> bool:
    functions = create_function()
    alias = {"FunctionName": "shop", "FunctionVersion": "$LATEST", "Name": "live"}
    resource = {"Type": "AWS::Lambda::Alias", "Properties": alias}
    client = connect("cloudformation")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # moto warns, and goes on
        body = json.dumps({"Resources": {"Alias": resource}})
        client.create_stack(StackName="any", TemplateBody=body)
        functions.create_alias(**alias)
        client.delete_stack(StackName="any")
    return not refuses(functions.get_alias, FunctionName="shop", Name="live")


def new_stacks() -> bool:
    template = '{"Resources": {"Nonsense": {"Type": "AWS::No::Such"}}}'
    create = connect("cloudformation").create_stack
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # moto warns, and goes on
        return not refuses_as_invalid(create, StackName="nonsense", TemplateBody=template)


def change_sets() -> bool:
    template = '{"Resources": {"Nonsense": {"Type": "AWS::No::Such"}}}'
    create = connect("cloudformation").create_change_set
    return not refuses_as_invalid(
        create, StackName="nonsense", ChangeSetName="x", TemplateBody=template
    )


def delivery_by_the_sender(monkeypatch: pytest.MonkeyPatch) -> bool:
    functions = create_function()
    sqs = connect("sqs")
    url = sqs.create_queue(QueueName="inbox")["QueueUrl"]
    functions.create_event_source_mapping(
        FunctionName="shop", EventSourceArn=f"arn:aws:sqs:{REGION}:{ACCOUNT}:inbox"
    )
    handed = []

    def hand(*arguments: Any) -> bool:
        handed.append(arguments)
        return True

    monkeypatch.setattr(LambdaBackend, "send_sqs_batch", hand)
    sqs.send_message(QueueUrl=url, MessageBody="x")
    return bool(handed)


def types_of_resources() -> bool:
    return not HANDLED & get_model_map().keys()


def tasks_of_others() -> bool:
    client: Any = boto_client_for(REGION, "lambda")
    return bool(client._request_signer._credentials.access_key == "ak")  # noqa: SLF001 nobody tells


PROOFS: dict[tuple[str, str], Callable[..., bool]] = {
    ("Dimension", "__lt__"): order_of_dimensions,
    ("moto.cloudwatch.models", "Statistics"): percentiles,
    ("CloudWatchResponse", "get_metric_statistics"): extended_statistics,
    ("CloudWatchBackend", "get_metric_data"): metric_data,
    ("CloudWatchResponse", "put_composite_alarm"): composite_alarms,
    ("routes", "account-settings"): account_settings,
    ("routes", "provisioned-concurrency"): provisioned_concurrency,
    ("LambdaResponse", "get_account_settings"): account_settings,
    ("LambdaResponse", "get_provisioned_concurrency_config"): provisioned_concurrency,
    ("moto.codedeploy.responses", "_deployment_info"): deployment_s_error,
    ("moto.codedeploy.responses", "_deployment_group_info"): group_s_alarms,
    ("SQSBackend", "send_message"): queue_s_end,
    ("SQSBackend", "is_message_valid_based_on_retention_period"): age_of_a_message,
    ("SQSResponse", "send_message"): trace_of_a_sender,
    ("SQSResponse", "send_message_batch"): trace_of_a_sender,
    ("LambdaResponse", "invoke"): invoke_in_a_container,
    ("LambdaResponse", "delete_function"): deletion_without_a_process,
    ("LambdaFunction", "invoke"): moto_s_own_invoke,
    ("LambdaResponse", "put_function_event_invoke_config"): config_by_qualifier,
    ("LambdaResponse", "update_function_event_invoke_config"): change_of_a_config,
    ("LambdaResponse", "get_function_event_invoke_config"): config_of_another_qualifier,
    ("LambdaResponse", "delete_function_event_invoke_config"): deletion_of_one_config,
    ("LambdaResponse", "list_function_event_invoke_configs"): list_of_configs,
    ("LambdaBackend", "create_event_source_mapping"): delivery_by_the_sender,
    ("LambdaBackend", "update_event_source_mapping"): check_of_a_changed_mapping,
    ("LambdaBackend", "delete_event_source_mapping"): end_of_moto_s_own_trigger,
    ("CodeDeployResponse", "stop_deployment"): stop_deployment,
    ("CodeDeployResponse", "put_lifecycle_event_hook_execution_status"): hook_reports,
    ("CloudFormationResponse", "create_stack"): new_stacks,
    ("CloudFormationResponse", "create_change_set"): change_sets,
    ("CloudFormationResponse", "update_stack"): types_of_resources,
    ("CloudFormationResponse", "delete_stack"): deletion_of_an_alias,
    ("moto.stepfunctions.parser.asl.utils.boto_client", "boto3"): tasks_of_others,
}


def list_names(patch: Patch) -> Iterator[tuple[str, str]]:
    """Yield what a patch replaces, by the names of owner and method."""
    for name in patch.names:
        if isinstance(patch.owner, dict):
            yield "routes", "account-settings" if "account" in name else "provisioned-concurrency"
        else:
            yield patch.owner.__name__, name


async def test_each_patch_has_a_proof_and_a_reason() -> None:
    nothing: Any = SimpleNamespace()
    sources = EventSources(nothing, nothing, nothing, lambda time: time)
    replacements = Replacements(
        lambda_api=LambdaApi(nothing, nothing),
        event_configs=EventConfigs(REGION).methods(),
        event_sources=sources.methods(),
        code_deploy=answer_code_deploy(nothing, nothing),
        cloud_formation=answer_cloud_formation(nothing, {}),
        state_machines=nothing,
    )
    patches = (*PATCHES, *list_patches(replacements))
    names = [name for patch in patches for name in list_names(patch)]
    assert sorted(names) == sorted(PROOFS)
    assert all(patch.reason for patch in patches)


@pytest.mark.usefixtures("moto")
@pytest.mark.parametrize(
    "proof", dict.fromkeys(PROOFS.values()), ids=lambda proof: str(proof.__name__)
)
def test_moto_still_lacks_it(proof: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    wants_patch = "monkeypatch" in proof.__code__.co_varnames[: proof.__code__.co_argcount]
    assert proof(monkeypatch) if wants_patch else proof()


def test_moto_is_what_it_was_once_a_patch_has_ended() -> None:
    # GIVEN every name that the account's own patches replace
    def read() -> list[Any]:
        return [
            patch.owner.get(name) if isinstance(patch.owner, dict) else vars(patch.owner).get(name)
            for patch in PATCHES
            for name in patch.names
        ]

    before = read()
    # WHEN they are applied, one in the other
    with contextlib.ExitStack() as exits:
        for patch in (*PATCHES, *PATCHES):
            exits.enter_context(patch.apply())
        assert all(now is not then for now, then in zip(read(), before, strict=True))
    # THEN nothing stays
    assert read() == before
