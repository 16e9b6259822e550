"""Copies of this checkout, for commands that build: they leave what other tests read as it is."""

import os
import shutil
from pathlib import Path

ROOT = Path(__file__).parents[1]


def copy_checkout(to: Path) -> Path:
    """Copy the sources that `infra` builds, and what of them is built already."""
    for name in ("functions", "infra/stacks", "layers"):
        shutil.copytree(ROOT / name, to / name)
    for name in ("template.yaml", "samconfig.toml"):
        shutil.copy(ROOT / name, to)
    (ROOT / "build/managed-runtime").mkdir(parents=True, exist_ok=True)
    (to / "build").mkdir()
    (to / "build/managed-runtime").symlink_to(ROOT / "build/managed-runtime")
    # `sam build` finds a layer again by the path and the digest of its source.
    shutil.copytree(ROOT / ".aws-sam/cache", to / ".aws-sam/cache", copy_function=os.link)
    known = (ROOT / ".aws-sam/build.toml").read_text("utf-8")
    (to / ".aws-sam/build.toml").write_text(known.replace(f'"{ROOT}/', f'"{to}/'), "utf-8")
    return to
