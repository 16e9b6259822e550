from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.local.functions import managed_runtime
from tests.local_run import LocalRun, start_local_run
from tests.sam_template import PROJECT


@pytest.fixture(scope="session")
async def managed_python() -> Path:
    """Python of the managed runtime, the one that `make run` uses."""
    return await managed_runtime.prepare(PROJECT.managed_runtime)


@pytest.fixture(scope="session")
def local_run() -> Iterator[LocalRun]:
    with start_local_run() as run:
        yield run
