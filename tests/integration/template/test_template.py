"""What lint cannot see in template.yaml, read from what the SAM translator makes of it."""

import json
import re
import tomllib
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from moto.iam.aws_managed_policies import aws_managed_policies_data

from gate.handler import ALIAS
from infra.local.dependencies import order_around
from infra.local.errors import TemplateError
from layers.runtime.build import MACHINES, PYTHON
from tests.sam_template import (
    MONITORING,
    ROOT,
    SOURCE,
    VERSIONED,
    Template,
    find,
    find_version,
    parse,
    parse_monitoring,
    properties,
    translate,
    walk,
)

type Change = Callable[[Template], None]

STACKS = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "infra/stacks").glob("*.yaml"))


@pytest.fixture(autouse=True)
def _region(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")


# The release matrix: what publishes a version.


@pytest.mark.parametrize("name", VERSIONED)
def test_new_content_publishes_a_version(built: dict[str, Path], name: str) -> None:
    # GIVEN
    before = find_version(translate(parse(), built))

    # WHEN
    (built[name] / "content").write_text(f"{name} 2")

    # THEN
    assert find_version(translate(parse(), built)) != before


def test_new_gate_publishes_nothing(built: dict[str, Path]) -> None:
    before = find_version(translate(parse(), built))
    (built["GateFunction"] / "content").write_text("GateFunction 2")
    assert find_version(translate(parse(), built)) == before


def test_same_content_built_elsewhere_publishes_nothing(
    built: dict[str, Path], tmp_path: Path
) -> None:
    before = find_version(translate(parse(), built))
    moved = {name: folder.rename(tmp_path / f"moved-{name}") for name, folder in built.items()}
    assert find_version(translate(parse(), moved)) == before


def set_memory(template: Template) -> None:
    properties(template, "InferenceFunction")["MemorySize"] = 3538


def set_timeout(template: Template) -> None:
    properties(template, "InferenceFunction")["Timeout"] = 15


def set_variable(template: Template) -> None:
    properties(template, "InferenceFunction")["Environment"]["Variables"]["NEW"] = "1"


def switch_snapstart_on(template: Template) -> None:
    properties(template, "InferenceFunction")["SnapStart"]["ApplyOn"] = "PublishedVersions"


@pytest.mark.parametrize("change", [set_memory, set_timeout, set_variable, switch_snapstart_on])
def test_changed_literal_of_the_function_publishes_a_version(
    built: dict[str, Path], change: Change
) -> None:
    # GIVEN
    changed = parse()
    change(changed)

    # WHEN / THEN
    assert find_version(translate(changed, built)) != find_version(translate(parse(), built))


def parse_for(architecture: str) -> Template:
    """Return the template after the one literal that names its processor was changed."""
    return parse(re.sub(r"&architecture \w+", f"&architecture {architecture}", SOURCE))


def test_other_architecture_publishes_a_version(built: dict[str, Path]) -> None:
    one, other = (translate(parse_for(architecture), built) for architecture in MACHINES)
    assert find_version(one) != find_version(other)


@pytest.mark.parametrize("parameter", parse()["Parameters"])
def test_changed_parameter_publishes_nothing(built: dict[str, Path], parameter: str) -> None:
    # GIVEN another value for this deploy, and another default in the template
    changed = parse()
    value = changed["Parameters"][parameter].get("AllowedValues", [7])[-1]
    assert value != changed["Parameters"][parameter]["Default"]
    changed["Parameters"][parameter]["Default"] = value

    # WHEN / THEN
    before = find_version(translate(parse(), built))
    assert find_version(translate(parse(), built, {parameter: value})) == before
    assert find_version(translate(changed, built)) == before


def unpublish_model(template: Template) -> None:
    del properties(template, "ModelLayer")["PublishLambdaVersion"]


def publish_code_only(template: Template) -> None:
    del properties(template, "InferenceFunction")["AutoPublishAliasAllProperties"]


@pytest.mark.parametrize("weaken", [unpublish_model, publish_code_only])
def test_new_model_would_publish_nothing_without_both_settings(
    built: dict[str, Path], weaken: Change
) -> None:
    # GIVEN the template without one of the two settings
    first, second = parse(), parse()
    weaken(first)
    weaken(second)
    before = find_version(translate(first, built))

    # WHEN
    (built["ModelLayer"] / "content").write_text("ModelLayer 2")

    # THEN the alias would keep the old model
    assert find_version(translate(second, built)) == before


def test_setting_given_by_a_parameter_would_publish_nothing(built: dict[str, Path]) -> None:
    # GIVEN a variable of the function that refers to a parameter
    def with_parameter() -> Template:
        template = parse()
        variables = properties(template, "InferenceFunction")["Environment"]["Variables"]
        variables["LIMIT"] = {"Ref": "ThrottleRate"}
        return template

    # WHEN / THEN
    before = find_version(translate(with_parameter(), built, {"ThrottleRate": 7}))
    assert find_version(translate(with_parameter(), built, {"ThrottleRate": 8})) == before


def find_names(node: Any) -> set[str]:
    """Return the logical ids and parameters that a part of a template refers to."""
    names: set[str] = set()
    for part in walk(node):
        match part:
            case {"Ref": str() as name} | {"Fn::GetAtt": [name, *_]}:
                names.add(name)
            case {"Fn::Sub": [str() as text, dict() as variables]}:
                names |= set(re.findall(r"\$\{([^}.!]+)", text)) - variables.keys()
            case {"Fn::Sub": str() as text}:
                names |= set(re.findall(r"\$\{([^}.!]+)", text))
    return names


def test_nothing_that_is_served_comes_from_a_parameter() -> None:
    template = parse()
    function = properties(template, "InferenceFunction")
    # How it is released and what it is called changes nothing of what it answers.
    del function["DeploymentPreference"], function["Description"]
    for name in VERSIONED:
        assert find_names(properties(template, name)).isdisjoint(template["Parameters"])


def test_another_attempt_alone_publishes_nothing_and_makes_a_version_differ(
    built: dict[str, Path],
) -> None:
    # GIVEN the version of a failed release, which CloudFormation forgot and Lambda did not
    failed = translate(parse(), built, {"ReleaseAttempt": 1})

    # WHEN the same is released once more
    again = translate(parse(), built, {"ReleaseAttempt": 2})

    # THEN Lambda is asked to publish something that differs from it
    assert find_version(again) == find_version(failed)
    assert properties(again, "InferenceFunction")["Description"] == {
        "Fn::Sub": "Serves one ONNX model over the Open Inference Protocol "
        "(attempt ${ReleaseAttempt})"
    }


def test_concurrency_is_neither_reserved_nor_provisioned() -> None:
    # Reserving fails in new accounts, and what is provisioned cannot change during a canary.
    assert not re.search(r"\b(Reserved|Provisioned)Concurren\w+:", SOURCE)


def test_functions_have_no_tags_since_a_tag_would_publish_a_version(
    built: dict[str, Path],
) -> None:
    # GIVEN the only tag is SAM's own
    translated = translate(parse(), built)
    tags = properties(translated, "InferenceFunction")["Tags"]
    assert [tag["Key"] for tag in tags] == ["lambda:createdBy"]

    # WHEN
    tagged = parse()
    properties(tagged, "InferenceFunction")["Tags"] = {"team": "pricing"}

    # THEN SAM would publish, and Lambda would refuse, a version that differs in nothing else
    assert find_version(translate(tagged, built)) != find_version(translated)


def test_versions_and_layers_outlive_the_release_that_replaces_them(
    built: dict[str, Path],
) -> None:
    translated = translate(parse(), built)
    layers = find(translated, "AWS::Lambda::LayerVersion")
    versions = find(translated, "AWS::Lambda::Version")
    assert len(layers) == 2
    assert {resource["DeletionPolicy"] for resource in (layers | versions).values()} == {"Retain"}
    for layer in find(parse(), "AWS::Serverless::LayerVersion").values():
        assert layer["Properties"]["RetentionPolicy"] == "Retain"
        assert layer["Properties"]["PublishLambdaVersion"] is True


# The release: what CodeDeploy is told.


@pytest.mark.parametrize(
    ("deployment_type", "name"),
    [
        (None, "Canary10Percent10Minutes"),
        *((one, one) for one in parse()["Parameters"]["DeploymentType"]["AllowedValues"]),
    ],
)
def test_parameter_chooses_how_traffic_shifts(
    built: dict[str, Path], deployment_type: str | None, name: str
) -> None:
    # WHEN
    given = {"DeploymentType": deployment_type} if deployment_type else {}
    translated = translate(parse(), built, given)

    # THEN CodeDeploy has a configuration of that name
    group = properties(translated, "InferenceFunctionDeploymentGroup")
    text, variables = group["DeploymentConfigName"]["Fn::Sub"]
    assert (
        text.replace("${ConfigName}", variables["ConfigName"]) == f"CodeDeployDefault.Lambda{name}"
    )
    assert group["DeploymentStyle"]["DeploymentOption"] == "WITH_TRAFFIC_CONTROL"


def test_alarms_of_the_new_version_and_no_others_take_a_release_back(
    built: dict[str, Path],
) -> None:
    # GIVEN
    group = properties(translate(parse(), built), "InferenceFunctionDeploymentGroup")

    # THEN; what is wrong with the old version must not stop its fix
    assert group["AlarmConfiguration"] == {
        "Enabled": True,
        "Alarms": [
            {"Name": {"Ref": "ReleaseServerErrorsAlarm"}},
            {"Name": {"Ref": "ReleaseFunctionErrorsAlarm"}},
            {"Name": {"Ref": "ReleaseLatencyAlarm"}},
            {"Name": {"Ref": "ReleaseNonFiniteOutputsAlarm"}},
        ],
    }
    assert group["AutoRollbackConfiguration"] == {
        "Enabled": True,
        "Events": [
            "DEPLOYMENT_FAILURE",
            "DEPLOYMENT_STOP_ON_ALARM",
            "DEPLOYMENT_STOP_ON_REQUEST",
        ],
    }


def test_alias_moves_through_codedeploy_and_the_gate(built: dict[str, Path]) -> None:
    # GIVEN
    translated = translate(parse(), built)

    # THEN
    alias = translated["Resources"]["InferenceFunctionAliaslive"]
    assert alias["UpdatePolicy"] == {
        "CodeDeployLambdaAliasUpdate": {
            "ApplicationName": {"Ref": "ServerlessDeploymentApplication"},
            "DeploymentGroupName": {"Ref": "InferenceFunctionDeploymentGroup"},
            "BeforeAllowTrafficHook": {"Ref": "GateFunction"},
        }
    }
    assert alias["Properties"]["Name"] == ALIAS
    assert "Description" not in alias["Properties"]  # a rollback is recorded there


def test_codedeploy_has_the_narrower_role_under_the_name_of_sams(built: dict[str, Path]) -> None:
    # GIVEN the role's name, under which a stack that exists has SAM's
    translated = translate(parse(), built)
    group = properties(translated, "InferenceFunctionDeploymentGroup")
    assert group["ServiceRoleArn"] == {"Fn::GetAtt": ["CodeDeployServiceRole", "Arn"]}

    # THEN its policy, as AWS publishes it, allows all that a release needs and no topic
    [arn] = properties(translated, "CodeDeployServiceRole")["ManagedPolicyArns"]
    document = json.loads(aws_managed_policies_data)[arn["Fn::Sub"].rpartition("/")[2]]["Document"]
    allowed = {
        action: statement["Resource"]
        for statement in document["Statement"]
        for action in statement["Action"]
        if "Condition" not in statement
    }
    assert allowed == {
        "cloudwatch:DescribeAlarms": "*",
        "lambda:UpdateAlias": "*",
        "lambda:GetAlias": "*",
        "lambda:GetProvisionedConcurrencyConfig": "*",
        "lambda:InvokeFunction": "arn:aws:lambda:*:*:function:CodeDeployHook_*",
        "s3:GetObject": "arn:aws:s3:::*/CodeDeploy/*",
        "s3:GetObjectVersion": "arn:aws:s3:::*/CodeDeploy/*",
    }


def test_gate_gets_the_new_version_and_has_its_layers(built: dict[str, Path]) -> None:
    # GIVEN
    translated = translate(parse(), built)
    gate = properties(translated, "GateFunction")

    # THEN
    variables = gate["Environment"]["Variables"]
    assert variables["INFERENCE_VERSION"] == {"Ref": find_version(translated)}
    assert variables["MAX_SLOWDOWN"] == {"Ref": "MaxSlowdown"}
    assert variables["MAX_ANSWER_CHANGE"] == {"Ref": "MaxAnswerChange"}
    assert variables["ALLOW_CONTRACT_CHANGE"] == {"Ref": "AllowContractChange"}
    assert gate["Layers"] == properties(translated, "InferenceFunction")["Layers"]
    assert gate["Runtime"] == properties(translated, "InferenceFunction")["Runtime"]


def test_gate_has_no_version_and_no_canary_of_its_own(built: dict[str, Path]) -> None:
    translated = translate(parse(), built)
    assert len(find(translated, "AWS::Lambda::Version")) == 1
    assert len(find(translated, "AWS::Lambda::Alias")) == 1
    assert len(find(translated, "AWS::CodeDeploy::DeploymentGroup")) == 1


def test_codedeploy_may_call_the_gate_whatever_the_stack_is_called(built: dict[str, Path]) -> None:
    # Its role may call only CodeDeployHook_*; 64 characters are the most of a function's name.
    name = properties(translate(parse(), built), "GateFunction")["FunctionName"]["Fn::Sub"]
    assert name.startswith("CodeDeployHook_")
    assert len(name.replace("${AWS::StackName}", "s" * 44)) == 64


def test_resources_depend_on_each_other_without_a_circle(built: dict[str, Path]) -> None:
    # WHEN
    before, _ = order_around(translate(parse(), built)["Resources"], "InferenceFunctionAliaslive")

    # THEN everything that a release needs is there before the alias moves
    needed = {"GateFunction", "InferenceFunctionDeploymentGroup", "ReleaseLatencyAlarm"}
    assert needed <= set(before)


def refer_to_the_alias(template: Template) -> None:
    variables = properties(template, "GateFunction")["Environment"]["Variables"]
    variables["ALIAS"] = {"Ref": "InferenceFunction.Alias"}


def watch_the_alias(template: Template) -> None:
    metrics = properties(template, "ReleaseFunctionErrorsAlarm")["Metrics"]
    [bad] = [one["MetricStat"]["Metric"] for one in metrics if one["Id"] == "bad"]
    bad["Dimensions"][1]["Value"] = {"Fn::Sub": "${InferenceFunction.Alias}"}


@pytest.mark.parametrize("change", [refer_to_the_alias, watch_the_alias])
def test_circle_is_found(built: dict[str, Path], change: Change) -> None:
    template = parse()
    change(template)
    with pytest.raises(TemplateError, match="InferenceFunctionAliaslive"):
        order_around(translate(template, built)["Resources"], "InferenceFunctionAliaslive")


# Who may do what.


def drop_key_policies(template: Template) -> Template:
    """Return the template without the policies of its keys, where the resource "*" is the key."""
    template = deepcopy(template)
    for key in find(template, "AWS::KMS::Key").values():
        del key["Properties"]["KeyPolicy"]
    return template


def find_wildcards(template: Template) -> list[str]:
    """Return each action, resource and principal with a wildcard in the policies of a template."""
    statements = [node for node in walk(drop_key_policies(template)) if "Effect" in node]
    assert statements
    return [
        text
        for statement in statements
        for key in ("Action", "NotAction", "Resource", "NotResource", "Principal")
        for text in re.findall(r'"([^"]*\*[^"]*)"', json.dumps(statement.get(key)))
    ]


def find_managed_policies(template: Template) -> list[str]:
    """Return the managed policies of every role."""
    roles = find(template, "AWS::IAM::Role").values()
    return [
        json.dumps(arn) for role in roles for arn in role["Properties"].get("ManagedPolicyArns", [])
    ]


# The new version and the one that it replaces: any, and never what is not published.
VERSIONS = "${InferenceFunction.Arn}:*"


def test_no_policy_has_a_wildcard_but_for_the_versions(built: dict[str, Path]) -> None:
    assert find_wildcards(translate(parse(), built)) == [VERSIONS]


def test_gate_may_try_versions_read_the_alias_report_and_log(built: dict[str, Path]) -> None:
    # GIVEN
    role = properties(translate(parse(), built), "GateRole")

    # THEN
    function = {"Fn::GetAtt": ["InferenceFunction", "Arn"]}
    group = (
        "arn:${AWS::Partition}:codedeploy:${AWS::Region}:${AWS::AccountId}:deploymentgroup:"
        "${ServerlessDeploymentApplication}/${InferenceFunctionDeploymentGroup}"
    )
    allowed = {
        "lambda:InvokeFunction": {"Fn::Sub": VERSIONS},
        "lambda:GetAlias": function,
        "codedeploy:GetDeployment": {"Fn::Sub": group},
        "codedeploy:PutLifecycleEventHookExecutionStatus": {"Fn::Sub": group},
        "logs:CreateLogStream": {"Fn::GetAtt": ["GateLogGroup", "Arn"]},
        "logs:PutLogEvents": {"Fn::GetAtt": ["GateLogGroup", "Arn"]},
    }
    statements = [
        statement
        for policy in role["Policies"]
        for statement in policy["PolicyDocument"]["Statement"]
    ]
    assert {statement["Effect"] for statement in statements} == {"Allow"}
    assert allowed == {
        action: statement["Resource"]
        for statement in statements
        for action in (
            statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
        )
    }
    assert "ManagedPolicyArns" not in role


@pytest.mark.parametrize(
    "statement",
    [
        {"Effect": "Allow", "Action": "s3:*", "Resource": {"Fn::GetAtt": ["Bucket", "Arn"]}},
        {"Effect": "Allow", "Action": ["s3:GetObject"], "Resource": ["*"]},
        {
            "Effect": "Allow",
            "Action": "s3:GetObject",
            "Resource": {"Fn::Sub": "arn:aws:s3:::${AWS::StackName}/*"},
        },
    ],
)
def test_wildcard_in_a_policy_is_found(built: dict[str, Path], statement: dict[str, Any]) -> None:
    # GIVEN
    template = parse()
    policy = properties(template, "InferenceRole")["Policies"][0]["PolicyDocument"]
    policy["Statement"].append(statement)

    # WHEN / THEN
    assert len(find_wildcards(translate(template, built))) > 1


ALARMS_OF_THIS_STACK = {
    "StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}},
    "ArnLike": {
        "aws:SourceArn": {
            "Fn::Sub": "arn:${AWS::Partition}:cloudwatch:${AWS::Region}:${AWS::AccountId}"
            ":alarm:${AWS::StackName}-*"
        }
    },
}


def test_only_the_account_and_the_alarms_may_use_the_key(built: dict[str, Path]) -> None:
    # GIVEN the one policy with wildcards: whoever may do less to a key can lock everybody out of it
    (key,) = find(translate(parse(), built), "AWS::KMS::Key").values()
    account, cloudwatch = key["Properties"]["KeyPolicy"]["Statement"]

    # THEN
    assert account == {
        "Effect": "Allow",
        "Principal": {"AWS": {"Fn::Sub": "arn:${AWS::Partition}:iam::${AWS::AccountId}:root"}},
        "Action": "kms:*",
        "Resource": "*",
    }
    assert cloudwatch == {
        "Effect": "Allow",
        "Principal": {"Service": "cloudwatch.amazonaws.com"},
        "Action": ["kms:Decrypt", "kms:GenerateDataKey*"],
        "Resource": "*",
        "Condition": ALARMS_OF_THIS_STACK,
    }
    assert key["Properties"]["EnableKeyRotation"] is True


def test_only_the_alarms_may_publish_to_the_encrypted_topic(built: dict[str, Path]) -> None:
    translated = translate(parse(), built)
    policy = properties(translated, "AlarmTopicPolicy")
    assert policy["Topics"] == [{"Ref": "AlarmTopic"}]
    assert policy["PolicyDocument"]["Statement"] == [
        {
            "Effect": "Allow",
            "Principal": {"Service": "cloudwatch.amazonaws.com"},
            "Action": "sns:Publish",
            "Resource": {"Ref": "AlarmTopic"},
            "Condition": ALARMS_OF_THIS_STACK,
        }
    ]
    assert properties(translated, "AlarmTopic")["KmsMasterKeyId"] == {"Ref": "AlarmKey"}


@pytest.mark.parametrize(
    ("path", "service"),
    [("template.yaml", "AWS::StackName"), *((path, "ServiceStack") for path in STACKS)],
)
def test_every_alarm_has_a_name_that_topic_and_key_accept(path: str, service: str) -> None:
    # The name of a nested stack goes on with letters of CloudFormation's choice, so no alarm has it
    template = parse((ROOT / path).read_text("utf-8"))
    alarms = [
        *find(template, "AWS::CloudWatch::Alarm").values(),
        *find(template, "AWS::CloudWatch::CompositeAlarm").values(),
    ]
    assert alarms
    for alarm in alarms:
        assert alarm["Properties"]["AlarmName"]["Fn::Sub"].startswith(f"${{{service}}}-")


def test_only_managed_policies_are_those_of_x_ray_and_codedeploy(built: dict[str, Path]) -> None:
    # GIVEN
    policies = find_managed_policies(translate(parse(), built))
    assert sorted(re.findall(r"(\w+)\W*$", policy)[0] for policy in policies) == [
        "AWSCodeDeployRoleForLambdaLimited",
        "AWSXRayDaemonWriteAccess",
    ]

    # WHEN the function had no role of its own
    template = parse()
    del properties(template, "InferenceFunction")["Role"]

    # THEN SAM's could write to every log group
    policies = find_managed_policies(translate(template, built))
    assert any("AWSLambdaBasicExecutionRole" in policy for policy in policies)


def test_only_this_api_may_invoke_and_only_the_alias(built: dict[str, Path]) -> None:
    permissions = find(translate(parse(), built), "AWS::Lambda::Permission")
    assert len(permissions) == 2
    for permission in permissions.values():
        source = permission["Properties"]["SourceArn"]["Fn::Sub"]
        assert source[0].startswith(
            "arn:${AWS::Partition}:execute-api:${AWS::Region}:${AWS::AccountId}:${__ApiId__}/"
        )
        assert source[1]["__ApiId__"] == {"Ref": "Api"}
        assert permission["Properties"]["FunctionName"] == {"Ref": "InferenceFunctionAliaslive"}


# The API.


def find_routes(template: Template) -> dict[str, Any]:
    """Return what each route of the API requires of a caller."""
    paths = properties(template, "Api")["Body"]["paths"]
    return {
        f"{method} {path}": operation.get("security")
        for path, methods in paths.items()
        for method, operation in methods.items()
    }


def test_every_route_requires_iam(built: dict[str, Path]) -> None:
    translated = translate(parse(), built)
    iam: list[dict[str, list[str]]] = [{"AWS_IAM": []}]
    assert find_routes(translated) == {
        "x-amazon-apigateway-any-method /": iam,
        "x-amazon-apigateway-any-method /{proxy+}": iam,
    }
    schemes = properties(translated, "Api")["Body"]["components"]["securitySchemes"]
    assert schemes["AWS_IAM"]["x-amazon-apigateway-authtype"] == "awsSigv4"


def test_routes_would_be_open_without_the_default_authorizer(built: dict[str, Path]) -> None:
    template = parse()
    del properties(template, "Api")["Auth"]["DefaultAuthorizer"]
    assert set(find_routes(translate(template, built)).values()) == {None}


def test_api_calls_the_alias_with_payload_2(built: dict[str, Path]) -> None:
    body = properties(translate(parse(), built), "Api")["Body"]
    integrations = [
        node["x-amazon-apigateway-integration"]
        for node in walk(body)
        if "x-amazon-apigateway-integration" in node
    ]
    assert len(integrations) == 2
    for integration in integrations:
        assert integration["payloadFormatVersion"] == "2.0"
        assert "${InferenceFunctionAliaslive}" in integration["uri"]["Fn::Sub"]


def test_api_is_throttled_and_logs_json(built: dict[str, Path]) -> None:
    (stage,) = find(translate(parse(), built), "AWS::ApiGatewayV2::Stage").values()
    assert stage["Properties"]["DefaultRouteSettings"] == {
        "ThrottlingRateLimit": {"Ref": "ThrottleRate"},
        "ThrottlingBurstLimit": {"Ref": "ThrottleBurst"},
    }
    record = json.loads(stage["Properties"]["AccessLogSettings"]["Format"])
    assert record["requestId"] == "$context.requestId"
    assert {"status", "path", "caller", "integrationError"} <= record.keys()


def test_function_gives_up_before_the_api_does() -> None:
    # GIVEN at most 10 s of initialisation before the function's own time begins
    timeout = properties(parse(), "InferenceFunction")["Timeout"]

    # THEN the integration timeout of an HTTP API, 30 s, is not reached
    assert timeout + 10 <= 30


# Logs.


def find_unlogged(template: Template) -> list[str]:
    """Return the functions and stages whose log group is missing or keeps logs for ever."""
    groups = find(template, "AWS::Logs::LogGroup")
    named = {
        name: resource["Properties"].get("LoggingConfig", {}).get("LogGroup", {}).get("Ref")
        for name, resource in find(template, "AWS::Lambda::Function").items()
    } | {
        name: resource["Properties"]
        .get("AccessLogSettings", {})
        .get("DestinationArn", {})
        .get("Fn::GetAtt", [None])[0]
        for name, resource in find(template, "AWS::ApiGatewayV2::Stage").items()
    }
    assert len(named) >= 2
    return [
        name
        for name, group in named.items()
        if group not in groups or "RetentionInDays" not in groups[group]["Properties"]
    ]


def test_everything_logs_to_a_group_with_retention(built: dict[str, Path]) -> None:
    assert find_unlogged(translate(parse(), built)) == []


def test_roles_write_to_the_group_of_their_function(built: dict[str, Path]) -> None:
    translated = translate(parse(), built)
    for name in find(translated, "AWS::Lambda::Function"):
        group = properties(translated, name)["LoggingConfig"]["LogGroup"]["Ref"]
        role = properties(translated, name)["Role"]["Fn::GetAtt"][0]
        assert group in find_names(properties(translated, role)["Policies"])


def drop_logging(template: Template) -> None:
    del properties(template, "InferenceFunction")["LoggingConfig"]


def drop_retention(template: Template) -> None:
    del properties(template, "InferenceLogGroup")["RetentionInDays"]


@pytest.mark.parametrize("change", [drop_logging, drop_retention])
def test_function_without_retention_is_found(built: dict[str, Path], change: Change) -> None:
    template = parse()
    change(template)
    assert find_unlogged(translate(template, built)) == ["InferenceFunction"]


def test_lambda_filters_no_line_by_its_level() -> None:
    # With JSON it would, and it takes a line of metrics for INFO.
    function = properties(parse(), "InferenceFunction")
    assert function["LoggingConfig"]["LogFormat"] == "Text"
    assert 0 < float(function["Environment"]["Variables"]["POWERTOOLS_LOGGER_SAMPLE_RATE"]) <= 1


# Parameters, outputs and literals.


def is_within_bounds(parameter: dict[str, Any], value: float | str) -> bool:
    allowed = parameter.get("AllowedValues")
    if allowed is not None:
        return str(value) in map(str, allowed)
    if parameter["Type"] == "String":
        return re.search(parameter["AllowedPattern"], str(value)) is not None
    return bool(parameter["MinValue"] <= float(value) <= parameter["MaxValue"])


@pytest.mark.parametrize("parameter", parse()["Parameters"].values(), ids=parse()["Parameters"])
def test_parameter_is_described_and_bounded(parameter: dict[str, Any]) -> None:
    assert parameter["Description"].endswith(".")
    assert parameter["ConstraintDescription"]
    assert is_within_bounds(parameter, parameter["Default"])


@pytest.mark.parametrize(
    ("address", "accepted"),
    [("", True), ("on-call@example.com", True), ("nobody", False), ("two@a.b, three@a.b", False)],
)
def test_alarms_go_to_one_address_or_none(address: str, accepted: bool) -> None:
    template = parse()
    assert is_within_bounds(template["Parameters"]["AlarmEmail"], address) is accepted
    assert template["Resources"]["AlarmSubscription"]["Condition"] == "HasAlarmEmail"
    nothing = {"Fn::Equals": [{"Ref": "AlarmEmail"}, ""]}
    assert template["Conditions"]["HasAlarmEmail"] == {"Fn::Not": [nothing]}


def test_parameters_are_grouped_for_the_console() -> None:
    template = parse()
    groups = template["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    grouped = [name for group in groups for name in group["Parameters"]]
    assert sorted(grouped) == sorted(template["Parameters"])


def test_outputs_are_described_and_complete() -> None:
    outputs = parse()["Outputs"]
    assert {"ApiUrl", "AliasArn", "FunctionName", "FunctionVersion"} <= outputs.keys()
    assert outputs["GateFunctionName"]["Value"] == {"Ref": "GateFunction"}
    assert outputs["DeploymentApplication"]["Value"] == {"Ref": "ServerlessDeploymentApplication"}
    assert outputs["DeploymentGroup"]["Value"] == {"Ref": "InferenceFunctionDeploymentGroup"}
    assert all(output["Description"] for output in outputs.values())


# The stacks beside the service's and in it.


def test_a_lane_is_reported_by_outputs_what_it_needs() -> None:
    # A lane invokes the alias, names its alarms after the service, and has them tell the topic
    outputs = parse()["Outputs"]
    assert {
        "ServiceStack": {"Ref": "AWS::StackName"},
        "FunctionName": {"Ref": "InferenceFunction"},
        "AliasArn": {"Ref": "InferenceFunction.Alias"},
        "AlarmTopicArn": {"Ref": "AlarmTopic"},
        "AlarmKeyArn": {"Fn::GetAtt": ["AlarmKey", "Arn"]},
        "LogGroupName": {"Ref": "InferenceLogGroup"},
    }.items() <= {name: output["Value"] for name, output in outputs.items()}.items()
    service = properties(parse(), "InferenceFunction")["Environment"]["Variables"]
    assert service["POWERTOOLS_SERVICE_NAME"] == outputs["ServiceStack"]["Value"]


@pytest.mark.parametrize("path", ["template.yaml", *STACKS])
def test_no_stack_exports_or_imports(path: str) -> None:
    # What is exported and in use elsewhere could neither change nor go
    template = parse((ROOT / path).read_text("utf-8"))
    assert not [node for node in walk(template) if "Export" in node or "Fn::ImportValue" in node]


@pytest.mark.parametrize("path", STACKS)
def test_parameters_of_a_stack_are_described_and_grouped(path: str) -> None:
    template = parse((ROOT / path).read_text("utf-8"))
    assert all(one["Description"].endswith(".") for one in template["Parameters"].values())
    groups = template["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    grouped = [name for group in groups for name in group["Parameters"]]
    assert sorted(grouped) == sorted(template["Parameters"])


def test_nested_stack_is_given_every_parameter() -> None:
    # A default there would be a second home of what samconfig.toml sets
    template = parse_monitoring()
    assert template["Parameters"].keys() == properties(parse(), "Monitoring")["Parameters"].keys()
    assert not any("Default" in one for one in template["Parameters"].values())


def test_nested_stack_is_built_with_the_service() -> None:
    # `sam build` puts its template beside the service's, and `sam deploy` uploads it from there
    assert properties(parse(), "Monitoring")["TemplateURL"] == MONITORING
    built = parse((ROOT / ".aws-sam/build/template.yaml").read_text("utf-8"))
    url = properties(built, "Monitoring")["TemplateURL"]
    nested = parse((ROOT / ".aws-sam/build" / url).read_text("utf-8"))
    assert nested == parse_monitoring()


def test_every_template_is_linted() -> None:
    # Neither cfn-lint nor `sam validate` looks into a nested template
    assert "cfn-lint template.yaml infra/stacks/*.yaml" in (ROOT / "Makefile").read_text("utf-8")


@pytest.mark.parametrize("environment", ["default", "prod"])
def test_deploy_settings_fit_the_parameters(environment: str) -> None:
    # GIVEN
    settings = tomllib.loads((ROOT / "samconfig.toml").read_text("utf-8"))
    deploy = settings[environment]["deploy"]["parameters"]
    parameters = parse()["Parameters"]

    # THEN
    overrides = dict(override.split("=") for override in deploy["parameter_overrides"])
    assert overrides
    for name, value in overrides.items():
        assert is_within_bounds(parameters[name], value)
    assert deploy["capabilities"] == "CAPABILITY_IAM CAPABILITY_AUTO_EXPAND"


def find_architectures(template: Template) -> list[str]:
    """Return every processor that a template names."""
    return [
        name
        for node in walk(template)
        for key in ("Architectures", "CompatibleArchitectures", "BuildArchitecture")
        if key in node
        for name in ([node[key]] if isinstance(node[key], str) else node[key])
    ]


@pytest.mark.parametrize("architecture", MACHINES)
def test_architecture_is_one_literal(architecture: str) -> None:
    # WHEN the one literal is changed
    template = parse_for(architecture)

    # THEN the function and both layers follow
    assert find_architectures(template) == [architecture] * 5


def test_layers_are_built_by_the_python_that_runs_them() -> None:
    template = parse()
    runtime = template["Globals"]["Function"]["Runtime"]
    assert runtime == f"python{PYTHON}"
    assert (ROOT / ".python-version").read_text().strip() == PYTHON
    for layer in find(template, "AWS::Serverless::LayerVersion").values():
        assert layer["Properties"]["CompatibleRuntimes"] == [runtime]


def test_deployed_template_has_no_anchors() -> None:
    # CloudFormation knows no YAML anchors; `sam build` writes the template again without them
    built = (ROOT / ".aws-sam/build/template.yaml").read_text("utf-8")
    assert "architecture" not in re.findall(r"[&*](\w+)", built)
    assert find_architectures(parse(built)) == find_architectures(parse())
