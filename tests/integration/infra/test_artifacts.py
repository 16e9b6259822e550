"""What `sam build` made of this checkout; `make test` runs it first."""

import subprocess
import sys
from pathlib import Path

import pytest
from samcli.yamlhelper import yaml_parse

from infra.artifacts import (
    BUDGET,
    MB,
    FunctionPackage,
    check,
    read_function_packages,
    read_processors,
)

TELEMETRY = ("telemetry.py", "telemetry.cpython-313.pyc")  # a module, and what it compiles to

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def package() -> FunctionPackage:
    packages = {
        package.function: package for package in read_function_packages(ROOT / ".aws-sam/build")
    }
    return packages["InferenceFunction"]


def test_build_fits_lambda_and_its_processor(package: FunctionPackage) -> None:
    check(package)
    assert package.size <= BUDGET


def test_runtime_layer_stays_small(package: FunctionPackage) -> None:
    [runtime] = [one for one in package.artifacts if one.name == "RuntimeLayer"]
    assert runtime.size <= 105 * MB  # a cold start fetches it, and a model has what it leaves


def test_build_has_the_architecture_of_the_template(package: FunctionPackage) -> None:
    template = yaml_parse((ROOT / "template.yaml").read_text())
    assert [package.architecture] == template["Globals"]["Function"]["Architectures"]
    processors = [processor for _, processor in read_processors(package.artifacts[1].path)]
    assert len(processors) > 10
    assert set(processors) == {package.architecture}


def test_sizes_add_up_to_the_files_that_deploy(package: FunctionPackage) -> None:
    for artifact in package.artifacts:
        files = [path for path in artifact.path.rglob("*") if path.is_file()]
        assert artifact.size == sum(path.stat().st_size for path in files)


def test_function_holds_our_packages_and_nothing_else(package: FunctionPackage) -> None:
    names = {part.name for part in package.artifacts[0].parts}
    assert names == {"api", "protocols", "serving", *TELEMETRY}


def test_gate_is_complete_with_the_layers_of_the_function(package: FunctionPackage) -> None:
    # GIVEN
    gate = read_function_packages(ROOT / ".aws-sam/build")[1]
    assert gate.function == "GateFunction"
    names = {part.name for part in gate.artifacts[0].parts}
    assert names == {"gate", "serving", *TELEMETRY}
    assert gate.artifacts[1:] == package.artifacts[1:]

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
