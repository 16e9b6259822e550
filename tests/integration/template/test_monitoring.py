"""Every alarm and widget watches something that exists: what the code emits, or what AWS documents.

CloudWatch takes any name for a metric and any set of dimensions; with one letter wrong an alarm
stays silent for ever. So the names are taken from records that the real handler prints.
"""

import json
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from infra.cloudwatch.alarm_rule import is_met, list_alarms
from infra.cloudwatch.logs import parse as parse_line
from infra.cloudwatch.metric_math import calculate
from infra.local.dependencies import order_around
from telemetry import LANES, METRICS
from tests.emitted_records import read_records
from tests.sam_template import (
    ARTIFACTS,
    ROOT,
    Template,
    find,
    find_version,
    parse,
    parse_monitoring,
    properties,
    translate,
)

type Change = Callable[[Templates], None]
type Records = list[dict[str, Any]]

VERSION = "7"
SERVICE = "scoring-of-shop"
ALARM, COMPOSITE = "AWS::CloudWatch::Alarm", "AWS::CloudWatch::CompositeAlarm"
RELEASE_ALARMS = {
    "ReleaseServerErrorsAlarm",
    "ReleaseFunctionErrorsAlarm",
    "ReleaseLatencyAlarm",
    "ReleaseNonFiniteOutputsAlarm",
}
OPERATION_ALARMS = {
    "ErrorRateAlarm",
    "LatencyAlarm",
    "ThrottlesAlarm",
    "ConcurrencyAlarm",
    "ModelLoadFailuresAlarm",
}


class Templates(NamedTuple):
    """The service's template, expanded, and that of the monitoring stack nested in it."""

    service: Template
    monitoring: Template


class Metric(NamedTuple):
    """A metric that exists: its unit, the sets of dimensions it has, and if it has percentiles."""

    unit: str
    dimension_sets: set[frozenset[str]]
    percentiles: bool


class Query(NamedTuple):
    """A statistic of a metric that an alarm or a widget shows."""

    where: str
    namespace: str
    name: str
    dimensions: Mapping[str, str | None]  # None: a search that takes every value
    stat: str


type Contract = dict[tuple[str, str], Metric]

# What AWS documents; https://docs.aws.amazon.com/ +
#   lambda/latest/dg/monitoring-metrics-types.html and monitoring-metrics-view.html,
#   apigateway/latest/developerguide/http-api-metrics.html.
FUNCTION = [
    {"FunctionName"},
    {"FunctionName", "Resource"},
    {"FunctionName", "Resource", "ExecutedVersion"},
]
API = [{"ApiId"}, {"ApiId", "Stage"}]
DOCUMENTED: Contract = {
    (namespace, name): Metric(unit, {frozenset(one) for one in sets}, unit == "Milliseconds")
    for namespace, sets, units in (
        (
            "AWS/Lambda",
            FUNCTION,
            {
                "Invocations": "Count",
                "Errors": "Count",
                "Throttles": "Count",
                "Duration": "Milliseconds",
                "ConcurrentExecutions": "Level",
            },
        ),
        (
            "AWS/ApiGateway",
            API,
            {
                "Count": "Count",
                "4xx": "Count",
                "5xx": "Count",
                "Latency": "Milliseconds",
                "IntegrationLatency": "Milliseconds",
            },
        ),
    )
    for name, unit in units.items()
}
# A number of executions at one time is not to be summed.
STATISTICS = {
    "Count": {"Sum"},
    "Level": {"Maximum"},
    "Milliseconds": {"Average", "Maximum", "Minimum", "SampleCount", "Sum"},
}


