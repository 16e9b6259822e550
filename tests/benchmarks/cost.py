"""What a million predictions cost on AWS, by the times measured here."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from samtranslator.yaml_helper import yaml_parse

from infra import prices
from infra.prices import Processor
from tests.benchmarks.prices import (
    choose_sagemaker_serverless_mb,
    find_break_even,
    price_fargate_month,
    price_sagemaker_month,
    price_sagemaker_serverless_million,
    price_standing_month,
)
from tests.benchmarks.spread import Spread

MEMORY_MB = (512, 1024, 1769, 3008)
ROOT = Path(__file__).parents[2]
TEMPLATES = ("template.yaml", "infra/stacks/monitoring.yaml")
MB_PER_VCPU = 1769  # docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html
COLD_SHARE = 0.01  # of the requests


@dataclass(frozen=True)
class Cost:
    """USD for a million predictions of one row each.

    All are on Lambda behind an HTTP API, with logs and traces, except `direct` (no API) and
    `sagemaker_serverless` (neither API nor logs).
    """

    memory_mb: int
    warm_ms: float  # billed
    cold_ms: float  # billed on top, at a cold start
    x86_64: float
    arm64: float
    direct: float  # without the HTTP API, on x86_64
    typical: float  # the typical function, on x86_64
    sagemaker_serverless: float


@dataclass(frozen=True)
class AlwaysOn:
    """A service that costs the same at any traffic, in USD a month.

    `break_even` is the millions of predictions a month from which it is cheaper than ours, whose
    standing costs are counted; the monitoring of the other service is not.
    """

    name: str
    month: float
    break_even: float


def price(cold: Mapping[str, Mapping[str, Spread]]) -> tuple[list[Cost], list[AlwaysOn]]:
    """Price the requests of `cold`, for each memory size.

    A size below one vCPU is slower in proportion; above it nothing is faster, since one request
    keeps one thread busy. arm64 is taken to be as fast as the processor here.
    """
    costs = []
    for memory_mb in MEMORY_MB:
        warm_ms, cold_ms, *typical = (
            _slow_down(cold[name][field].median, memory_mb)
            for name in ("ours", "typical")
            for field in ("warm", "init")
        )
        sagemaker_mb = choose_sagemaker_serverless_mb(memory_mb)
        costs.append(
            Cost(
                memory_mb,
                warm_ms,
                cold_ms,
                x86_64=_price(memory_mb, "x86_64", warm_ms, cold_ms),
                arm64=_price(memory_mb, "arm64", warm_ms, cold_ms),
                direct=_price(memory_mb, "x86_64", warm_ms, cold_ms, http_api=False),
                typical=_price(memory_mb, "x86_64", *typical),
                sagemaker_serverless=price_sagemaker_serverless_million(
                    sagemaker_mb, _slow_down(cold["ours"]["warm"].median, sagemaker_mb)
                ),
            )
        )
    million = next(cost.x86_64 for cost in costs if cost.memory_mb == MB_PER_VCPU)
    months = {
        "SageMaker endpoint, 1 ml.t3.medium": price_sagemaker_month("ml.t3.medium"),
        "SageMaker endpoint, 2 ml.m5.large": price_sagemaker_month("ml.m5.large", 2),
        "Fargate, 2 tasks and a load balancer": price_fargate_month("x86_64"),
    }
    return costs, [
        AlwaysOn(name, month, find_break_even(month, million, sum(read_standing().values())))
        for name, month in months.items()
    ]


def read_standing() -> dict[str, float]:
    """Return what the service's alarms, metrics, dashboard, key and traces cost a month."""
    templates = [yaml_parse((ROOT / path).read_text("utf-8")) for path in TEMPLATES]
    return price_standing_month(templates)


def _slow_down(milliseconds: float, memory_mb: int) -> float:
    return milliseconds * max(1.0, MB_PER_VCPU / memory_mb)


def _price(
    memory_mb: int, processor: Processor, warm_ms: float, cold_ms: float, *, http_api: bool = True
) -> float:
    return prices.price_million_predictions(
        memory_mb, processor, warm_ms, cold_share=COLD_SHARE, cold_ms=cold_ms, http_api=http_api
    )
