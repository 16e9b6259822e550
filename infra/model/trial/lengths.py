"""How long the dimensions of a model's inputs can be, as far as trials show."""

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

import numpy as np

from infra.model.errors import AnswerError, ModelError
from infra.model.samples.made_up import MOST_ELEMENTS
from infra.model.tensor import DYNAMIC, Array, Tensor
from infra.model.trial.trial import Trial

type Place = tuple[str, int]  # a dimension: the name of its input, and its axis
type Places = tuple[Place, ...]
type Request = Mapping[str, Array]
type Lengths = tuple[int, int | None]  # the shortest, and the longest or None if none was found
type Ask = Callable[[int], Awaitable[bool]]

LONGEST = 2049  # one more than the largest of the usual tables of positions


async def measure_lengths(
    trial: Trial, inputs: Sequence[Tensor], request: Request, seconds: float
) -> dict[str, dict[str, Any]]:
    """Return `least_lengths` and `answered_lengths` of model.json, by name of the input.

    `request` is one that the model answers. The search for `answered_lengths` ends after `seconds`.
    """
    crashes = await _find_crashes(trial, inputs, request)
    answered: dict[Place, Lengths] = {}
    try:
        async with asyncio.timeout(seconds):
            async for places, lengths in _find_answered(trial, inputs, request):
                answered |= dict.fromkeys(places, lengths)
    except TimeoutError:
        await trial.stop()  # it is still busy; the next request starts a new environment
    found: dict[str, dict[str, Any]] = {}
    for tensor in inputs:
        every = [(tensor["name"], axis) for axis, _ in enumerate(tensor["shape"])]
        if not crashes.isdisjoint(every):
            least = [int(place in crashes) for place in every]
            found.setdefault(tensor["name"], {})["least_lengths"] = least
        if not answered.keys().isdisjoint(every):
            ends = [answered.get(place) for place in every]
            found.setdefault(tensor["name"], {})["answered_lengths"] = ends
    return found


async def _find_crashes(trial: Trial, inputs: Sequence[Tensor], request: Request) -> set[Place]:
    """Return the dimensions that must not be empty, because the model crashes or never ends."""
    crashes: set[Place] = set()
    dynamic = _list_dynamic(inputs, request)
    alone = [(place,) for place in dynamic]
    groups = [*_group(dynamic, lambda place: place[1]), *_group(dynamic, dynamic.get), *alone]
    for places in dict.fromkeys(groups):
        if crashes.isdisjoint(places) and await _crashes(trial, request, places):
            crashes.update(places)
    rest = tuple(place for place in dynamic if place not in crashes)
    if rest and rest not in groups and await _crashes(trial, request, rest):
        crashes.update(rest)
    return crashes


def _list_dynamic(inputs: Sequence[Tensor], request: Request) -> dict[Place, str | int]:
    """Return each dynamic dimension with its name, or with its axis if it has no name."""
    return {
        (tensor["name"], axis): name or axis
        for tensor in inputs
        if tensor["name"] in request
        for axis, (length, name) in enumerate(
            zip(
                tensor["shape"],
                tensor.get("dimensions") or [None] * len(tensor["shape"]),
                strict=True,
            )
        )
        if length == DYNAMIC and request[tensor["name"]].size
    }


def _group(places: Iterable[Place], key: Callable[[Place], object]) -> list[Places]:
    groups: dict[object, list[Place]] = {}
    for place in places:
        groups.setdefault(key(place), []).append(place)
    return [tuple(group) for group in groups.values()]


def _resize(request: Request, places: Places, length: int) -> dict[str, Array]:
    """Shorten dimensions to `length`, or repeat their elements until they are as long.

    Raises AnswerError if the request would be too large to try.
    """
    growth = {
        name: math.prod(length / array.shape[axis] for one, axis in places if one == name)
        for name, array in request.items()
    }
    if sum(array.size * growth[name] for name, array in request.items()) > MOST_ELEMENTS:
        raise AnswerError("the request is too large to try")
    resized = dict(request)
    for name, axis in places:
        array = resized[name]
        resized[name] = array.take(np.arange(length) % array.shape[axis], axis)
    return resized


async def _crashes(trial: Trial, request: Request, places: Places) -> bool:
    try:
        await trial.ask(_resize(request, places, 0))
    except AnswerError:
        return False
    except ModelError:
        return True
    return False


async def _find_answered(
    trial: Trial, inputs: Sequence[Tensor], request: Request
) -> AsyncIterator[tuple[Places, Lengths]]:
    """Yield dimensions that share a length, and the shortest and longest that the model answers.

    Rows are left out: model.json limits their number.
    """
    dynamic = _list_dynamic(inputs, request)
    for places in _group(dynamic, dynamic.get):
        lengths = {request[name].shape[axis] for name, axis in places}
        if len(lengths) > 1 or any(axis == 0 for _, axis in places):
            continue

        async def answers(length: int, places: Places = places) -> bool:
            try:
                await trial.ask(_resize(request, places, length))
            except AnswerError as error:
                if error.status != HTTPStatus.INTERNAL_SERVER_ERROR:  # not the model's failure
                    raise
                return False
            return True

        try:
            shortest, longest = await _search(answers, lengths.pop())
        except ModelError:
            continue
        if (shortest, longest) != (1, None):
            yield places, (shortest, longest)


async def _search(answers: Ask, known: int) -> Lengths:
    """Search for the shortest and the longest length, starting from a `known` one."""
    shorter = known - 1
    if not await answers(known + 1) and not (shorter > 1 and await answers(shorter)):
        return 1, None  # it may have to equal another length, or be a multiple of a number
    shortest, longest = known, known
    if known > 1:
        shortest = 1 if await answers(1) else await _bisect(answers, known, 1)
    while longest < LONGEST:
        longer = min(2 * longest, LONGEST)
        if not await answers(longer):
            return shortest, await _bisect(answers, longest, longer)
        longest = longer
    return shortest, None


async def _bisect(answers: Ask, answered: int, failed: int) -> int:
    """Return the last length that is answered on the way from `answered` to `failed`."""
    while abs(answered - failed) > 1:
        middle = (answered + failed) // 2
        if await answers(middle):
            answered = middle
        else:
            failed = middle
    return answered
