"""What a version must pass before it gets a request, in order."""

import time
from collections.abc import Callable, Generator, Iterator
from statistics import median
from typing import Annotated, NamedTuple

import msgspec

from gate.answers import Change, Comparison, Pair, find_changes
from gate.contract import ModelMetadata, find_breaks
from gate.errors import IncomparableError, RefusedError
from gate.golden import GoldenRequest, golden_requests
from gate.invocation import OK, Answer, Version
from gate.pairs import Both
from gate.requests import get, golden_inputs, infer, malformed
from serving.manifest import Manifest

MEASURED = 3  # golden requests
ROUNDS, LEAST_ROUNDS = 15, 3
SECONDS = 20  # after which no more is measured than the least, and no more answers are compared
NOTICEABLE = 10  # milliseconds; below that, times differ by chance

RELEASE = "`infra deploy --parameter {}` releases it nevertheless"
NO_LIMIT = 100  # percent of the answers

type Skip = Callable[[str], None]
type Find = Callable[[Change], None]


class Limits(NamedTuple):
    """How far a version may differ from the one that it replaces."""

    slowdown: float  # times
    contract_change: bool
    answer_change: float  # percent of the labels


class ModelList(msgspec.Struct, frozen=True):
    """What `GET /v2/models` answers."""

    models: Annotated[list[str], msgspec.Meta(min_length=1)]


def check(  # noqa: PLR0913, PLR0917 who is asked, by which measure, and who hears of it
    manifest: Manifest, new: Version, old: Version, limits: Limits, skip: Skip, find: Find
) -> Iterator[None]:
    """Yield after each check that `new`, which serves `manifest`'s model, has passed.

    `skip` is called with what is not checked, and `find` with each change of the answers.
    Raises RefusedError at the first check that it fails.
    """
    golden = golden_requests(manifest)
    yield from _check_start(new)
    yield from _check_identity(new, manifest)
    # If it is not, this is the first release or a way back, which nothing may bar.
    is_newer = int(new.number) > int(old.number)
    known = None
    if is_newer:
        known = yield from _check_contract(old, manifest, limits, skip)
    else:
        skip(f"no comparison: it replaces no older version, but {old.number}")
    yield from _check_golden(new, manifest, golden, skip)
    if known:
        yield from _check_answers(Both(new, old, manifest, known), golden, limits, skip, find)
    yield from _check_refusals(new, manifest)
    if is_newer and golden:
        yield from _check_latency(new, old, golden[:MEASURED], limits, skip)


def _check_start(new: Version) -> Iterator[None]:
    answer = new.ask(get("/v2/health/ready"))
    if answer.status != OK:
        raise RefusedError(f"version {new.number} is not ready: status {answer.status}")
    yield


def _check_identity(new: Version, manifest: Manifest) -> Iterator[None]:
    path = f"/v2/models/{manifest.name}"
    found = new.ask(get(path)).read(ModelMetadata, f"GET {path}")
    for name, actual, expected in (
        ("sha256", found.properties.get("sha256"), manifest.sha256),
        ("model version", ", ".join(found.versions), manifest.version),
        ("function_version", found.properties.get("function_version"), new.number),
    ):
        if actual != expected:
            raise RefusedError(f"GET {path}: {name} is {actual}, expected {expected}")
    yield


def _check_contract(
    old: Version, manifest: Manifest, limits: Limits, skip: Skip
) -> Generator[None, None, ModelMetadata | None]:
    """Return what the old version says of its model, None if it does not."""
    try:
        listed = old.ask(get("/v2/models")).read(ModelList, "GET /v2/models")
        path = f"/v2/models/{listed.models[0]}"
        known = old.ask(get(path)).read(ModelMetadata, f"GET {path}")
        breaks = [*find_breaks(known, manifest), *_find_newly_required(old, known, manifest)]
    except RefusedError as error:  # what is wrong with the old version must not bar its fix
        skip(f"no comparison with the contract of version {old.number}: {error}")
        return None
    if not breaks:
        yield
    elif limits.contract_change:
        skip(f"allowed to break callers of version {old.number}: {'; '.join(breaks)}")
    else:
        raise RefusedError(
            f"it would break callers of version {old.number}: {'; '.join(breaks)} "
            f"({RELEASE.format('AllowContractChange=true')})"
        )
    return known