@pytest.fixture(autouse=True)
def _region(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")


@pytest.fixture
def expand(tmp_path: Path) -> Callable[..., Templates]:
    """Translate the templates, after a change."""

    def expand(change: Change | None = None) -> Templates:
        templates = Templates(parse(), parse_monitoring())
        if change:
            change(templates)
        translated = translate(templates.service, dict.fromkeys(ARTIFACTS, tmp_path))
        return templates._replace(service=translated)

    return expand


@cache
def emit(functions: Path = ROOT / "functions", version: str = "$LATEST") -> Records:
    """Return the records of the inference function, of all that it counts."""
    variables = {"POWERTOOLS_SERVICE_NAME": SERVICE, "AWS_LAMBDA_FUNCTION_VERSION": version}
    return read_records(functions, variables)


def read_contract(records: Records) -> Contract:
    """Return what records in embedded metric format tell CloudWatch, and what AWS documents."""
    contract = dict(DOCUMENTED)
    lanes: dict[tuple[str, str], set[frozenset[str]]] = {}  # the sets of lanes other than `api`
    for record in records:
        [directive] = record["_aws"]["CloudWatchMetrics"]
        sets = {frozenset(one) for one in directive["Dimensions"]}
        for metric in directive["Metrics"]:
            key = (directive["Namespace"], metric["Name"])
            single = isinstance(record[metric["Name"]], float) or len(record[metric["Name"]]) == 1
            if "lane" in record:
                lanes.setdefault(key, set()).update(sets)
                continue
            known = contract.setdefault(key, Metric(metric["Unit"], sets, percentiles=True))
            contract[key] = Metric(
                known.unit, known.dimension_sets & sets, known.percentiles and single
            )
            assert known.unit == metric["Unit"]
    return {
        key: metric._replace(dimension_sets=metric.dimension_sets | lanes.get(key, set()))
        for key, metric in contract.items()
    }


def read_names(template: Template) -> dict[str, Any]:
    """Return what each name stands for, as CloudFormation would once version 7 is published."""
    parameters = {name: one["Default"] for name, one in template["Parameters"].items()}
    alarms = [*find(template, ALARM), *find(template, COMPOSITE)]
    return {
        **parameters,
        **{name: f"shop-{name}" for name in alarms},
        **{f"{name}.Arn": f"arn:{name}" for name in alarms},
        f"{find_version(template)}.Version": VERSION,
        "AWS::StackName": "shop",
        "AWS::Region": "eu-west-1",
        "InferenceFunction": "shop-fn",
        "Api": "api",
        "AlarmTopic": "topic",
    }


def read_nested_names(templates: Templates) -> dict[str, Any]:
    """Return what each name stands for in the monitoring stack, whose own name is another."""
    nested = properties(templates.service, "Monitoring")
    parameters = resolve(nested["Parameters"], read_names(templates.service))
    assert parameters.keys() == templates.monitoring["Parameters"].keys()
    alarms = find(templates.monitoring, ALARM)
    return {
        **parameters,
        **{f"{name}.Arn": f"arn:{name}" for name in alarms},
        "AWS::StackName": "shop-Monitoring-1A2B3C",
        "AWS::Region": "eu-west-1",
        "IsArm": resolve(templates.monitoring["Conditions"]["IsArm"], parameters),
    }


def resolve(node: Any, names: Mapping[str, Any]) -> Any:  # noqa: PLR0911 one for each function
    """Replace intrinsic functions by what they return. Raises KeyError for an unknown name."""
    match node:
        case {"Ref": name}:
            return names[name]
        case {"Fn::GetAtt": [name, attribute]}:
            return names[f"{name}.{attribute}"]
        case {"Fn::Sub": str() as text}:
            return re.sub(r"\$\{([^}]+)\}", lambda name: str(names[name[1]]), text)
        case {"Fn::Sub": [text, variables]}:
            return resolve({"Fn::Sub": text}, {**names, **resolve(variables, names)})
        case {"Fn::If": [condition, yes, no]}:
            return resolve(yes if names[condition] else no, names)
        case {"Fn::Equals": [one, other]}:
            return resolve(one, names) == resolve(other, names)
        case dict():
            return {key: resolve(value, names) for key, value in node.items()}
        case list():
            return [resolve(value, names) for value in node]
    return node


def read_alarms(templates: Templates) -> dict[str, dict[str, Any]]:
    return {
        name: resolve(resource["Properties"], names)
        for template, names in (
            (templates.service, read_names(templates.service)),
            (templates.monitoring, read_nested_names(templates)),
        )
        for name, resource in find(template, ALARM).items()
    }


def read_dashboard(templates: Templates) -> dict[str, Any]:
    dashboard = properties(templates.monitoring, "Dashboard")
    resolved: dict[str, Any] = resolve(dashboard, read_nested_names(templates))
    return resolved


def read_widgets(templates: Templates) -> dict[str, dict[str, Any]]:
    """Return the widgets of the dashboard by their titles."""
    body = json.loads(read_dashboard(templates)["DashboardBody"])
    return {widget["properties"]["title"]: widget for widget in body["widgets"]}


def read_queries(templates: Templates) -> list[Query]:
    """Return every metric that the templates name: in alarms, in widgets, in metric math."""
    queries = [
        query
        for name, alarm in read_alarms(templates).items()
        for query in alarm_queries(name, alarm)
    ]
    for title, widget in read_widgets(templates).items():
        if widget["type"] == "metric":
            queries += widget_queries(title, widget["properties"])
    return queries


def alarm_queries(name: str, alarm: Mapping[str, Any]) -> Iterator[Query]:
    simple = {
        "Metric": alarm,
        "Stat": alarm.get("Statistic") or alarm.get("ExtendedStatistic"),
    }
    stats = [one["MetricStat"] for one in alarm.get("Metrics", []) if "MetricStat" in one]
    for stat in stats or [simple]:
        metric = stat["Metric"]
        dimensions = {one["Name"]: one["Value"] for one in metric["Dimensions"]}
        yield Query(name, metric["Namespace"], metric["MetricName"], dimensions, stat["Stat"])


def widget_queries(title: str, widget: Mapping[str, Any]) -> Iterator[Query]:
    for row in widget["metrics"]:
        options = row[-1] if isinstance(row[-1], dict) else {}
        if "expression" not in options:
            namespace, name, *rest = [one for one in row if isinstance(one, str)]
            dimensions = dict(zip(rest[::2], rest[1::2], strict=True))
            yield Query(title, namespace, name, dimensions, options.get("stat", widget["stat"]))
        elif options["expression"].startswith("SEARCH"):
            yield search_query(title, options["expression"])


def search_query(title: str, expression: str) -> Query:
    """Read SEARCH('{Namespace,Dimension,...} Name="value" ...', 'statistic', period)."""
    search = re.fullmatch(r"SEARCH\('\{([^}]+)\} ([^']+)', '(\w+)', 60\)", expression)
    assert search, f"{title}: {expression}"
    namespace, *names = search[1].replace('"', "").split(",")
    terms = dict(term.split("=") for term in search[2].split())
    values = {key: value.removeprefix('"').removesuffix('"') for key, value in terms.items()}
    assert all(terms[key] == f'"{value}"' for key, value in values.items()), "quotes: exactly this"
    name = values.pop("MetricName")
    return Query(title, namespace, name, {**dict.fromkeys(names), **values}, search[3])


def find_faults(templates: Templates, contract: Contract) -> list[str]:
    """Return what is wrong with each query of the templates."""
    template = templates.service
    function = resolve(
        properties(template, "InferenceFunction")["Environment"], read_names(template)
    )
    values = {
        "service": function["Variables"]["POWERTOOLS_SERVICE_NAME"],
        "lane": LANES,
        "function_version": VERSION,
        "FunctionName": "shop-fn",
        "Resource": f"shop-fn:{properties(template, 'InferenceFunctionAliaslive')['Name']}",
        "ExecutedVersion": VERSION,
        "ApiId": "api",
        "Stage": properties(template, "ApiApiGatewayDefaultStage")["StageName"],
    }
    return [
        f"{query.where}: {query.namespace} {query.name}: {fault}"
        for query in read_queries(templates)
        for fault in query_faults(query, contract, values)
    ]


def query_faults(query: Query, contract: Contract, values: Mapping[str, Any]) -> Iterator[str]:
    metric = contract.get((query.namespace, query.name))
    if metric is None:
        yield "nothing emits it"
        return
    if frozenset(query.dimensions) not in metric.dimension_sets:
        yield f"has not the dimensions {sorted(query.dimensions)}"
    for name, value in query.dimensions.items():
        known = values.get(name)
        if value is not None and value not in (known if isinstance(known, tuple) else [known]):
            yield f"{name} is never {value}"
    if re.fullmatch(r"p\d\d(\.\d+)?|PR\(:\d+\)", query.stat):
        if not metric.percentiles or metric.unit != "Milliseconds":
            yield f"has no {query.stat}"
    elif query.stat not in STATISTICS[metric.unit]:
        yield f"{query.stat} of {metric.unit} says nothing"


# The contract.


def test_every_alarm_and_widget_watches_what_exists(expand: Callable[..., Templates]) -> None:
    # GIVEN everything that the templates watch
    templates = expand()
    queries = read_queries(templates)
    assert {query.where for query in queries} >= RELEASE_ALARMS | OPERATION_ALARMS
    assert len({query.where for query in queries}) == len(read_alarms(templates)) + 9

    # WHEN compared with what the handler prints and AWS documents, THEN nothing is missing
    assert find_faults(templates, read_contract(emit())) == []


def test_the_code_emits_every_metric_that_it_declares_and_no_other() -> None:
    # WHEN
    contract = read_contract(emit())

    # THEN
    emitted = {
        name: metric.unit for (space, name), metric in contract.items() if space == "ServerlessOnnx"
    }
    assert emitted == {name: str(unit.value) for name, unit in METRICS.items()}


def test_dimensions_have_the_values_that_the_environment_gives() -> None:
    records = emit(version=VERSION)

    assert {record["service"] for record in records} == {SERVICE}
    versions = {record["function_version"] for record in records if "lane" not in record}
    assert versions == {VERSION}


def test_each_lane_but_the_gate_has_a_dimension_set_of_its_own() -> None:
    sets = {
        (record.get("lane"), *map(tuple, record["_aws"]["CloudWatchMetrics"][0]["Dimensions"]))
        for record in emit()
    }

    others = {lane for lane in LANES if lane not in {"api", "gate"}}
    assert sets == {
        (None, ("service",), ("service", "function_version")),
        *((lane, ("service", "lane")) for lane in others),
    }


WATCHED = [
    "ColdStart",
    "InferenceLatency",
    "ModelLoadFailures",
    "ModelLoadTime",
    "NonFiniteOutputs",
    "RequestLatency",
    "Requests",
    "Rows",
    "ServerErrors",
]


@pytest.mark.parametrize("name", WATCHED)
def test_metric_renamed_in_the_code_is_found(
    expand: Callable[..., Templates],
    tmp_path: Path,
    name: str,
) -> None:
    # GIVEN the code with another name for one metric
    renamed = tmp_path / "functions"
    shutil.copytree(ROOT / "functions", renamed, ignore=shutil.ignore_patterns("__pycache__"))
    for file in renamed.rglob("*.py"):
        file.write_text(re.sub(rf"\b{name}\b", f"{name}2", file.read_text("utf-8")), "utf-8")

    # WHEN / THEN
    faults = find_faults(expand(), read_contract(emit(renamed)))
    assert faults
    assert all(fault.endswith(f"ServerlessOnnx {name}: nothing emits it") for fault in faults)


def test_every_watched_metric_of_ours_is_renamed_above(expand: Callable[..., Templates]) -> None:
    queries = read_queries(expand())
    assert {query.name for query in queries if query.namespace == "ServerlessOnnx"} == {*WATCHED}


def rename_version_dimension(templates: Templates) -> None:
    dimensions(templates.service, "ReleaseServerErrorsAlarm", "bad")[1]["Name"] = "version"


def dimensions(template: Template, alarm: str, query: str) -> list[dict[str, Any]]:
    """Return the dimensions of a metric in an alarm's metric math."""
    metrics = properties(template, alarm)["Metrics"]
    [found] = [one["MetricStat"]["Metric"]["Dimensions"] for one in metrics if one["Id"] == query]
    listed: list[dict[str, Any]] = found
    return listed


def drop_service_dimension(templates: Templates) -> None:
    del dimensions(templates.service, "ReleaseLatencyAlarm", "within")[0]


def watch_all_versions_of_the_function(templates: Templates) -> None:
    del dimensions(templates.service, "ReleaseFunctionErrorsAlarm", "bad")[0]


def watch_another_alias(templates: Templates) -> None:
    dimension = dimensions(templates.service, "ReleaseFunctionErrorsAlarm", "bad")[1]
    dimension["Value"] = {"Fn::Sub": "${InferenceFunction}:prod"}


def watch_the_alias_by_its_arn(templates: Templates) -> None:
    dimension = dimensions(templates.service, "ReleaseFunctionErrorsAlarm", "all_bad")[1]
    dimension["Value"] = "arn:aws:lambda:eu-west-1:123456789012:function:shop-fn:live"


def rename_service(templates: Templates) -> None:
    variables = properties(templates.service, "InferenceFunction")["Environment"]["Variables"]
    variables["POWERTOOLS_SERVICE_NAME"] = "scoring"


def misspell_metric(templates: Templates) -> None:
    properties(templates.monitoring, "ModelLoadFailuresAlarm")["MetricName"] = "ModelLoadFailure"


def use_the_name_of_rest_apis(templates: Templates) -> None:
    change_dashboard(templates, '"5xx"', '"5XXError"')


def watch_another_namespace(templates: Templates) -> None:
    properties(templates.monitoring, "ThrottlesAlarm")["Namespace"] = "AWS/Lambdas"


def take_a_percentile_of_a_count(templates: Templates) -> None:
    alarm = properties(templates.monitoring, "ModelLoadFailuresAlarm")
    del alarm["Statistic"]
    alarm["ExtendedStatistic"] = "p99"


def rank_a_count(templates: Templates) -> None:
    metrics = properties(templates.service, "ReleaseLatencyAlarm")["Metrics"]
    [within] = [one["MetricStat"] for one in metrics if one["Id"] == "within"]
    within["Metric"]["MetricName"] = "Requests"


def sum_concurrency(templates: Templates) -> None:
    alarm = properties(templates.monitoring, "ConcurrencyAlarm")
    alarm["Metrics"][1]["MetricStat"]["Stat"] = "Sum"


def search_in_another_dimension_set(templates: Templates) -> None:
    change_dashboard(templates, "{ServerlessOnnx,service,", "{ServerlessOnnx,model,service,")


def search_another_name(templates: Templates) -> None:
    change_dashboard(templates, 'MetricName=\\"Errors\\"', 'MetricName=\\"Error\\"')


def show_a_metric_without_its_dimension(templates: Templates) -> None:
    change_dashboard(templates, '"Rows", "service", "${ServiceStack}"', '"Rows"')


def change_dashboard(templates: Templates, old: str, new: str) -> None:
    dashboard = templates.monitoring["Resources"]["Dashboard"]
    text = json.dumps(dashboard["Properties"])
    escaped = json.dumps(old)[1:-1]
    assert escaped in text
    dashboard["Properties"] = json.loads(text.replace(escaped, json.dumps(new)[1:-1]))


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (rename_version_dimension, "has not the dimensions ['service', 'version']"),
        (drop_service_dimension, "has not the dimensions ['function_version']"),
        (watch_all_versions_of_the_function, "has not the dimensions ['ExecutedVersion', 'Resou"),
        (watch_another_alias, "Resource is never shop-fn:prod"),
        (watch_the_alias_by_its_arn, "Resource is never arn:aws:lambda:"),
        (rename_service, "service is never "),
        (misspell_metric, "ServerlessOnnx ModelLoadFailure: nothing emits it"),
        (use_the_name_of_rest_apis, "AWS/ApiGateway 5XXError: nothing emits it"),
        (watch_another_namespace, "AWS/Lambdas Throttles: nothing emits it"),
        (take_a_percentile_of_a_count, "ModelLoadFailures: has no p99"),
        (rank_a_count, "Requests: has no PR(:500)"),
        (sum_concurrency, "Sum of Level says nothing"),
        (search_in_another_dimension_set, "has not the dimensions ['function_version', 'model', "),
        (search_another_name, "AWS/Lambda Error: nothing emits it"),
        (show_a_metric_without_its_dimension, "Rows: has not the dimensions []"),
    ],
)
def test_fault_in_the_template_is_found(
    expand: Callable[..., Templates], change: Change, fault: str
) -> None:
    faults = find_faults(expand(change), read_contract(emit()))
    assert any(fault in one for one in faults), faults


