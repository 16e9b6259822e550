"""A project's folder, and what its samconfig.toml says."""

from pathlib import Path

import pytest

from infra.project import MARKS, Project, ProjectError


def test_one_file_alone_is_no_project(tmp_path: Path) -> None:
    (tmp_path / MARKS[0]).touch()
    with pytest.raises(ProjectError):
        Project.find(tmp_path)


def test_the_nearest_project_counts_and_is_named_from_where_one_is(tmp_path: Path) -> None:
    # GIVEN a project, and below it a folder of the name that a project's file has
    folder = tmp_path / "notes" / "week 48"
    (folder / MARKS[0]).mkdir(parents=True)
    for name in MARKS:
        (tmp_path / name).touch()
    # WHEN / THEN its paths lead there from the folder where it is looked for
    assert Project.find(folder) == Project(Path("../.."))
    assert Project.find(folder).build == Path("../../.aws-sam/build")
    assert Project.find(tmp_path).build == Path(".aws-sam/build")


def test_overrides_are_read_from_samconfig_as_sam_reads_them(tmp_path: Path) -> None:
    project, samconfig = Project(tmp_path), tmp_path / "samconfig.toml"
    samconfig.write_text(
        '[default.deploy.parameters]\nparameter_overrides = ["Rate=1", "Email=\\"a b\\""]\n'
        '[prod.global.parameters]\nparameter_overrides = "Rate=2 Burst=3"\n'
        "[none.global.parameters]\n"
    )
    assert project.read_parameter_overrides("default") == {"Rate": "1", "Email": "a b"}
    assert project.read_parameter_overrides("prod") == {"Rate": "2", "Burst": "3"}
    assert project.read_parameter_overrides("none") == {}
    with pytest.raises(
        ProjectError, match="has no environment test: `infra deploy --env default` or"
    ):
        project.read_parameter_overrides("test")
    samconfig.write_text("[")
    with pytest.raises(ProjectError, match="cannot be read"):
        project.read_parameter_overrides("default")


def test_name_and_region_are_those_of_the_environment(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.samconfig.write_text(
        '[default.global.parameters]\nstack_name = "shop"\nregion = "eu-west-1"\n'
        '[prod.deploy.parameters]\nstack_name = "shop-prod"\n'
    )
    assert project.read_stack_name("default") == "shop"
    assert project.read_stack_name("prod") == "shop-prod"
    assert project.read_region("default") == "eu-west-1"
    assert project.read_region("prod") is project.read_region("nope") is None
    with pytest.raises(ProjectError, match=r"samconfig\.toml names no stack for nope: give one"):
        project.read_stack_name("nope")
