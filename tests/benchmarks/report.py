"""The benchmark's tables."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from rich.table import Table

from tests.benchmarks.bodies import VALID, BodyCost, Ratio, compare_costs
from tests.benchmarks.cost import COLD_SHARE, AlwaysOn, Cost
from tests.benchmarks.load import Load
from tests.benchmarks.peers import Result
from tests.benchmarks.sizes import Size, add_up
from tests.benchmarks.spread import Spread
from tests.benchmarks.targets import Target

MB = 2**20
LARGEST = 6  # packages that are shown of each layer


def tabulate_cold(cold: Mapping[str, Mapping[str, Spread]]) -> Table:
    """Show cold starts and memory: medians, and the middle half of the totals."""
    count = cold["ours"]["total"].count
    table = _make_table(
        f"Cold start, ms ({count} each)",
        *(
            "first answer",
            "middle half",
            "/ floor",
            "CPU",
            "init",
            "of it model",
            "warm",
            "MB",
            "peak",
        ),
    )
    for name, fields in cold.items():
        total = fields["total"]
        table.add_row(
            name,
            f"{total.median:,.0f}",
            f"{total.low:,.0f}-{total.high:,.0f}",
            f"{fields['to_floor'].median:.2f} x",
            f"{fields['cpu'].median:,.0f}",
            f"{fields['init'].median:,.0f}",
            f"{fields['model_load'].median:.1f}",
            f"{fields['warm'].median:.1f}",
            f"{fields['rest_mb'].median:.0f}",
            f"{fields['peak_mb'].median:.0f}",
        )
    return table


def tabulate_warm(warm: Mapping[str, Mapping[str, Spread]]) -> Table:
    """Show microseconds in the handler; only ours speaks the binary protocol."""
    names = ("session.run", "ours", "typical")
    table = _make_table("Warm request, \u00b5s", *names, "ours / run", "overhead")
    for case, times in warm.items():
        base = times["session.run"].median
        cells = [
            f"{spread.median:,.0f} ({spread.low:,.0f}-{spread.high:,.0f})" if spread else ""
            for spread in map(times.get, names)
        ]
        ours = times["ours"].median
        share = ""
        if "typical" in times:
            share = f"{(ours - base) / (times['typical'].median - base):.0%} of typical"
        table.add_row(case, *cells, f"{ours / base:.2f} x", share)
    return table


def tabulate_sizes(sizes: Mapping[str, Mapping[str, Size]]) -> Table:
    """Show megabytes of each artifact and of its largest packages."""
    table = _make_table("Size (MB)", "unzipped", "of it .pyc", "zipped")
    for artifact, parts in sizes.items():
        rows = [(artifact, add_up(parts))]
        rows += [(f"  {name}", size) for name, size in list(parts.items())[:LARGEST]]
        for name, size in rows:
            cells = (size.unzipped, size.bytecode, size.zipped)
            table.add_row(name, *(f"{cell / MB:.2f}" for cell in cells))
    return table


def tabulate_bodies(costs: Sequence[BodyCost]) -> Table:
    """Show the valid rows of each form and the most expensive hostile bodies, in multiples."""
    table = _make_table(
        "Hostile body", "sent", "kB", "slowest", "ms", "/ rows", "largest in memory", "MB", "/ rows"
    )
    groups: dict[tuple[str, str], list[Ratio]] = defaultdict(list)
    for ratio in compare_costs(costs):
        groups[ratio.cost.form, ratio.cost.sent].append(ratio)
    for (form, sent), ratios in groups.items():
        slowest = max(ratios, key=lambda ratio: ratio.time.median)
        largest = max(ratios, key=lambda ratio: ratio.memory)
        is_valid = sent == VALID
        table.add_row(
            *(form, sent, f"{max(ratio.cost.wire_bytes for ratio in ratios) / 1e3:,.0f}"),
            *("" if is_valid else slowest.cost.name, f"{slowest.milliseconds:.1f}"),
            f"{slowest.time.median:.2f}",
            *("" if is_valid else largest.cost.name, f"{largest.cost.peak_mb:.0f}"),
            f"{largest.memory:.2f}",
        )
    return table


def tabulate_load(title: str, loads: Sequence[Load]) -> Table:
    """Show what clients get over HTTP."""
    table = _make_table(title, "requests", "wrong", "a second", "p50 ms", "p99 ms")
    for load in loads:
        table.add_row(
            f"{load.clients} client{'s' * (load.clients > 1)}",
            f"{load.requests:,}",
            str(load.errors),
            f"{load.per_second:,.0f}",
            f"{load.p50_ms:.1f}",
            f"{load.p99_ms:.1f}",
        )
    return table


def tabulate_cost(costs: Sequence[Cost]) -> Table:
    """Show USD for a million predictions; SageMaker's endpoint needs no API in front of it."""
    table = _make_table(
        f"USD a million ({COLD_SHARE:.0%} cold)",
        *("warm ms", "cold ms", "x86_64", "arm64", "x86_64, no API", "typical, x86_64"),
        "SageMaker Serverless",
    )
    for cost in costs:
        prices = cost.x86_64, cost.arm64, cost.direct, cost.typical, cost.sagemaker_serverless
        table.add_row(
            f"{cost.memory_mb:,} MB",
            f"{cost.warm_ms:.1f}",
            f"{cost.cold_ms:,.0f}",
            *(f"{usd:.2f}" for usd in prices),
        )
    return table


def tabulate_always_on(rows: Sequence[AlwaysOn]) -> Table:
    """Show services with a monthly price, and from how many predictions they are cheaper."""
    table = _make_table("Always on", "USD a month", "cheaper from, millions a month")
    for row in rows:
        table.add_row(row.name, f"{row.month:,.0f}", f"{row.break_even:,.0f}")
    return table


def tabulate_standing(costs: Mapping[str, float]) -> Table:
    """Show what is paid each month without any traffic."""
    table = _make_table("Standing", "USD a month")
    for name, month in (*costs.items(), ("total", sum(costs.values()))):
        table.add_row(name, f"{month:.2f}")
    return table


def tabulate_peers(peers: Sequence[Result]) -> Table:
    """Show the servers from PyPI, or why one could not be measured."""
    table = _make_table(
        "Peers over HTTP",
        "first answer ms",
        "MB at rest",
        "clients",
        "a second",
        "p50 ms",
        "p99 ms",
    )
    for peer in peers:
        if peer.first_answer_ms is None:
            table.add_row(f"{peer.name}: {peer.reason}")
        for load in peer.loads:
            table.add_row(
                peer.name,
                f"{peer.first_answer_ms.median:,.0f}" if peer.first_answer_ms else "",
                f"{peer.rest_mb:.0f}",
                str(load.clients),
                f"{load.per_second:,.0f}",
                f"{load.p50_ms:.1f}",
                f"{load.p99_ms:.1f}",
            )
    return table


def tabulate_targets(targets: Sequence[Target]) -> Table:
    """Show which targets are met."""
    table = _make_table("Target", "measured", "middle half", "at most", "")
    for target in targets:
        spread = target.measured
        table.add_row(
            target.name,
            f"{target.value:.3g}",
            f"{spread.low:.3g}-{spread.high:.3g}" if isinstance(spread, Spread) else "",
            f"{target.limit:.3g}",
            "[green]met[/green]" if target.is_met else "[red]missed[/red]",
        )
    return table


def _make_table(title: str, *columns: str) -> Table:
    table = Table(title)
    for column in columns:
        table.add_column(column, justify="right")
    return table