# The alarms.


def test_no_alarm_goes_off_for_lack_of_data_and_all_notify_the_topic(
    expand: Callable[..., Templates],
) -> None:
    for alarm in read_alarms(expand()).values():
        assert alarm["TreatMissingData"] == "notBreaching"
        assert alarm["AlarmActions"] == ["topic"]
        assert alarm.get("DatapointsToAlarm", 1) <= alarm["EvaluationPeriods"] <= 15
        stats = [one["MetricStat"] for one in alarm.get("Metrics", [alarm]) if "MetricStat" in one]
        [period] = {stat["Period"] for stat in stats or [alarm]}
        assert period in {60, 120}
        assert len(alarm["AlarmDescription"]) < 300


# What Lambda writes of a request or a start that failed, in the log format that is no JSON:
# docs.aws.amazon.com/lambda/latest/dg/python-logging.html and lambda-runtime-environment.html.
LOG_LINES = {
    "Task timed out": "2026-11-22T13:38:53.788Z 8f507cfc Task timed out after 20.00 seconds",
    "Runtime exited": "RequestId: 8f507cfc Error: Runtime exited with error: signal: killed",
    "INIT_REPORT": "INIT_REPORT Init Duration: 512.11 ms\tPhase: init\tStatus: error",
}


def test_alarms_name_lines_that_are_in_the_log(expand: Callable[..., Templates]) -> None:
    # GIVEN the lines that alarms quote
    templates = expand()
    texts = [alarm["AlarmDescription"] for alarm in read_alarms(templates).values()]
    quoted = {line for text in texts for line in re.findall(r'"([^"]+)"', text)}

    # THEN they are those of the log format, and `infra logs --errors` shows them
    function = properties(templates.service, "InferenceFunction")
    assert function["LoggingConfig"]["LogFormat"] == "Text"
    assert quoted == LOG_LINES.keys()
    assert not any("platform." in text for text in texts)
    assert {parse_line(line).level for line in LOG_LINES.values()} == {"ERROR"}


