"""Locales of this machine, which Lambda does not have: no environment sees them."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from infra.model.errors import ModelError
from infra.model.trial.trial import open_bench
from tests.onnx_models import normalizer, package
from tests.sam_template import PROJECT

LOCALE = "en_US.UTF-8"  # of skl2onnx's text models
LOAD = "import onnxruntime, sys; onnxruntime.InferenceSession(sys.argv[1])"


@pytest.fixture(params=["folder", "archive"])
def with_locale(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Be on a machine with the locale: in a folder that a variable names, or in glibc's archive."""
    if request.param == "archive":
        listed = subprocess.run(["locale", "-a"], capture_output=True, text=True, check=False)  # noqa: S607 glibc's
        if "en_US.utf8" not in listed.stdout.split():
            pytest.skip("this machine does not have the locale")
    elif shutil.which("localedef") and Path("/usr/share/i18n/locales/en_US").exists():
        definition = ["localedef", "-i", "en_US", "-f", "UTF-8", str(tmp_path / LOCALE)]
        subprocess.run(definition, check=True)
        monkeypatch.setenv("LOCPATH", str(tmp_path))
    else:
        pytest.skip("no locale can be made here")
    monkeypatch.setenv("LC_ALL", LOCALE)


@pytest.mark.usefixtures("with_locale")
async def test_no_environment_sees_a_locale_of_this_machine(tmp_path: Path) -> None:
    # GIVEN a model that loads on this machine
    model = package(tmp_path / "layer" / "model", normalizer(locale=LOCALE)) / "model.onnx"
    subprocess.run([sys.executable, "-c", LOAD, model], check=True)  # noqa: ASYNC221 nobody waits
    async with open_bench(PROJECT) as bench:
        # WHEN it is loaded in an environment THEN it fails as on Lambda
        with pytest.raises(ModelError, match=f"locale with name:{LOCALE}"):
            await bench.load(tmp_path / "layer", "tiny")
