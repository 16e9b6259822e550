"""What `sam build` made of this checkout; `make test` runs it first."""

from pathlib import Path

import pytest
from samcli.yamlhelper import yaml_parse

from infra.artifacts import BUDGET, Build, check, read_builds, read_processors

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def build() -> Build:
    builds = {build.function: build for build in read_builds(ROOT / ".aws-sam/build")}
    return builds["InferenceFunction"]


def test_build_fits_lambda_and_its_processor(build: Build) -> None:
    check(build)
    assert build.size <= BUDGET


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
    assert {part.name for part in build.artifacts[0].parts} == {"api", "serving"}