def test_a_model_that_does_not_load_is_no_reason_to_roll_back_what_has_no_traffic(
    expand: Callable[..., Templates],
) -> None:
    text = read_alarms(expand())["ModelLoadFailuresAlarm"]["AlarmDescription"]

    # The gate starts a version before it has traffic, so this rings without a caller's notice
    assert "gate refused" in text
    assert "nothing needs a rollback" in text


def test_release_alarms_compare_the_new_version_with_all_versions(
    expand: Callable[..., Templates],
) -> None:
    # GIVEN what each alarm counts of the new version, and of all (searches find every version)
    of_one: dict[str, set[tuple[str, ...]]] = {}
    of_all: dict[str, set[tuple[str, ...]]] = {}
    for query in read_queries(expand()):
        watched = dict(query.dimensions)
        version = watched.pop("function_version", watched.pop("ExecutedVersion", None))
        assert version in {VERSION, None}
        counted = (query.namespace, query.name, query.stat, *map(str, watched.items()))
        (of_one if version else of_all).setdefault(query.where, set()).add(counted)

    # THEN CodeDeploy can take all of the release alarms; these count the same of both, and none of
    # the others looks at a version
    assert len(RELEASE_ALARMS) <= 10
    assert of_one.keys() == RELEASE_ALARMS
    for name in RELEASE_ALARMS:
        assert len(of_one[name]) == 2
        assert of_one[name] == of_all[name]


