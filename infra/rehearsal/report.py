"""The result of a rehearsal in words, and in JSON."""

from collections.abc import Iterator
from typing import Any

from infra.local.control.code_deploy import ReleaseEvent
from infra.rehearsal.result import Caught, Colour, Count, RehearsalFinding, RehearsalResult, Tally

VERDICTS = {
    Caught.PACKAGE: "Refused when it was packaged: it was never published",
    Caught.GATE: "Refused by the gate: it never had traffic",
    Caught.CANARY: "Rolled back in the canary",
    Caught.NOWHERE: "Promoted",
}
KINDS = {
    "load": "Load began",
    "created": "Version published",
    "gate-started": "Gate began",
    "gate-passed": "Gate passed",
    "gate-refused": "Gate refused",
    "package-refused": "Packaging refused",
    "shifted": "Traffic shifted",
    "alarm": "Alarm",
    "stopped": "Stopped",
    "failed": "Failed",
    "rolled-back": "Rolled back",
    "promoted": "Promoted",
}


def describe_result(rehearsal: RehearsalResult, tally: Tally) -> Iterator[tuple[str, str]]:
    """Yield the result in lines, each with its label."""
    yield "Verdict", describe_verdict(rehearsal)
    if rehearsal.reason:
        yield "Reason", rehearsal.reason
    for finding in rehearsal.findings:
        yield finding.about.capitalize(), describe_finding(finding)
    for note in rehearsal.notes:
        yield "Not checked", note
    if rehearsal.next:
        yield "Next", rehearsal.next
    if not rehearsal.sent:
        return
    lost = f"{tally.lost} lost" if tally.lost else "none lost"
    yield "Requests", f"{rehearsal.sent:,} sent, {lost}, {tally.failed:,} failed"
    for version, count in tally.versions.items():
        yield name_version(rehearsal, version), format_count(count)
    yield "Customers", f"{tally.hurt} of {tally.customers} saw an error"
    if tally.alarm_seconds is not None:
        seconds = format_duration(tally.alarm_seconds, rehearsal.minute)
        yield "Alarm", f"{seconds} after the new version's first bad answer"
    if tally.rollback_seconds is not None:
        after = tally.rollback_seconds
        if after:
            yield "Rollback", f"{after:.2f} s after the alarm came the new version's last answer"
        else:
            yield "Rollback", "after the alarm no customer got an answer of the new version"


def describe_verdict(rehearsal: RehearsalResult) -> str:
    """Return what to think of the release, and what happened to it."""
    return f"{rehearsal.verdict.capitalize()}. {VERDICTS[rehearsal.caught]}"


def describe_finding(finding: RehearsalFinding) -> str:
    """Return what was found, with its colour unless that is green."""
    mark = "" if finding.colour is Colour.GREEN else f"{finding.colour.upper()}: "
    return f"{mark}{finding.text}"


def name_version(rehearsal: RehearsalResult, version: str) -> str:
    """Return a version's number, and whether it is the old or the new one."""
    which = {rehearsal.old: " (old)", rehearsal.new: " (new)"}.get(version, "")
    return f"Version {version}{which}" if version else "No version"


def format_count(count: Count) -> str:
    """Return how many requests there were, and how many failed."""
    share = f" ({count.share:.1%})" if count.failed else ""
    requests = "request" if count.answered == 1 else "requests"
    return f"{count.answered:,} {requests}, {count.failed:,} failed{share}"


def format_duration(seconds: float, minute: float) -> str:
    """Return a duration, here and in minutes of the release."""
    return f"{seconds:.1f} s ({seconds / minute:.1f} minutes of the release)"


def describe_event(event: ReleaseEvent, started: float, minute: float) -> tuple[str, str, str, str]:
    """Return an event's time, in seconds here and minutes of the release, its kind and its text."""
    seconds = event.time - started
    kind = KINDS.get(event.kind, event.kind)
    return f"{seconds:.1f}", f"{seconds / minute:.1f}", kind, event.text


def to_dict(rehearsal: RehearsalResult, tally: Tally) -> dict[str, Any]:
    """Return the JSON form; times are in seconds since the beginning."""
    return {
        "verdict": rehearsal.verdict,
        "promoted": rehearsal.is_promoted,
        "caught": rehearsal.caught,
        "reason": rehearsal.reason,
        "next": rehearsal.next,
        "old_version": rehearsal.old,
        "new_version": rehearsal.new,
        "minute_seconds": rehearsal.minute,
        "requests": {"sent": rehearsal.sent, "lost": tally.lost, "failed": tally.failed},
        "versions": {
            version: {"requests": count.answered, "failed": count.failed}
            for version, count in tally.versions.items()
        },
        "customers": {"all": tally.customers, "saw_an_error": tally.hurt},
        "findings": [
            {"about": finding.about, "colour": finding.colour, **finding.numbers}
            for finding in rehearsal.findings
        ],
        "not_checked": list(rehearsal.notes),
        "alarm_seconds": tally.alarm_seconds,
        "rollback_seconds": tally.rollback_seconds,
        "events": [
            {"seconds": event.time - rehearsal.started, "kind": event.kind, "text": event.text}
            for event in rehearsal.events
        ],
    }
