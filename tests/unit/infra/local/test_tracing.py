"""How often a function has been invoked by what it did itself."""

import pytest

from infra.local.functions.tracing import (
    MOST_INVOCATIONS,
    LoopError,
    count_invocations,
    create_trace_id,
    extend_lineage,
)

ROOT = "Root=1-5759e988-bd862e3fe1be46a994272793"


def test_each_function_is_counted_by_itself() -> None:
    trace_id = extend_lineage(extend_lineage(extend_lineage(ROOT, "one"), "two"), "one")
    assert trace_id.startswith(f"{ROOT};Lineage=")
    assert count_invocations(trace_id, "one") == 2
    assert count_invocations(trace_id, "two") == 1
    assert count_invocations(trace_id, "three") == 0


def test_a_trace_begins_with_the_first_invocation() -> None:
    assert extend_lineage("", "one").startswith("Root=1-")
    assert create_trace_id() != create_trace_id()


def test_after_so_many_it_is_a_loop() -> None:
    trace_id = ROOT
    for _ in range(MOST_INVOCATIONS):
        trace_id = extend_lineage(trace_id, "one")
    with pytest.raises(LoopError, match="one has caused 16 invocations of itself"):
        extend_lineage(trace_id, "one")


@pytest.mark.parametrize(
    "trace_id",
    ["x", "Lineage=", "Lineage=zz:1", "Lineage=" + "0" * 9000, f"{ROOT};Lineage=00000000:99999"],
)
def test_what_a_stranger_sends_counts_nothing(trace_id: str) -> None:
    assert count_invocations(trace_id, "one") == 0
    assert count_invocations(extend_lineage(trace_id, "one"), "one") == 1