def test_metric_math_is_within_the_limits_of_an_alarm(expand: Callable[..., Templates]) -> None:
    # Amazon CloudWatch API Reference, PutMetricAlarm and MetricDataQuery
    for alarm in read_alarms(expand()).values():
        queries = alarm.get("Metrics", [])
        expressions = [one["Expression"] for one in queries if "Expression" in one]
        assert len(expressions) <= 10
        assert len(queries) - len(expressions) <= 10
        assert all(len(one) <= 2048 for one in expressions)
        assert len({one["Id"] for one in queries}) == len(queries)
        assert all(re.fullmatch(r"[a-z]\w*", one["Id"]) for one in queries)
        assert [one["Id"] for one in queries if one.get("ReturnData", True)] in ([], ["percent"])


def test_the_dashboards_release_alarm_is_the_newest_before_the_alias_moves(
    expand: Callable[..., Templates],
) -> None:
    # GIVEN what CloudFormation changes before the alias moves, and after
    template = expand().service
    before, after = order_around(template["Resources"], "InferenceFunctionAliaslive")

    # THEN the alarm that the dashboard shows is of constant name, and has the new alarms before
    composite = properties(template, "ReleaseAlarm")
    assert composite["AlarmName"] == {"Fn::Sub": "${AWS::StackName}-release"}
    rule = resolve(composite["AlarmRule"], read_names(template))
    assert sorted(list_alarms(rule)) == sorted(f"shop-{name}" for name in RELEASE_ALARMS)
    assert is_met(rule, {"shop-ReleaseLatencyAlarm": "ALARM"})
    assert not is_met(rule, {"shop-ErrorRateAlarm": "ALARM"})
    assert before.index("ReleaseAlarm") > max(map(before.index, RELEASE_ALARMS))
    # AND the dashboard, which comes after, is the same for each version: so is what it is told
    assert "Monitoring" in after
    told = json.dumps(properties(template, "Monitoring"))
    assert find_version(template) not in told
    assert not any(name in told for name in RELEASE_ALARMS)
    # AND nobody is told twice
    assert not {"AlarmActions", "OKActions", "InsufficientDataActions"} & composite.keys()


