"""The cold starts as an SVG for the README, readable on light and dark pages."""

from collections.abc import Mapping
from html import escape

from tests.benchmarks.spread import Spread

NAMES = {
    "ours": "Serverless ONNX",
    "floor": "numpy + onnxruntime alone",
    "typical": "FastAPI + Mangum + boto3",
}
PHASES = ("Python, runtime client", "imports", "model load", "first answer")
TITLE = "Cold start: process start to first correct answer"
WIDTH, LEFT, RIGHT = 800, 205, 190
TOP, ROW, BAR = 78, 46, 24
STYLE = """
text{font:13px system-ui,sans-serif;fill:#1f2328}.title{font-size:16px;font-weight:600}
.note{font-size:11px;fill:#59636e}.name{text-anchor:end}.spread{stroke:#1f2328;stroke-width:1.5}
.p0{fill:#8c959f}.p1{fill:#0969da}.p2{fill:#1a7f37}.p3{fill:#bc4c00}
@media(prefers-color-scheme:dark){text{fill:#f0f6fc}.note{fill:#9198a1}.spread{stroke:#f0f6fc}
.p0{fill:#656c76}.p1{fill:#4493f8}.p2{fill:#3fb950}.p3{fill:#f0883e}}
"""


def draw(cold: Mapping[str, Mapping[str, Spread]], note: str) -> str:
    """Draw the phases of each cold start as a bar, and `note` below them."""
    height = TOP + ROW * len(NAMES) + 24
    longest = max(cold[name]["total"].high for name in NAMES)
    scale = (WIDTH - LEFT - RIGHT) / longest
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
        f"<title>{escape(describe(cold))}</title>",
        f"<style>{STYLE}</style>",
        f'<text class="title" x="16" y="26">{TITLE}</text>',
    ]
    x = 16.0
    for i, phase in enumerate(PHASES):
        parts.append(f'<rect class="p{i}" x="{x}" y="42" width="11" height="11" rx="2"/>')
        parts.append(f'<text x="{x + 16}" y="52">{phase}</text>')
        x += 40 + 7 * len(phase)
    for row, (name, label) in enumerate(NAMES.items()):
        y = TOP + ROW * row
        total = cold[name]["total"]
        parts.append(f'<text class="name" x="{LEFT - 10}" y="{y + 17}">{label}</text>')
        x = float(LEFT)
        for i, milliseconds in enumerate(split(cold, name)):
            width = milliseconds * scale
            parts.append(
                f'<rect class="p{i}" x="{x:.1f}" y="{y}" width="{width:.1f}" height="{BAR}">'
                f"<title>{PHASES[i]}: {milliseconds:.1f} ms</title></rect>"
            )
            x += width
        low, high = LEFT + total.low * scale, LEFT + total.high * scale
        parts.append(f'<path class="spread" d="M{low:.1f} {y + BAR + 4}H{high:.1f}"/>')
        ratio = cold[name]["to_floor"].median
        text = f"{total.median:,.0f} ms \u00b7 {ratio:.2f} \u00d7 floor"
        parts.append(f'<text x="{max(x, high) + 8:.1f}" y="{y + 17}">{text}</text>')
    parts.append(f'<text class="note" x="16" y="{height - 12}">{escape(note)}</text></svg>')
    return "\n".join(parts) + "\n"


def split(cold: Mapping[str, Mapping[str, Spread]], name: str) -> list[float]:
    """Split a median cold start into the milliseconds of PHASES, which add up to it."""
    fields = {field: spread.median for field, spread in cold[name].items()}
    runtime, model = cold["empty"]["init"].median, fields["model_load"]
    rest = max(0.0, fields["total"] - runtime - model - fields["first"])
    return [runtime, rest, model, fields["first"]]


def describe(cold: Mapping[str, Mapping[str, Spread]]) -> str:
    """Return what the picture shows, in words."""
    return "Cold start, " + ", ".join(
        f"{label}: {cold[name]['total'].median:,.0f} ms" for name, label in NAMES.items()
    )


def note(machine: str, starts: int) -> str:
    """Return how and where it was measured."""
    return (
        f"Median of {starts} interleaved starts each in the local run's execution environments; "
        f"line: middle half. {machine}."
    )
