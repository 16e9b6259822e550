from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.local.functions import managed_runtime
from tests.checkout import copy_checkout
from tests.local_run import LocalRun, start_local_run
from tests.sam_template import PROJECT


@pytest.fixture(scope="session")
async def managed_python() -> Path:
    """Python of the managed runtime, the one that `make run` uses."""
    return await managed_runtime.prepare(PROJECT.managed_runtime)


@pytest.fixture(scope="session")
def local_run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalRun]:
    """The local run of this checkout, with the model that it holds."""
    checkout = copy_checkout(tmp_path_factory.mktemp("local-run") / "checkout")
    with start_local_run(checkout) as run:
        yield run
