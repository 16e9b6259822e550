"""How a deployment shifts an alias' traffic, which the name of its type says.

Source: docs.aws.amazon.com/codedeploy/latest/userguide/deployment-configurations.html, the part for
Lambda; SAM leaves out the names' prefix `CodeDeployDefault.Lambda`.
"""

import math
import re
from dataclasses import dataclass
from datetime import timedelta

ALL_AT_ONCE = "AllAtOnce"
TYPE = re.compile(r"(Canary|Linear)(\d+)Percent(?:Every)?(\d+)Minutes?")


@dataclass(frozen=True)
class DeploymentType:
    """A shift of the traffic: `percent` at once and, after each `interval`, more or all the rest.

    The interval is zero if all the traffic shifts at once.
    """

    percent: int
    interval: timedelta
    is_linear: bool = False

    @property
    def steps(self) -> list[tuple[timedelta, float]]:
        """The new version's share of the traffic in percent, by the time since the first shift."""
        count = math.ceil(100 / self.percent) if self.is_linear else 1 + (self.percent < 100)  # noqa: PLR2004 percent
        shares = [self.percent * (i + 1) for i in range(count - 1)]
        return [(i * self.interval, share) for i, share in enumerate([*shares, 100])]

    @property
    def duration(self) -> timedelta:
        """How long the versions share the traffic, at most."""
        return math.ceil(100 / self.percent) * self.interval if self.is_linear else self.interval


def read_deployment_type(name: str) -> DeploymentType | None:
    """Read a type as SAM or CodeDeploy names it; None if it is none of CodeDeploy's own."""
    name = name.rpartition(".")[2].removeprefix("Lambda")
    if name == ALL_AT_ONCE:
        return DeploymentType(100, timedelta())
    found = TYPE.fullmatch(name)
    if not found or not 0 < int(found[2]) < 100:  # noqa: PLR2004 percent
        return None
    return DeploymentType(int(found[2]), timedelta(minutes=int(found[3])), found[1] == "Linear")
