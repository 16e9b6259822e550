"""What `sam build` made of this checkout; `make test` runs it first."""

import subprocess
import sys
from pathlib import Path

import pytest
from samcli.yamlhelper import yaml_parse

from infra.artifacts import BUDGET, MB, Build, check, read_builds, read_processors

TELEMETRY = ("telemetry.py", "telemetry.cpython-313.pyc")  # a module, and what it compiles to

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def build() -> Build:
    builds = {build.function: build for build in read_builds(ROOT / ".aws-sam/build")}
    return builds["InferenceFunction"]


def test_build_fits_lambda_and_its_processor(build: Build) -> None:
    check(build)
    assert build.size <= BUDGET


def test_runtime_layer_stays_small(build: Build) -> None:
    [runtime] = [one for one in build.artifacts if one.name == "RuntimeLayer"]
    assert runtime.size <= 105 * MB  # a cold start fetches it, and a model has what it leaves


def test_build_has_the_architecture_of_the_template(build: Build) -> None:
    template = yaml_parse((ROOT / "template.yaml").read_text())
    assert [build.architecture] == template["Globals"]["Function"]["Architectures"]
    processors = [processor for _, processor in read_processors(build.artifacts[1].path)]
    assert len(processors) > 10
    assert set(processors) == {build.architecture}


def test_sizes_add_up_to_the_files_that_deploy(build: Build) -> None:
    for artifact in build.artifacts:
        files = [path for path in artifact.path.rglob("*") if path.is_file()]
        assert artifact.size == sum(path.stat().st_size for path in files)


def test_function_holds_our_packages_and_nothing_else(build: Build) -> None:
    names = {part.name for part in build.artifacts[0].parts}
    assert names == {"api", "protocols", "serving", *TELEMETRY}


def test_gate_is_complete_with_the_layers_of_the_function(build: Build) -> None:
    # GIVEN
    gate = read_builds(ROOT / ".aws-sam/build")[1]
    assert gate.function == "GateFunction"
    names = {part.name for part in gate.artifacts[0].parts}
    assert names == {"gate", "serving", *TELEMETRY}
    assert gate.artifacts[1:] == build.artifacts[1:]

    # WHEN it is imported as on Lambda, without what is installed here
    code, runtime = (artifact.path for artifact in gate.artifacts[:2])
    script = "import sys, gate.handler, gate.checks; print('onnxruntime' in sys.modules)"
    process = subprocess.run(
        [sys.executable, "-S", "-c", script],
        env={"PYTHONPATH": f"{code}:{runtime}/python"},
        capture_output=True,
        text=True,
        check=True,
    )

    # THEN
    assert process.stdout == "False\n"
