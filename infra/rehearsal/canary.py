"""The canary of a rehearsal: a release under load, on a local platform with a fast clock."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from infra.local.control.code_deploy import ReleaseEvent, ReleaseResult
from infra.local.platform import Platform, serve
from infra.local.stack import BuiltStack
from infra.rehearsal.answers import compare, read_changes
from infra.rehearsal.load import LoadResult, load
from infra.rehearsal.requests import RehearsalError, Requests
from infra.rehearsal.result import Caught, Colour, RehearsalFinding, RehearsalResult

# High enough that neither the API nor the function throttles the load: they are not under test.
CONCURRENCY = 50
CLOCK_MINUTE = 60


@dataclass(frozen=True)
class ServedStack:
    """The current stack while it is served; `picks` has the version of each request, by its id."""

    local: Platform
    picks: dict[str, str]
    minute: float


@asynccontextmanager
async def serve_stack(
    current: BuiltStack,
    *,
    python: Path,
    directory: Path,
    minute: float,
    rng: random.Random | None = None,
) -> AsyncIterator[ServedStack]:
    """Serve the current stack on a clock whose minute lasts `minute` seconds.

    `python` is that of the managed runtime. Only `directory`/logs is left behind. Raises
    FunctionError if the function cannot start.
    """
    picks: dict[str, str] = {}
    started = time.time()
    async with serve(
        current,
        python=python,
        directory=directory,
        concurrency=CONCURRENCY,
        throttles=False,
        rng=rng,
        on_pick=picks.__setitem__,
        clock=lambda now: started + (now - started) * CLOCK_MINUTE / minute,
    ) as local:
        yield ServedStack(local, picks, minute)


async def run_canary(  # noqa: PLR0913 half of them have defaults
    served: ServedStack,
    candidate: BuiltStack,
    requests: Requests,
    *,
    rate: float = 50,
    margin: float | None = None,
    show: Callable[[ReleaseEvent], None] = lambda _: None,
) -> RehearsalResult:
    """Release the candidate under a load of `rate` requests a second.

    The load begins `margin` seconds before the release and ends as long after it, by default one
    minute of the release. `show` gets each event as it happens. Raises RehearsalError if the
    current model answers none of the load.
    """
    local, margin = served.local, served.minute if margin is None else margin
    events: list[ReleaseEvent] = []

    def note(event: ReleaseEvent) -> None:
        events.append(event)
        show(event)

    function = candidate.function
    [old] = local.versions.weights(function.name, function.alias)
    started = time.time()
    async with load(local.url, requests, rate, lambda key: served.picks.pop(key, "")) as result:
        note(ReleaseEvent(started, "load", f"{rate:g} requests a second go to version {old}", 0))
        await asyncio.sleep(margin)
        _check(result)
        release = await local.release(candidate, note)
        await asyncio.sleep(margin)
    ended, new = time.time(), release.version
    return RehearsalResult(
        caught=_find_catch(release),
        reason=release.reason,
        old=old,
        new=new,
        events=events,
        sent=result.sent,
        answers=result.answers,
        started=started,
        ended=ended,
        minute=served.minute,
        findings=await _find(local, candidate, requests, old, release),
        notes=release.gate.get("notes", []),
    )


async def _find(
    local: Platform, candidate: BuiltStack, requests: Requests, old: str, release: ReleaseResult
) -> list[RehearsalFinding]:
    """Return how the answers of the new version differ: to the gate, and to the whole load.

    A version that the gate refused for another reason is not asked: it may be slow, or crash.
    """
    by_gate = read_changes(release.gate.get("answers", []))
    gate = candidate.hook
    is_wrong = any(finding.colour is Colour.RED for finding in by_gate)
    if gate is None or (_find_catch(release) is Caught.GATE and not is_wrong):
        return by_gate
    limit = float(candidate.parameters["MaxAnswerChange"])
    return by_gate + await compare(local, gate.code, requests, old, release.version, limit)


def _check(result: LoadResult) -> None:
    """Raise RehearsalError if the current model fails on every request of the load."""
    if result.answers and all(answer.has_failed for answer in result.answers):
        status = result.answers[-1].status or "no status"
        raise RehearsalError(f"the current model answers each request of the load with {status}")


def _find_catch(release: ReleaseResult) -> Caught:
    if release.is_promoted:
        return Caught.NOWHERE
    had_traffic = any(event.kind == "shifted" for event in release.events)
    return Caught.CANARY if had_traffic else Caught.GATE
