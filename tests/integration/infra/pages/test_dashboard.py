"""`infra dashboard` on CloudWatch, as the local run plays it."""

import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest

from infra.account.connect import connect
from infra.local.control.cloud import Cloud
from infra.local.metrics import Sample, Series
from infra.pages.dashboard.body import DashboardError
from infra.pages.dashboard.make import make_page
from infra.stack import DeployedStack, find_stack
from tests.dashboard_page import read_legends, read_tiles
from tests.sam_template import PROJECT

REGION = "eu-west-1"
NOW = datetime(2026, 11, 22, 12, 10, 30, tzinfo=UTC)
ALARM = f"arn:aws:cloudwatch:{REGION}:123456789012:alarm:shop-"
BY_VERSION = "{ServerlessOnnx,service,function_version}"


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    """AWS on this machine, to which commands go."""
    cloud = Cloud(REGION)
    cloud.start(0)
    for name, value in cloud.variables().items():
        monkeypatch.setenv(name, value)
    yield cloud
    cloud.stop()


@pytest.fixture
def deploy(cloud: Cloud) -> Callable[..., DeployedStack]:  # noqa: ARG001 it is what runs
    """Create the stack `shop` with a dashboard of these widgets."""

    def create(*widgets: dict[str, Any], resources: dict[str, Any] | None = None) -> DeployedStack:
        body = json.dumps({"widgets": widgets})
        dashboard = {
            "Type": "AWS::CloudWatch::Dashboard",
            "Properties": {"DashboardName": "shop-live", "DashboardBody": body},
        }
        topic = {"Type": "AWS::SNS::Topic"}
        resources = {"Dashboard": dashboard} if resources is None else resources
        template = json.dumps({"Resources": {"Topic": topic, **resources}})
        session = boto3.Session()
        session.client("cloudformation").create_stack(StackName="shop", TemplateBody=template)
        return find_stack(connect(PROJECT, REGION), "shop")

    return create


def put(cloud: Cloud, name: str, version: str, values: dict[int, list[float]]) -> None:
    """Write values, by the minutes before NOW, as the function does: with both dimension sets."""
    service = ("service", "inference")
    for dimensions in ((service,), (service, ("function_version", version))):
        series = Series("ServerlessOnnx", name, "Count", dimensions)
        cloud.put_metrics(
            Sample(series, (NOW - timedelta(minutes=minutes)).timestamp(), some)
            for minutes, some in values.items()
        )


def chart(title: str, *metrics: list[Any], **properties: Any) -> dict[str, Any]:
    """Make a widget with a value for each minute."""
    settings = {"title": title, "period": 60, "stat": "Sum", "metrics": metrics} | properties
    return {"type": "metric", "width": 8, "properties": settings}


def search(metric: str, stat: str = "Sum", label: str = "version") -> list[Any]:
    expression = (
        f"""SEARCH('{BY_VERSION} MetricName="{metric}" service="inference"', '{stat}', 60)"""
    )
    return [{"expression": expression, "label": label}]


def test_numbers_of_metrics_searches_and_metric_math(
    cloud: Cloud, deploy: Callable[..., DeployedStack]
) -> None:
    # GIVEN requests of versions 2 and 10, some of which fail
    put(cloud, "Requests", "2", {5: [1] * 30, 4: [1] * 20})
    put(cloud, "Requests", "10", {4: [1] * 5, 3: [1] * 4})
    put(cloud, "ServerErrors", "10", {4: [1], 3: [1, 1]})
    put(cloud, "RequestLatency", "2", {4: list(range(101))})
    rows = ["ServerlessOnnx", "Requests", "service", "inference"]
    deployment = deploy(
        chart("Requests", search("Requests")),
        chart("Latency", search("RequestLatency", "p99"), search("ServerErrors", "Sum", "failed")),
        chart(
            "Percent",
            [{"expression": "100 * errors / requests", "label": "failed", "id": "percent"}],
            [*rows, {"id": "requests", "visible": False}],
            [".", "ServerErrors", "...", {"id": "errors", "visible": False}],
        ),
        chart(
            "Averages", [*rows, {"stat": "Average"}], ["...", {"stat": "Maximum", "label": "top"}]
        ),
        chart("Nothing", search("NonFiniteOutputs"), ["ServerlessOnnx", "Rows"]),
    )
    # WHEN the page is made
    page = make_page(deployment, 3, NOW)
    # THEN each line tells its last and highest value, and what it sums up to
    assert read_legends(page) == {
        "Requests": {"version 2": ["20", "30", "50"], "version 10": ["4", "5", "9"]},
        "Latency": {"version 2": ["99", "99", ""], "failed 10": ["2", "2", "3"]},
        # of the requests of all versions: 0 of 30, then 1 of 25, then 2 of 4
        "Percent": {"failed": ["50", "50"]},
        "Averages": {"Requests": ["1", "1"], "top": ["1", "1"]},
        "Nothing": {},
    }
    # AND version 10 has the second colour everywhere, its failures the dash of the second search
    assert '<path class="line c1 d0" d="M0 4H18"/></svg>version 10<' in page
    assert '<path class="line c1 d1" d="M0 4H18"/></svg>failed 10<' in page
    assert ">no data</text>" in page
    assert "no data: Rows" in page
    assert "<h1>shop-live</h1>" in page


