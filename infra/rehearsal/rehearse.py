"""The rehearsal itself: a local run on a faster clock, a load, and a release during it."""

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
from infra.rehearsal.load import Traffic, load
from infra.rehearsal.outcome import Caught, Colour, Finding, Rehearsal
from infra.rehearsal.requests import RehearsalError, Requests

# Enough that the function turns none of the load away, which is not to test that.
CONCURRENCY = 50
CLOCK_MINUTE = 60


@dataclass(frozen=True)
class Service:
    """The current stack as it is served; `picks` tells the version of each request's id."""

    local: Platform
    picks: dict[str, str]
    minute: float


@asynccontextmanager
async def open_service(
    current: BuiltStack,
    *,
    python: Path,
    directory: Path,
    minute: float,
    rng: random.Random | None = None,
) -> AsyncIterator[Service]:
    """Serve the current stack on a clock whose minute lasts `minute` seconds.

    `python` is the managed runtime's. Leaves nothing behind but `directory`/logs. Raises
    FunctionError when the function cannot start.
    """
    picks: dict[str, str] = {}
    begun = time.time()
    async with serve(
        current,
        python=python,
        directory=directory,
        concurrency=CONCURRENCY,
        throttles=False,
        rng=rng,
        on_pick=picks.__setitem__,
        clock=lambda now: begun + (now - begun) * CLOCK_MINUTE / minute,
    ) as local:
        yield Service(local, picks, minute)


async def rehearse(  # noqa: PLR0913 half of them have defaults
    service: Service,
    candidate: BuiltStack,
    requests: Requests,
    *,
    rate: float = 50,
    margin: float | None = None,
    tell: Callable[[ReleaseEvent], None] = lambda _: None,
) -> Rehearsal:
    """Release the candidate under a load of `rate` requests a second.

    The load begins `margin` seconds before the release and ends as long after it; by default that
    is a minute of the clock. `tell` gets each event as it happens. Raises RehearsalError.
    """
    local, margin = service.local, service.minute if margin is None else margin
    events: list[ReleaseEvent] = []

    def note(event: ReleaseEvent) -> None:
        events.append(event)
        tell(event)

    function = candidate.function
    [old] = local.versions.weights(function.name, function.alias)
    begun = time.time()
    async with load(local.url, requests, rate, lambda key: service.picks.pop(key, "")) as traffic:
        note(ReleaseEvent(begun, "load", f"{rate:g} requests a second go to version {old}", 0))
        await asyncio.sleep(margin)
        _check(traffic)
        release = await local.release(candidate, note)
        await asyncio.sleep(margin)
    ended, new = time.time(), release.version
    return Rehearsal(
        caught=_find_catch(release),
        reason=release.reason,
        old=old,
        new=new,
        events=events,
        sent=traffic.sent,
        answers=traffic.answers,
        begun=begun,
        ended=ended,
        minute=service.minute,
        findings=await _find(local, candidate, requests, old, release),
        notes=release.gate.get("notes", []),
    )


async def _find(
    local: Platform, candidate: BuiltStack, requests: Requests, old: str, release: ReleaseResult
) -> list[Finding]:
    """Return how the answers of the new version differ, by the gate and by the whole load.

    What the gate refuses for another reason is not asked: it may be slow, or crash.
    """
    by_gate = read_changes(release.gate.get("answers", []))
    gate = candidate.hook
    is_wrong = any(finding.colour is Colour.RED for finding in by_gate)
    if gate is None or (_find_catch(release) is Caught.GATE and not is_wrong):
        return by_gate
    limit = float(candidate.parameters["MaxAnswerChange"])
    return by_gate + await compare(local, gate.code, requests, old, release.version, limit)


def _check(traffic: Traffic) -> None:
    """Raise RehearsalError if the current model answers none of the load's requests."""
    if traffic.answers and all(answer.has_failed for answer in traffic.answers):
        status = traffic.answers[-1].status or "no status"
        raise RehearsalError(f"the current model answers each request of the load with {status}")


def _find_catch(release: ReleaseResult) -> Caught:
    if release.is_promoted:
        return Caught.NOWHERE
    had_traffic = any(event.kind == "shifted" for event in release.events)
    return Caught.CANARY if had_traffic else Caught.GATE