def test_each_release_has_release_alarms_of_its_own(expand: Callable[..., Templates]) -> None:
    # A changed alarm keeps its state, a renamed one is replaced by a new one: see PutMetricAlarm
    alarms = read_alarms(expand())
    names = {name for name, alarm in alarms.items() if alarm["AlarmName"].endswith(f"-v{VERSION}")}
    assert names == RELEASE_ALARMS


@pytest.mark.parametrize(
    ("threshold", "unit"),
    [("LatencyObjectiveMs", "Milliseconds"), ("MaxErrorPercent", "Percent"), (1, "Percent")],
)
def test_threshold_and_metric_have_one_unit(
    expand: Callable[..., Templates],
    threshold: str | int,
    unit: str,
) -> None:
    # GIVEN the alarms with this threshold
    templates, contract = expand(), read_contract(emit())
    wanted = {"Ref": threshold} if isinstance(threshold, str) else threshold
    alarms = {
        name: alarm["Properties"]
        for template in templates
        for name, alarm in find(template, ALARM).items()
        if alarm["Properties"]["Threshold"] == wanted
    }
    assert alarms

    # THEN each watches either one metric of that unit, or a rate in percent
    for name, alarm in alarms.items():
        if unit == "Percent":
            assert "100 * " in alarm["Metrics"][0]["Expression"]
        else:
            assert contract[alarm["Namespace"], alarm["MetricName"]].unit == unit, name


def test_latency_objective_can_be_reached_before_the_function_gives_up() -> None:
    template = parse()
    timeout = properties(template, "InferenceFunction")["Timeout"]
    assert template["Parameters"]["LatencyObjectiveMs"]["MaxValue"] == timeout * 1000


