"""A signal during `infra model check` or `add`: the command stops and leaves nothing behind."""

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from infra.project import MARKS
from tests.onnx_models import logistic
from tests.sam_template import ROOT

INFRA = Path(sys.executable).with_name("infra")
SECONDS = 60
ROWS = "a,b,c,d,outcome\n" + "1,2,3,4,0\n4,5,6,7,1\n" * 20


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with this one's build, a folder for its own temporary files, and a model."""
    folder = tmp_path / "project"
    (folder / "build").mkdir(parents=True)
    for name in (*MARKS, ".aws-sam", "build/managed-runtime"):
        (folder / name).symlink_to(ROOT / name)
    shutil.copytree(ROOT / "layers/runtime", folder / "layers/runtime")
    (folder / "m.onnx").write_bytes(logistic().SerializeToString())
    (folder / "rows.csv").write_text(ROWS)
    return folder


def run(project: Path, *command: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [INFRA, "model", *command], stderr=subprocess.PIPE, text=True, cwd=project
    )


def list_children(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def snapshot(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


MOMENTS = {
    "it reads the file": "",  # in a process of its own, before there is a folder
    "it opens the bench": "build/trial-*",
    "it loads the model": "build/trial-*/layer/model/model.json",
    "it asks the current model": "build/trial-*/incumbent",
}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_signal_leaves_nothing_behind(project: Path, moment: str, number: signal.Signals) -> None:
    # GIVEN a layer with a model, which is to be replaced by the next version
    add = ("add", "m.onnx", "--samples", "rows.csv", "--target", "outcome")
    with run(project, *add) as process:
        assert process.wait(SECONDS) == 0
    before = snapshot(project)
    process = run(project, *add)
    # WHEN it gets a signal at some moment
    deadline = time.monotonic() + SECONDS
    while not list_children(process.pid) or not [*project.glob(MOMENTS[moment] or "m.onnx")]:
        assert process.poll() is None
        assert time.monotonic() < deadline
    children = list_children(process.pid)
    process.send_signal(number)
    _, errors = process.communicate(timeout=SECONDS)
    # THEN it says so, and everything is as it was
    assert (process.returncode, errors.splitlines()[-1]) == (1, "Stopped.")
    assert snapshot(project) == before
    assert not [*project.glob("build/trial-*"), *project.glob("layers/.model*")]
    assert not [child for child in children if Path("/proc", child).exists()]


def test_a_signal_ends_a_check(project: Path) -> None:
    process = run(project, "check", "m.onnx")
    deadline = time.monotonic() + SECONDS
    while not [*project.glob("build/trial-*/layer/model/model.json")]:
        assert time.monotonic() < deadline
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=SECONDS)
    assert (process.returncode, errors.splitlines()[-1]) == (1, "Stopped.")
    assert not [*project.glob("build/trial-*")]
