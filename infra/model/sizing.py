"""What a model takes of Lambda: unzipped size, memory, money."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from infra.artifacts import BUDGET, LIMIT, read_function_packages
from infra.model.graph.graph import CONTRACT
from infra.prices import LAMBDA_GB_SECOND, price_million_predictions

# docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html: one vCPU comes with 1,769 MB.
MB_PER_VCPU, MOST_MB = 1769, 10_240
HEADROOM = 1.5  # for larger requests than those that were measured
SLOW_MS = 100  # for one row


@dataclass(frozen=True)
class Size:
    """Bytes unzipped: the model, and what Lambda unpacks and limits together with it."""

    model: int
    function: int
    layers: int  # without the model's
    total: int
    budget: int = BUDGET
    limit: int = LIMIT


def measure_size(model: int, build: Path) -> Size:
    """Add up a model of so many bytes and what was built to serve it."""
    for built in read_function_packages(build):
        code, *layers = built.artifacts
        rest = [layer.size for layer in layers if not (layer.path / "model" / CONTRACT).exists()]
        if len(rest) < len(layers):
            return Size(model, code.size, sum(rest), model + code.size + sum(rest))
    raise AssertionError


@dataclass(frozen=True)
class Suggestion:
    """MemorySize, and USD for a million warm requests through the HTTP API, by processor."""

    memory_mb: int
    reason: str
    usd_per_million: Mapping[str, float]


def suggest(peak_mb: int, row_ms: float | None) -> Suggestion:
    """Suggest what to give a model whose memory, and time for one row, were measured.

    Always whole vCPUs: less than one saves nothing, as the time grows by what its price falls.
    """
    needed = math.ceil(peak_mb * HEADROOM / MB_PER_VCPU)
    if needed > 1:
        memory_mb, reason = needed * MB_PER_VCPU, f"{HEADROOM:g} x the peak, in whole vCPUs"
    elif row_ms and row_ms > SLOW_MS:
        memory_mb, reason = 2 * MB_PER_VCPU, f"two vCPUs, as a row takes over {SLOW_MS} ms"
    else:
        memory_mb, reason = MB_PER_VCPU, "one vCPU; with less it gets slower, not cheaper"
    memory_mb = min(memory_mb, MOST_MB)
    return Suggestion(memory_mb, reason, price(memory_mb, row_ms) if row_ms else {})


def price(memory_mb: int, milliseconds: float) -> dict[str, float]:
    """Return USD for a million requests of that duration, by processor."""
    return {
        processor: round(price_million_predictions(memory_mb, processor, milliseconds), 2)
        for processor in LAMBDA_GB_SECOND
    }
