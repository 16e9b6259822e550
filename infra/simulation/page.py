"""The simulation as one HTML page, of the dashboard's parts."""

from collections.abc import Mapping
from datetime import timedelta

import numpy as np

from infra.pages.chart import TIME_STEPS, Chart, Line, Threshold
from infra.pages.dashboard.body import Widget
from infra.pages.dashboard.page import render
from infra.pages.dashboard.panels import Panel
from infra.prices import AS_OF, REGION
from infra.simulation.curve import Curve
from infra.simulation.outcome import Outcome
from infra.simulation.scaling import Course, Series, Service

POINTS = 300  # of a line, at most
COLUMNS = 24  # of the page


def make_page(
    curve: Curve,
    service: Service,
    courses: Mapping[str, tuple[Course, Outcome]],
    advice: list[str],
) -> str:
    """Draw the courses, by name, side by side."""
    first, _ = next(iter(courses.values()))
    rates = [
        _draw(curve, "asked", first.offered, 0),
        _draw(curve, "refused by the API (429)", first.refused, 1),
    ]
    rates += [
        _draw(curve, f"turned away by Lambda, {name}", course.throttled, 2 + index)
        for index, (name, (course, _)) in enumerate(courses.items())
    ]
    colds = [
        _draw(curve, name, course.cold, index, is_sum=True)
        for index, (name, (course, _)) in enumerate(courses.items())
    ]
    environments = [
        _draw(curve, name, course.environments, index)
        for index, (name, (course, _)) in enumerate(courses.items())
    ]
    quota = Threshold("quota", service.concurrency)
    panels = [
        *(
            _show(curve, name, outcome, COLUMNS // len(courses))
            for name, (_, outcome) in courses.items()
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
    source = (
        f"warm {service.warm_ms:,.1f} ms, cold start {service.cold_ms:,.0f} ms more, "
        f"{service.memory_mb} MB {service.processor}, prices of {REGION}, {AS_OF}"
    )
    return render(f"Simulation: {curve.name}", source, panels, curve.begin, curve.end)


def _draw(curve: Curve, label: str, values: Series, index: int, *, is_sum: bool = False) -> Line:
    """Make a line of a value for each second: sums, or the most of each period."""
    steps = (step for step in TIME_STEPS if len(values) / step <= POINTS)
    period = next(steps, TIME_STEPS[-1])
    begins = np.arange(0, len(values), period)
    reduce = np.add if is_sum else np.maximum
    points = {
        curve.begin + timedelta(seconds=int(second)): round(float(value), 1)
        for second, value in zip(begins, reduce.reduceat(values, begins), strict=True)
    }
    return Line(label, points, period, is_sum, color=index, dash=index)


def _show(curve: Curve, name: str, outcome: Outcome, width: int) -> Panel:
    values = {
        "cold starts": outcome.cold,
        "turned away": outcome.refused + outcome.throttled,
        "ms, p99": outcome.p99_ms,
        "ms, p99.9": outcome.p999_ms,
        "environments": outcome.peak_environments,
        "USD in all": outcome.usd,
    }
    now = {label: Line(label, {curve.begin: round(value)}, 1) for label, value in values.items()}
    widget = Widget("metric", name.capitalize(), None, None, width, 3, {"view": "singleValue"})
    return Panel(widget, Chart(name, list(now.values())))
