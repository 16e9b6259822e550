"""What a model needs on Lambda: unzipped size, memory and money."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from infra.artifacts import BUDGET, LIMIT, MB, read_function_packages
from infra.model.graph.files import CONTRACT
from infra.prices import LAMBDA_GB_SECOND, price_million_predictions

# docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html: one vCPU comes with 1,769 MB.
MB_PER_VCPU, MOST_MB = 1769, 10_240
HEADROOM = 1.5  # for larger requests than the measured ones
SLOW_MS = 100  # for one row; a slower model gets two vCPUs


@dataclass(frozen=True)
class Size:
    """Unzipped bytes of the model, and of all that Lambda limits together with it."""

    model: int
    function: int
    layers: int  # other than the model's
    total: int
    budget: int = BUDGET
    limit: int = LIMIT


def measure_size(model: int, build: Path) -> Size:
    """Add up a model of `model` bytes, and the function and layers built in `build`."""
    for built in read_function_packages(build):
        code, *layers = built.artifacts
        rest = [layer.size for layer in layers if not (layer.path / "model" / CONTRACT).exists()]
        if len(rest) < len(layers):
            return Size(model, code.size, sum(rest), model + code.size + sum(rest))
    raise AssertionError


def check_size(size: Size) -> list[str]:
    """Return a problem if function and layers are too large for Lambda, else nothing."""
    text = (
        f"the model is {size.model / MB:.1f} MB, with the function and its runtime "
        f"{size.total / MB:.1f} MB, over the budget of {BUDGET // MB} MB (Lambda's limit is "
        f"{LIMIT // MB} MB): take a smaller model, or quantize its weights"
    )
    return [text] if size.total > BUDGET else []


@dataclass(frozen=True)
class Suggestion:
    """The MemorySize to set; USD for a million warm requests, HTTP API included, by processor."""

    memory_mb: int
    reason: str
    usd_per_million: Mapping[str, float]


def suggest(peak_mb: int, row_ms: float | None) -> Suggestion:
    """Suggest a MemorySize from the measured peak of memory and milliseconds for one row.

    It is always whole vCPUs: less than one saves nothing, because requests get slower as the price
    of a millisecond falls.
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
    """Return USD for a million requests of `milliseconds`, by processor."""
    return {
        processor: round(price_million_predictions(memory_mb, processor, milliseconds), 2)
        for processor in LAMBDA_GB_SECOND
    }
