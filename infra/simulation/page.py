"""The simulation as one HTML page, built from the parts of the dashboard."""

from collections.abc import Mapping
from datetime import timedelta

import numpy as np

from infra.pages.chart import TIME_STEPS, Chart, Line, Threshold
from infra.pages.dashboard.body import Widget
from infra.pages.dashboard.page import render
from infra.pages.dashboard.panels import Panel
from infra.prices import AS_OF, REGION
from infra.simulation.curve import Curve
from infra.simulation.result import SimulationResult
from infra.simulation.scaling import Course, Series
from infra.simulation.service import ServiceProfile

POINTS = 300  # of a line, at most
COLUMNS = 24  # of the page


def make_page(
    curve: Curve,
    service: ServiceProfile,
    summaries: Mapping[str, tuple[Course, SimulationResult]],
    advice: list[str],
    *,
    times: str,
) -> str:
    """Draw the ways to serve the curve side by side, by name; `times` describes their times."""
    first, _ = next(iter(summaries.values()))
    rates = [
        _draw(curve, "asked", first.offered, 0),
        _draw(curve, "refused by the API (429)", first.refused, 1),
    ]
    rates += [
        _draw(curve, f"turned away by Lambda, {name}", course.throttled, 2 + index)
        for index, (name, (course, _)) in enumerate(summaries.items())
    ]
    colds = [
        _draw(curve, name, course.cold, index, is_sum=True)
        for index, (name, (course, _)) in enumerate(summaries.items())
    ]
    environments = [
        _draw(curve, name, course.environments, index)
        for index, (name, (course, _)) in enumerate(summaries.items())
    ]
    quota = Threshold("quota", service.concurrency)
    panels = [
        *(
            _show(curve, name, outcome, COLUMNS // len(summaries))
            for name, (_, outcome) in summaries.items()
        ),
        Panel(
            Widget("metric", "Requests per second, at most", None, None, 24, 8, {}),
            Chart("", rates),
        ),
        Panel(Widget("metric", "Cold starts", None, None, 12, 8, {}), Chart("", colds)),
        Panel(
            Widget("metric", "Environments, at most", None, None, 12, 8, {}),
            Chart("", environments, [quota]),
        ),
        Panel(Widget("text", "", None, None, 24, 2, {}), markdown="\n\n".join(advice)),
    ]
    source = f"{times}, {service.memory_mb} MB {service.processor}, prices of {REGION}, {AS_OF}"
    return render(f"Simulation: {curve.name}", source, panels, curve.begin, curve.end)


def _draw(curve: Curve, label: str, values: Series, index: int, *, is_sum: bool = False) -> Line:
    """Make a line from a value for each second: the sum or the maximum of each period."""
    steps = (step for step in TIME_STEPS if len(values) / step <= POINTS)
    period = next(steps, TIME_STEPS[-1])
    begins = np.arange(0, len(values), period)
    reduce = np.add if is_sum else np.maximum
    points = {
        curve.begin + timedelta(seconds=int(second)): round(float(value), 1)
        for second, value in zip(begins, reduce.reduceat(values, begins), strict=True)
    }
    return Line(label, points, period, is_sum, color=index, dash=index)


def _show(curve: Curve, name: str, outcome: SimulationResult, width: int) -> Panel:
    values = {
        "cold starts": outcome.cold,
        "turned away": outcome.refused + outcome.throttled,
        "ms, p99": outcome.p99_ms,
        "ms, p99.9": outcome.p999_ms,
        "environments": outcome.peak_environments,
        "USD in total": outcome.usd,
    }
    now = {label: Line(label, {curve.begin: round(value)}, 1) for label, value in values.items()}
    widget = Widget("metric", name.capitalize(), None, None, width, 3, {"view": "singleValue"})
    return Panel(widget, Chart(name, list(now.values())))
