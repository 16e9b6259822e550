"""Functions that this machine can run."""

import platform

import pytest

from infra.build import check_machine
from infra.local.errors import LocalRunError


@pytest.mark.parametrize(
    ("machine", "architecture"), [("x86_64", "x86_64"), ("aarch64", "arm64"), ("arm64", "arm64")]
)
def test_accepts_a_function_for_its_own_processor(
    machine: str, architecture: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: machine)
    check_machine("python3.13", architecture)


def test_refuses_a_function_for_another_processor_or_python(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    with pytest.raises(LocalRunError, match=r"python3\.13 on x86_64, this is python3\.13 on arm64"):
        check_machine("python3.13", "x86_64")
    with pytest.raises(LocalRunError, match=r"python3\.12 on arm64, this is python3\.13 on arm64"):
        check_machine("python3.12", "arm64")
