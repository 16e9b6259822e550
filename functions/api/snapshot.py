"""SnapStart: every execution environment is a copy of one snapshot of the initialised function.

Imported only where SnapStart is on. Sources: docs.aws.amazon.com/lambda/latest/dg/, the pages
snapstart-runtime-hooks-python and snapstart-uniqueness.
"""

import random
from collections.abc import Callable

from snapshot_restore_py import register_after_restore, register_before_snapshot

from serving.telemetry import logger, record


def register(load_routes: Callable[[], object]) -> None:
    """Let the snapshot hold every route, and no two of its copies the same random numbers.

    There are no connections or credentials to renew: the function calls no AWS API.
    """
    register_before_snapshot(load_routes)  # a restore does not pay for what an import would
    register_after_restore(_start)


def _start() -> None:
    random.seed()  # Powertools draws from it which environments log at DEBUG
    logger.refresh_sample_rate_calculation()
    record(ColdStart=1)  # the model was loaded long ago, when the version was published
