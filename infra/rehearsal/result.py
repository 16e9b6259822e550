"""What came out of a rehearsal: the release's events, every answer, and what they add up to."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from infra.local.control.code_deploy import ReleaseEvent
from infra.rehearsal.load import CUSTOMERS, Answer


class Caught(StrEnum):
    """What kept a bad release from the customers, or most of them; NOWHERE if it was promoted."""

    PACKAGE = "package"
    GATE = "gate"
    CANARY = "canary"
    NOWHERE = ""


class Colour(StrEnum):
    """What to think of a release: red is not to be released, amber is to be looked at."""

    GREEN = "green"
    AMBER = "amber"
    RED = "red"


@dataclass(frozen=True)
class RehearsalFinding:
    """What a comparison of both versions found; `numbers` are the same for programs."""

    about: str
    colour: Colour
    text: str
    numbers: Mapping[str, Any]


@dataclass(frozen=True)
class RehearsalResult:
    """A release that was rehearsed; `minute` is how many seconds one of the clock lasted."""

    caught: Caught
    reason: str
    old: str  # version
    new: str  # likewise; empty if it was never published
    events: Sequence[ReleaseEvent]
    sent: int
    answers: Sequence[Answer]
    begun: float
    ended: float
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
        """The worst of what was found; whatever was kept from customers is red."""
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
        """Part of the requests that failed."""
        return self.failed / self.answered if self.answered else 0.0


@dataclass(frozen=True)
class Tally:
    """What the answers of a rehearsal add up to; None is what did not happen."""

    versions: Mapping[str, Count]  # those of the rehearsal, and "" for requests that got to none
    lost: int  # requests without an answer
    customers: int
    hurt: int  # customers who saw an error
    alarm_seconds: float | None  # from the new version's first bad answer to the alarm
    rollback_seconds: float | None  # from the alarm to the new version's last answer

    @property
    def failed(self) -> int:
        """Requests that failed, of any version."""
        return sum(count.failed for count in self.versions.values())


def tally(rehearsal: RehearsalResult) -> Tally:
    """Add up the answers."""
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
