from collections.abc import Iterator

import pytest

from tests.checkout import copy_checkout
from tests.local_run import LocalRun, start_local_run


@pytest.fixture(scope="session")
def local_run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalRun]:
    """The local run of this checkout, with the model that it holds."""
    checkout = copy_checkout(tmp_path_factory.mktemp("local-run") / "checkout")
    with start_local_run(checkout) as run:
        yield run