def _find_newly_required(old: Version, known: ModelMetadata, manifest: Manifest) -> Iterator[str]:
    """Ask the old version whether it does without an input that must be there now."""
    required = {tensor.name for tensor in manifest.inputs if not tensor.optional}
    taken = {tensor.name for tensor in known.inputs}
    for request in golden_requests(manifest)[:1]:
        inputs = golden_inputs(manifest, request.golden)
        for name in sorted(required & taken):
            others = [tensor for tensor in inputs if tensor["name"] != name]
            if old.ask(infer(manifest, others)).status == OK:
                yield f"input '{name}' was optional"


def _check_golden(
    new: Version, manifest: Manifest, golden: list[GoldenRequest], skip: Skip
) -> Iterator[None]:
    if not manifest.golden:
        skip("model.json has no golden request: no prediction was tried")
    elif len(golden) < len(manifest.golden):
        skip("a golden request without a JSON form was not tried")
    for request in golden:
        request.check(new.ask(request.event))
        yield


def _check_answers(
    both: Both, golden: list[GoldenRequest], limits: Limits, skip: Skip, find: Find
) -> Iterator[None]:
    """Compare the answers to golden requests, which are real but few, and to drawn rows."""
    classes = [tensor.name for tensor in both.manifest.outputs if tensor.labels]
    changes: list[Change] = []
    for requests, pairs in (
        ("golden requests", both.ask_golden(golden)),
        ("rows drawn from the features' ranges", both.ask_drawn()),
    ):
        asked, why = _collect(pairs, limits)
        changes += find_changes(Comparison(requests, limits.answer_change, classes, asked))
        if why:
            skip(f"{requests}: no comparison of answers: {why}")
    for change in changes:
        find(change)
    for change in changes:
        if change.colour == "red":
            raise RefusedError(
                f"{change.text}; at most {limits.answer_change:g} % is allowed "
                f"({RELEASE.format(f'MaxAnswerChange={NO_LIMIT}')})"
            )
    if changes:
        yield


def _collect(pairs: Iterator[Pair], limits: Limits) -> tuple[list[Pair], str]:
    """Return as many pairs as there is time for, and why there are no more."""
    collected: list[Pair] = []
    end = time.monotonic() + SECONDS
    try:
        for pair in pairs:
            collected.append(pair)
            if time.monotonic() > end:
                break
    except IncomparableError as error:
        return collected, str(error)
    except RefusedError as error:
        if limits.answer_change < NO_LIMIT:
            raise
        return collected, str(error)
    return collected, ""


def _check_refusals(new: Version, manifest: Manifest) -> Iterator[None]:
    for what, event, status in malformed(manifest):
        answer = new.ask(event)
        if answer.status != status:
            raise RefusedError(f"{what}: status {answer.status}, expected {status}")
        if not answer.error:
            raise RefusedError(f"{what}: the answer's body is no error")
        yield


def _check_latency(
    new: Version, old: Version, golden: list[GoldenRequest], limits: Limits, skip: Skip
) -> Iterator[None]:
    """Compare the two, warm and in turns, so that both have the same neighbours."""
    end = time.monotonic() + SECONDS
    for request in golden:
        if time.monotonic() > end:
            skip(f"no latencies of {request.what}: those before took long enough")
            return
        times: dict[str, list[float]] = {new.number: [], old.number: []}
        for i in range(ROUNDS):
            if i >= LEAST_ROUNDS and time.monotonic() > end:
                break
            for version in (old, new):
                if (answer := _ask_again(version, request, is_new=version is new)) is None:
                    skip(f"no latency of version {old.number}: it does not answer {request.what}")
                    return
                if answer.milliseconds is not None:
                    times[version.number].append(answer.milliseconds)
        if not all(times.values()):
            skip(f"no latencies of {request.what}: Lambda reported none")
            continue
        before, now = median(times[old.number]), median(times[new.number])
        if now > limits.slowdown * before and now - before > NOTICEABLE:
            raise RefusedError(
                f"{request.what}: it takes {now:.1f} ms, version {old.number} takes {before:.1f} "
                f"ms; at most {limits.slowdown:g} times as long is allowed (MaxSlowdown)"
            )
        yield


def _ask_again(version: Version, request: GoldenRequest, *, is_new: bool) -> Answer | None:
    """Return a good answer, or None where only the old version has none."""
    try:
        answer = version.ask(request.event)
        if is_new:
            request.check(answer)  # it may fail only now and then
    except RefusedError:
        if is_new:
            raise
        return None
    return answer if answer.status == OK else None