def test_charts_begin_with_the_data(cloud: Cloud, deploy: Callable[..., DeployedStack]) -> None:
    # GIVEN traffic of the last half hour
    put(cloud, "Requests", "1", {30: [1], 0: [1]})
    deployment = deploy(chart("Requests", search("Requests")))
    # WHEN looked at THEN hours without data take no room, unless these are what was asked for
    assert "11:39 \u2013 12:11 UTC, 22 Nov 2026" in make_page(deployment, 3, NOW)
    assert "11:56 \u2013 12:11 UTC, 22 Nov 2026" in make_page(deployment, 0.25, NOW)


def test_alarms_are_reported_in_words_the_ringing_ones_first(
    cloud: Cloud, deploy: Callable[..., DeployedStack]
) -> None:
    # GIVEN an alarm that rings, one that does not, one without data, and one that is deleted
    put(cloud, "Requests", "1", {1: [1]})
    names = ["Errors", "Latency", "Throttles", "Gone"]
    widget = {
        "type": "alarm",
        "properties": {"title": "Alarms", "alarms": [ALARM + name for name in names]},
    }
    deployment = deploy(widget, chart("Requests", search("Requests")))
    cloudwatch = boto3.Session().client("cloudwatch")
    states: dict[str, Any] = dict(zip(names, ["OK", "ALARM", "INSUFFICIENT_DATA"], strict=False))
    for name, state in states.items():
        cloudwatch.put_metric_alarm(
            AlarmName=f"shop-{name}",
            AlarmDescription="What to <do>.",
            Namespace="N",
            MetricName=name,
            Statistic="Sum",
            Period=60,
            EvaluationPeriods=1,
            Threshold=1,
            ComparisonOperator="GreaterThanThreshold",
        )
        cloudwatch.set_alarm_state(AlarmName=f"shop-{name}", StateValue=state, StateReason="9 > 1")
    # WHEN looked at THEN their states are there in words, and what to do
    page = make_page(deployment, 3, NOW)
    assert read_tiles(page) == [
        ("In alarm", "Latency"),
        ("OK", "Errors"),
        ("Insufficient data", "Throttles"),
        ("Not there", "Gone"),
    ]
    assert 'title="What to &lt;do&gt;.\n9 &gt; 1"' in page


def test_page_is_one_file_that_a_text_cannot_break(
    cloud: Cloud, deploy: Callable[..., DeployedStack]
) -> None:
    # GIVEN a text with markup of two kinds, and a single value
    put(cloud, "Requests", "<1>", {1: [1, 1]})
    markdown = "# Shop\n\nAsk **us**: [page](https://example.com/?a=1&b) <script>`x`</script>"
    text = {"type": "text", "x": 3, "y": 1, "width": 5, "height": 2}
    deployment = deploy(
        text | {"properties": {"markdown": markdown}},
        chart("Now", search("Requests"), view="singleValue"),
    )
    # WHEN the page is made THEN it shows the Markdown, and no other markup comes in
    page = make_page(deployment, 3, NOW)
    assert "<h3>Shop</h3>" in page
    assert '<b>us</b>: <a href="https://example.com/?a=1&amp;b">page</a>' in page
    assert "&lt;script&gt;<code>x</code>&lt;/script&gt;" in page
    assert "<div><b>2</b>version &lt;1&gt;</div>" in page
    assert "--column:4 / span 5;--row:2 / span 2" in page
    # AND it needs nothing else: no script, and nothing to load
    assert not re.search(r"<(script|link|img|iframe)|@import|url\(|\bon\w+=", page)


def test_says_what_is_missing(cloud: Cloud, deploy: Callable[..., DeployedStack]) -> None:
    deployment = deploy(chart("Requests", search("Requests")))
    with pytest.raises(
        DashboardError, match="stack shop has no metrics for the last 3 h yet: send"
    ):
        make_page(deployment, 3, NOW)
    put(cloud, "Requests", "1", {60 * 24: [1]})
    with pytest.raises(DashboardError, match=r"no metrics for the last 0\.5 h"):
        make_page(deployment, 0.5, NOW)


def test_finds_the_dashboard_of_a_nested_stack(
    cloud: Cloud, deploy: Callable[..., DeployedStack]
) -> None:
    # GIVEN a stack that has its dashboard in one nested in it
    put(cloud, "Requests", "2", {5: [1] * 30})
    body = json.dumps({"widgets": [chart("Requests", search("Requests"))]})
    dashboard = {
        "Type": "AWS::CloudWatch::Dashboard",
        "Properties": {"DashboardName": "shop", "DashboardBody": body},
    }
    s3: Any = boto3.client("s3")
    s3.create_bucket(Bucket="art", CreateBucketConfiguration={"LocationConstraint": REGION})
    template = json.dumps({"Resources": {"Dashboard": dashboard}})
    s3.put_object(Bucket="art", Key="monitoring.template", Body=template)
    url = "https://art.s3.amazonaws.com/monitoring.template"
    nested = {"Type": "AWS::CloudFormation::Stack", "Properties": {"TemplateURL": url}}
    # WHEN
    page = make_page(deploy(resources={"Monitoring": nested}), 3, NOW)
    # THEN
    assert read_legends(page) == {"Requests": {"version 2": ["30", "30", "30"]}}
    assert "<h1>shop</h1>" in page


def test_says_that_there_is_no_dashboard(deploy: Callable[..., DeployedStack]) -> None:
    with pytest.raises(DashboardError, match="stack shop has no dashboard"):
        make_page(deploy(resources={}), 3, NOW)


def test_says_which_widget_has_a_wrong_expression(deploy: Callable[..., DeployedStack]) -> None:
    deployment = deploy(chart("Cost", [{"expression": "rows * 2"}]))
    with pytest.raises(DashboardError, match=r"widget 'Cost': .*'rows'"):
        make_page(deployment, 3, NOW)