NOON = datetime(2026, 11, 27, 12, tzinfo=UTC)


def calculate_percent(alarm: Mapping[str, Any], **values: float | None) -> float | None:
    """Return the value of an alarm's metric math for one datapoint; None is no data."""
    expressions = {one["Id"]: one["Expression"] for one in alarm["Metrics"] if "Expression" in one}
    metrics: dict[str, dict[datetime, float]] = {
        one["Id"]: {} for one in alarm["Metrics"] if "MetricStat" in one
    }
    for name, value in values.items():
        metrics[name] = {} if value is None else {NOON: float(value)}
    return calculate("percent", expressions, metrics, [NOON]).get(NOON)


@pytest.mark.parametrize(
    ("failed", "requests", "percent"),
    [
        (1, 2, 0),  # one failure decides nothing
        (1, 1, 100),  # unless nothing else happened
        (2, 2, 100),
        (2, 50, 4),
        (None, 50, 0),  # no failure is counted
        (None, None, None),  # no traffic
    ],
)
def test_error_rate_needs_two_failures_or_nothing_but_failures(
    expand: Callable[..., Templates],
    failed: float | None,
    requests: float | None,
    percent: float | None,
) -> None:
    alarms = read_alarms(expand())

    assert calculate_percent(alarms["ErrorRateAlarm"], failed=failed, answered=requests) == (
        percent
    )
    # AND so it is for a version that is alone
    counts = {"bad": failed, "requests": requests, "all_bad": failed, "all_requests": requests}
    assert calculate_percent(alarms["ReleaseServerErrorsAlarm"], **counts) == percent


@pytest.mark.parametrize("alarm", sorted(RELEASE_ALARMS - {"ReleaseLatencyAlarm"}))
@pytest.mark.parametrize(
    ("bad", "requests", "all_bad", "all_requests", "percent"),
    [
        (40, 100, 40, 1000, 40),  # the others are well
        (40, 100, 400, 1000, 0),  # all fail alike
        (30, 100, 400, 1000, 0),  # the others fail more
        (100, 100, 1000, 1000, 0),  # nothing works, of any version
        (53, 100, 413, 1000, 0),  # a difference of 13 points, less than three standard deviations
        (57, 100, 417, 1000, 57),  # of 17, more
        (2, 100, 2, 1000, 2),
        (1, 100, 1, 1000, 0),  # one failure decides nothing
        (3, 100, 12, 1000, 0),  # few failures of both
        (2, 2, 3, 3, 0),  # one other request, which failed too
        (5, 5, 5, 6, 0),  # one other, which was answered: too few to tell
        (20, 20, 20, 21, 100),  # until the difference can be no chance
        (None, 100, 500, 1000, 0),  # only the others fail
        (None, 100, None, 1000, 0),  # nobody fails
        (40, 100, 40, 100, 40),  # there are no others
    ],
)
def test_a_version_is_judged_by_the_others(
    expand: Callable[..., Templates],
    alarm: str,
    bad: float | None,
    requests: float,
    all_bad: float | None,
    all_requests: float,
    percent: float,
) -> None:
    counts = {"bad": bad, "requests": requests, "all_bad": all_bad, "all_requests": all_requests}

    assert calculate_percent(read_alarms(expand())[alarm], **counts) == percent


@pytest.mark.parametrize(
    ("within", "all_within", "percent"),
    [
        (100, 100, 0),
        (60, 96, 40),
        (60, 60, 0),
        (98, 99.8, 2),
        (99, 99.9, 0),
        (0, 90, 100),
        (None, 90, 100),  # should CloudWatch have no rank where no value is within
    ],
)
def test_latency_is_judged_by_the_share_of_slow_requests(
    expand: Callable[..., Templates], within: float | None, all_within: float, percent: float
) -> None:
    counts = {"requests": 100, "all_requests": 1000}
    alarm = read_alarms(expand())["ReleaseLatencyAlarm"]

    found = calculate_percent(alarm, within=within, all_within=all_within, **counts)

    assert found == pytest.approx(percent)


def test_the_versions_alone_say_nothing_of_one_without_traffic(
    expand: Callable[..., Templates],
) -> None:
    alarm = read_alarms(expand())["ReleaseServerErrorsAlarm"]

    assert not calculate_percent(alarm, all_bad=500, all_requests=1000)


def test_crashes_count_as_failed_requests(expand: Callable[..., Templates]) -> None:
    alarm = read_alarms(expand())["ErrorRateAlarm"]
    assert calculate_percent(alarm, failed=1, unanswered=2, answered=10) == 25


