"""Cold starts, from the start of the process to the first correct answer."""

import json
import time
import uuid
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from infra.local.functions.environment import Environment
from infra.local.functions.runtime_api import Invocation, RuntimeApi
from tests.benchmarks.sample import Sample
from tests.benchmarks.spread import Spread, compare, summarize
from tests.benchmarks.subjects import Subject

WARM = 20  # requests after the first one


@dataclass(frozen=True)
class Start:
    """One cold start: milliseconds, and resident memory in MB after its requests."""

    total: float
    init: float  # until the runtime client asks for work; part of `total`
    model_load: float  # part of `init`
    first: float  # the first request; the rest of `total`
    cpu: float  # processor time of all threads, which a busy machine hardly changes
    warm: float  # a later request, through the runtime client
    rest_mb: float
    peak_mb: float


async def measure_cold(
    subjects: Mapping[str, Subject], sample: Sample, python: Path, starts: int
) -> dict[str, list[Start]]:
    """Start every subject `starts` times, in turns; each must answer `sample`."""
    api = RuntimeApi()
    await api.start()
    found: dict[str, list[Start]] = defaultdict(list)
    try:
        for turn in range(starts + 1):
            names = list(subjects)
            names = names[turn % len(names) :] + names[: turn % len(names)]
            for name in names[:: -1 if turn % 2 else 1]:  # so that none always follows the same one
                start = await _start(name, subjects[name], sample, python, api)
                if turn:  # the first one fills the page cache
                    found[name].append(start)
    finally:
        await api.stop()
    return {name: found[name] for name in subjects}


def summarize_starts(cold: Mapping[str, Sequence[Start]]) -> dict[str, dict[str, Spread]]:
    """Return the spread of each field, and of the ratio of `total` to the floor's, by subject."""
    totals = {name: [start.total for start in starts] for name, starts in cold.items()}
    return {
        name: {
            field.name: summarize([getattr(start, field.name) for start in starts])
            for field in fields(Start)
        }
        | {"to_floor": compare(totals[name], totals["floor"])}
        for name, starts in cold.items()
    }


async def _start(
    name: str, subject: Subject, sample: Sample, python: Path, api: RuntimeApi
) -> Start:
    lines: list[str] = []
    environment = Environment(
        subject.function, subject.place, python, subject.variables, lines.append
    )
    event = sample.event()
    started = time.perf_counter()
    try:
        await environment.start(api)
        ready = time.perf_counter()
        payload = await invoke(environment, subject, event)
        answered = time.perf_counter()
        cpu = read_cpu(environment.pid)
        if name != "empty":
            sample.check_payload(payload)
        warm = []
        for _ in range(WARM):
            before = time.perf_counter()
            await invoke(environment, subject, event)
            warm.append(time.perf_counter() - before)
        memory = read_memory(environment.pid)
    finally:
        await environment.stop()
    return Start(
        total=(answered - started) * 1e3,
        init=(ready - started) * 1e3,
        model_load=find_model_load(lines),
        first=(answered - ready) * 1e3,
        cpu=cpu,
        warm=summarize(warm).median * 1e3,
        rest_mb=memory["VmRSS"],
        peak_mb=memory["VmHWM"],
    )


async def invoke(environment: Environment, subject: Subject, event: bytes) -> bytes:
    """Let an environment of `subject` answer an event."""
    deadline_ms = int((time.time() + subject.function.timeout_seconds) * 1e3)
    invocation = Invocation(str(uuid.uuid4()), event, deadline_ms, subject.function.arn, "")
    return await environment.invoke(invocation)


def find_model_load(lines: list[str]) -> float:
    """Return how many milliseconds the function says it took to load the model, or 0."""
    for line in lines:
        if '"ModelLoadTime"' in line:
            value = json.loads(line)["ModelLoadTime"]
            return float(value[0] if isinstance(value, list) else value)
    return 0.0


def read_cpu(pid: int) -> float:
    """Return the processor time of a process in milliseconds, of all its threads; 0 if unknown.

    Source: docs.kernel.org/scheduler/sched-stats.html.
    """
    paths = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(path.read_text().split()[0]) for path in paths) / 1e6


def read_memory(pid: int) -> dict[str, float]:
    """Return VmRSS (now) and VmHWM (peak) of a process, in MB."""
    fields = (line.split() for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return {
        key: int(rest[0]) / 1024
        for name, *rest in fields
        if (key := name.rstrip(":")) in {"VmRSS", "VmHWM"}
    }
