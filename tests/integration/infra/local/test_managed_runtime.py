"""The managed runtime's stand-in, made once."""

from pathlib import Path

import pytest

from infra.local.errors import ManagedRuntimeError
from infra.local.functions import managed_runtime
from tests.sam_template import PROJECT


def format_time(python: Path) -> int:
    return python.lstat().st_ctime_ns


async def test_is_found_again(managed_python: Path) -> None:
    # GIVEN one that is made WHEN it is asked for again THEN it is the same, untouched
    made = format_time(managed_python)
    assert await managed_runtime.prepare(PROJECT.managed_runtime) == managed_python
    assert format_time(managed_python) == made


async def test_says_why_it_cannot_be_made_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # GIVEN a locked requirement that does not exist
    requirements = tmp_path / "requirements.txt"
    requirements.write_text(f"absent @ file:///absent-1-py3-none-any.whl --hash=sha256:{'0' * 64}")
    monkeypatch.setattr(managed_runtime, "REQUIREMENTS", requirements)
    # WHEN it is made THEN the cause is told, and nothing is left to be taken for a runtime
    with pytest.raises(ManagedRuntimeError, match=r"could not be made: .*absent-1"):
        await managed_runtime.prepare(tmp_path / "runtime")
    assert list((tmp_path / "runtime").iterdir()) == []