def test_other_lanes_and_the_gate_hide_no_failure_of_the_api(
    expand: Callable[..., Templates],
) -> None:
    # GIVEN what the error rate is made of
    alarm = read_alarms(expand())["ErrorRateAlarm"]
    counted = {(query.namespace, query.name) for query in alarm_queries("", alarm)}

    # THEN Lambda's own count of requests, which has every lane's, is no part of it
    assert ("ServerlessOnnx", "Requests") in counted
    assert ("AWS/Lambda", "Invocations") not in counted


def test_alarms_and_dashboard_are_named_after_the_service(
    expand: Callable[..., Templates],
) -> None:
    # GIVEN a nested stack, whose name goes on with letters of CloudFormation's choice
    templates = expand()

    # THEN no name has them
    names = {alarm["AlarmName"] for alarm in read_alarms(templates).values()}
    assert {name for name in names if not name.startswith("shop-release-")} == {
        "shop-error-rate",
        "shop-latency",
        "shop-throttles",
        "shop-concurrency",
        "shop-model-load-failures",
    }
    assert read_dashboard(templates)["DashboardName"] == "shop"
    url = resolve(parse()["Outputs"]["DashboardUrl"]["Value"], read_names(templates.service))
    assert url.endswith("?region=eu-west-1#dashboards:name=shop")


# The dashboard.


def test_dashboard_is_of_the_form_that_cloudwatch_takes(expand: Callable[..., Templates]) -> None:
    # Amazon CloudWatch API Reference, "Dashboard body structure and syntax"
    widgets = read_widgets(expand()).values()
    assert sum(widget["width"] for widget in widgets) % 24 == 0
    for widget in widgets:
        if widget["type"] == "alarm":
            assert widget["properties"].keys() == {"title", "alarms"}
            continue
        assert widget["type"] == "metric"
        shown = widget["properties"]
        assert shown["region"] == "eu-west-1"
        assert shown.keys() <= {"title", "region", "stat", "period", "metrics", "annotations"}
        options = [row[-1] for row in shown["metrics"] if isinstance(row[-1], dict)]
        for one in options:
            assert one.keys() <= {"expression", "id", "label", "stat", "visible", "yAxis"}
        ids = {one["id"] for one in options if "id" in one}
        for one in options:
            if not one.get("expression", "SEARCH").startswith("SEARCH"):
                assert set(re.findall(r"[a-z]\w*", one["expression"])) == ids


def test_dashboard_shows_every_alarm(expand: Callable[..., Templates]) -> None:
    templates = expand()
    shown = read_widgets(templates)["Alarms"]["properties"]["alarms"]
    # The release alarms by the one that is made of them
    assert sorted(shown) == sorted(f"arn:{name}" for name in {"ReleaseAlarm", *OPERATION_ALARMS})
    assert find(templates.service, ALARM).keys() == RELEASE_ALARMS
    assert find(templates.monitoring, ALARM).keys() == OPERATION_ALARMS


def serve_on(architecture: str, templates: Templates) -> None:
    properties(templates.service, "InferenceFunction")["Architectures"] = [architecture]
    properties(templates.service, "Monitoring")["Parameters"]["Architecture"] = architecture


@pytest.mark.parametrize(("architecture", "usd"), [("x86_64", 2.86), ("arm64", 2.72)])
def test_cost_is_that_of_the_price_list(
    expand: Callable[..., Templates], architecture: str, usd: float
) -> None:
    # GIVEN a million requests of 25 ms and one row; Lambda 0.20 USD, the HTTP API 1.00, logs 0.69
    # and X-Ray 0.25 for a million requests, 0.0000166667 (arm64: 0.0000133334) for a second of a GB
    templates = expand(partial(serve_on, architecture))
    widget = read_widgets(templates)["USD for a million predictions"]["properties"]
    expressions = {"cost": widget["metrics"][0][0]["expression"]}
    metrics: dict[str, dict[datetime, float]] = {
        "ms": {NOON: 25e6},
        "requests": {NOON: 1e6},
        "rows": {NOON: 1e6},
        "batch": {},
        "stream": {},
    }

    # WHEN / THEN
    [cost] = calculate("cost", expressions, metrics, [NOON]).values()
    assert round(cost, 2) == usd
    # AND rows of every lane share what Lambda charges for all of them
    shared = metrics | {"batch": {NOON: 2e6}, "stream": {NOON: 1e6}}
    assert calculate("cost", expressions, shared, [NOON]) == {NOON: cost / 4}


def test_cost_is_that_of_the_functions_memory_and_processor() -> None:
    template = parse()
    told = properties(template, "Monitoring")["Parameters"]
    assert told["MemorySize"] == properties(template, "InferenceFunction")["MemorySize"]
    assert [told["Architecture"]] == template["Globals"]["Function"]["Architectures"]
