"""From a stack to the page of its dashboard."""

from datetime import datetime, timedelta

from infra.pages.dashboard.body import DashboardError, read_widgets
from infra.pages.dashboard.page import render
from infra.pages.dashboard.panels import align, load
from infra.stack import DeployedStack

MINUTE = 60


def make_page(stack: DeployedStack, hours: float, now: datetime) -> str:
    """Return the page of the stack's dashboard, of the last `hours` up to the minute of `now`.

    Raises DashboardError.
    """
    cloudwatch = stack.session.client("cloudwatch")
    names = stack.list_resources("AWS::CloudWatch::Dashboard")
    if not names:
        raise DashboardError(f"stack {stack.name} has no dashboard")
    widgets = read_widgets(cloudwatch.get_dashboard(DashboardName=names[0])["DashboardBody"])
    end = align(now, MINUTE) + timedelta(seconds=MINUTE)
    begin = end - timedelta(hours=hours)
    panels = load(cloudwatch, widgets, begin, end)
    if not any(line.points for panel in panels if panel.chart for line in panel.chart.lines):
        raise DashboardError(
            f"stack {stack.name} has no metrics for the last {hours:g} h yet: send a request; "
            "they arrive some 90 seconds later (`infra run --metric-delay`), on AWS after minutes"
        )
    source = f"{cloudwatch.meta.region_name}, {cloudwatch.meta.endpoint_url}"
    return render(names[0], source, panels, begin, end)
