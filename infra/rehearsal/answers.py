"""How much a version's answers differ from another's, to the same requests."""

import json
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence

import numpy as np

from infra.local.errors import LocalRunError
from infra.local.event import Request, to_event, to_response
from infra.local.serve import LocalStack
from infra.local.versions import Call
from infra.model.samples import Array
from infra.rehearsal.load import JSON
from infra.rehearsal.requests import Requests

MOST = 100  # requests, each of which takes two versions' time

type Answers = Mapping[str, Array]


async def compare(local: LocalStack, requests: Requests, old: str, new: str) -> str:
    """Ask both versions themselves, once each request; say how the answers differ, or nothing."""
    bodies = list(dict.fromkeys(requests.bodies))[:MOST]
    return tell_differences(
        [pair async for pair in _ask_both(local, requests.path, bodies, old, new)]
    )


async def _ask_both(
    local: LocalStack, path: str, bodies: list[bytes], old: str, new: str
) -> AsyncIterator[tuple[Answers, Answers]]:
    """Yield the answers to each request that both versions answer, with the same outputs."""
    for body in bodies:
        request = Request("POST", path, JSON.items(), body, "127.0.0.1")
        event = to_event(
            request,
            route_key="ANY /{proxy+}",
            path_parameters={"proxy": path[1:]},
            stage="$default",
            request_id="",
            trace_id="",
        )
        try:
            before, now = [
                _read(
                    await local.versions.invoke(version, json.dumps(event).encode(), call=Call(""))
                )
                for version in (old, new)
            ]
        except LocalRunError:
            return  # a version that crashes is not asked again
        if before.keys() == now.keys() != set():
            yield before, now


def _read(payload: bytes) -> Answers:
    """Return the outputs, in the order of the model; none of an error."""
    found = json.loads(to_response(payload).body).get("outputs", [])
    return {
        one["name"]: np.array(
            one["data"], np.float64 if one["datatype"].startswith("FP") else object
        ).reshape(one["shape"])
        for one in found
    }


def tell_differences(pairs: Sequence[tuple[Answers, Answers]]) -> str:
    """Say in how many requests an output differs, and numbers by how much; nothing of no pair."""
    told = "; ".join(_tell_outputs(pairs))
    requests = "request" if len(pairs) == 1 else "requests"
    return told or (f"the same to {len(pairs)} {requests}" if pairs else "")


def _tell_outputs(pairs: Sequence[tuple[Answers, Answers]]) -> Iterator[str]:
    for name in pairs[0][0] if pairs else ():
        both = [(before[name], now[name]) for before, now in pairs]
        is_float = all(array.dtype != object for pair in both for array in pair)
        count = sum(not np.array_equal(*pair, equal_nan=is_float) for pair in both)
        if not count:
            continue
        told = f"{name} differs in {count} of {len(pairs)} requests"
        if is_float and all(before.shape == now.shape for before, now in both):
            gaps = np.concatenate([np.abs(before - now).ravel() for before, now in both])
            if not np.isnan(gaps).all():
                told += f", by {np.nanmean(gaps):.2g} on average ({np.nanmax(gaps):.2g} at most)"
        yield told
