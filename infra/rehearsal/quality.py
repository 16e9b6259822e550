"""The quality of a candidate on labelled rows, as a finding of a rehearsal."""

from infra.model.quality.comparison import Verdict
from infra.model.quality.quality import Quality
from infra.rehearsal.result import Colour, RehearsalFinding

ABOUT = "quality"


def read_quality(quality: Quality | None, *, is_refused: bool = False) -> list[RehearsalFinding]:
    """Return a finding about a candidate's quality, or nothing if it was not measured."""
    if quality is None:
        return []
    verdicts = {change.verdict for change in quality.changes}
    if is_refused:
        colour = Colour.RED
    elif quality.reason or verdicts & {Verdict.WORSE, Verdict.SLIGHTLY_WORSE}:
        colour = Colour.AMBER  # a worse model gets here only with --allow-worse
    else:
        colour = Colour.GREEN
    return [RehearsalFinding(ABOUT, colour, "; ".join(quality.describe()), quality.to_dict())]
