"""The result of a rehearsal: the events of the release, every answer, and their totals."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from infra.local.control.code_deploy import ReleaseEvent
from infra.rehearsal.load import CUSTOMERS, Answer


class Caught(StrEnum):
    """Where a bad release was stopped; NOWHERE if it was promoted."""

    PACKAGE = "package"
    GATE = "gate"
    CANARY = "canary"
    NOWHERE = ""


class Colour(StrEnum):
    """What to think of a release: red must not be released, amber needs a look."""

    GREEN = "green"
    AMBER = "amber"
    RED = "red"


@dataclass(frozen=True)
class RehearsalFinding:
    """What a comparison of both versions found: in words, and in `numbers` for programs."""

    about: str
    colour: Colour
    text: str
    numbers: Mapping[str, Any]


@dataclass(frozen=True)
class RehearsalResult:
    """A rehearsed release. `minute` is how many seconds a minute of the release took."""

    caught: Caught
    reason: str
    old: str  # version
    new: str  # version; empty if it was never published
    events: Sequence[ReleaseEvent]
    sent: int  # requests
    answers: Sequence[Answer]
    started: float  # seconds since 1970
    ended: float  # seconds since 1970
    minute: float
    findings: Sequence[RehearsalFinding] = ()
    notes: Sequence[str] = ()  # what the gate could not check, and why
    next: str = ""  # the command that releases what was promoted here

    @property
    def is_promoted(self) -> bool:
        """Whether the new version gets all traffic."""
        return self.caught is Caught.NOWHERE

    @property
    def verdict(self) -> Colour:
        """The worst colour of the findings; red for a release that was not promoted."""
        colours = {finding.colour for finding in self.findings}
        if not self.is_promoted or Colour.RED in colours:
            return Colour.RED
        return Colour.AMBER if Colour.AMBER in colours else Colour.GREEN


@dataclass(frozen=True)
class Count:
    """Requests to one version."""

    answered: int
    failed: int

    @property
    def share(self) -> float:
        """The share of requests that failed, 0 to 1."""
        return self.failed / self.answered if self.answered else 0.0


@dataclass(frozen=True)
class Tally:
    """The totals of a rehearsal's answers; a time is None if the event did not happen."""

    versions: Mapping[str, Count]  # by version; "" stands for requests that reached none
    lost: int  # requests without an answer
    customers: int
    hurt: int  # customers who saw an error
    alarm_seconds: float | None  # from the new version's first bad answer to the alarm
    rollback_seconds: float | None  # from the alarm to the new version's last answer

    @property
    def failed(self) -> int:
        """Failed requests of all versions."""
        return sum(count.failed for count in self.versions.values())


def tally(rehearsal: RehearsalResult) -> Tally:
    """Return the totals of a rehearsal's answers."""
    answers = rehearsal.answers
    answered = Counter(answer.version for answer in answers)
    failed = Counter(answer.version for answer in answers if answer.has_failed)
    named = [version for version in (rehearsal.old, rehearsal.new) if version]
    new = [answer for answer in answers if answer.version == rehearsal.new]
    bad = [answer.received for answer in new if answer.has_failed]
    alarm = next((event.time for event in rehearsal.events if event.kind == "alarm"), None)
    return Tally(
        versions={
            version: Count(answered[version], failed[version])
            for version in dict.fromkeys([*named, *sorted(answered)])
        },
        lost=rehearsal.sent - sum(answer.status > 0 for answer in answers),
        customers=min(CUSTOMERS, rehearsal.sent),
        hurt=len({answer.customer for answer in answers if answer.has_failed}),
        alarm_seconds=alarm - min(bad) if alarm and bad and min(bad) < alarm else None,
        rollback_seconds=(
            max(0.0, max(answer.received for answer in new) - alarm) if alarm and new else None
        ),
    )
