"""SnapStart: every execution environment is a copy of one snapshot of the initialised function.

Imported only where SnapStart is on. Sources: docs.aws.amazon.com/lambda/latest/dg/, the pages
snapstart-runtime-hooks-python and snapstart-uniqueness.
"""

import random
from collections.abc import Callable

from snapshot_restore_py import register_after_restore, register_before_snapshot

from telemetry import Metrics, logger


def register(metrics: Metrics, load_application: Callable[[], object]) -> None:
    """Let the snapshot hold every route, and no two of its copies the same random numbers.

    There are no connections or credentials to renew: the function calls no AWS API.
    """

    def load() -> None:
        """Import what is imported when it is first needed: a restore does not pay for it."""
        from protocols import scoring  # noqa: F401 for its effect

        load_application()

    def start() -> None:
        random.seed()  # Powertools draws from it which environments log at DEBUG
        logger.refresh_sample_rate_calculation()
        metrics.record(ColdStart=1)  # the model was loaded long ago, when the version was published

    register_before_snapshot(load)
    register_after_restore(start)
