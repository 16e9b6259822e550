"""A model takes the place of another in the layer's folder: all of it, or nothing."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from infra.model.errors import ModelError
from infra.model.layer import install, read_contract


def make(folder: Path, files: dict[str, str], contract: object = None) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    if contract is None:
        names = [name for name in files if name != "Makefile"]
        contract = {"name": "m", "version": "1", "files": dict.fromkeys(names, "")}
    (folder / "model.json").write_text(json.dumps(contract))
    return folder


def read(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "model.json"
    }


def test_a_model_replaces_the_files_of_the_previous_one_and_no_others(tmp_path: Path) -> None:
    # GIVEN a layer with a model, its external data in a folder, and files that belong to neither
    layer = make(tmp_path / "layer", {"model.onnx": "old", "parts/a.bin": "old", "old.bin": "old"})
    (layer / "Makefile").write_text("build:")
    (layer / "training").mkdir()
    (layer / "training" / "train.py").write_text("fit()")
    (layer / "link").symlink_to("Makefile")
    # WHEN another model is installed
    install(make(tmp_path / "new", {"model.onnx": "new", "w/b.bin": "new"}), layer)
    # THEN it is there, with all that was not the old model's, and nothing is left beside it
    assert read(layer) == {
        "model.onnx": "new",
        "w/b.bin": "new",
        "Makefile": "build:",
        "training/train.py": "fit()",
        "link": "build:",
    }
    assert (layer / "link").is_symlink()
    assert not (layer / "parts").exists()
    assert read_contract(layer)["files"] == {"model.onnx": "", "w/b.bin": ""}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["layer", "new"]


def test_a_missing_folder_is_made(tmp_path: Path) -> None:
    install(make(tmp_path / "new", {"model.onnx": "new"}), tmp_path / "to" / "layer")
    assert read(tmp_path / "to" / "layer") == {"model.onnx": "new"}


@pytest.mark.parametrize("name", ["notes.txt", "training", "training/train.py"])
def test_files_that_belong_to_no_model_are_never_overwritten(name: str, tmp_path: Path) -> None:
    # GIVEN a layer whose own files have the names that a model's external data asks for
    layer = make(tmp_path / "layer", {"model.onnx": "old"})
    (layer / "training").mkdir()
    (layer / "training" / "train.py").write_text("fit()")
    (layer / "notes.txt").write_text("mine")
    before = read(layer)
    # WHEN the model is installed THEN it is refused, and nothing has changed
    with pytest.raises(ModelError, match=f"{name} is in the way and belongs to no model"):
        install(make(tmp_path / "new", {"model.onnx": "new", name: "new"}), layer)
    assert read(layer) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["layer", "new"]


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    layer = make(tmp_path / "layer", {"model.onnx": "old"})
    (tmp_path / "elsewhere").mkdir()
    (layer / "parts").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ModelError, match="parts is reached by a link"):
        install(make(tmp_path / "new", {"model.onnx": "new", "parts/a.bin": "new"}), layer)
    assert not list((tmp_path / "elsewhere").iterdir())


@pytest.mark.parametrize(
    ("contract", "message"),
    [
        ("{", r"model\.json is not JSON"),
        ("[]", r"model\.json does not list its model's files"),
        ('{"files": {"../precious": ""}}', r"model\.json does not list its model's files"),
        ('{"files": {"/precious": ""}}', r"model\.json does not list its model's files"),
    ],
)
def test_a_contract_without_files_is_refused(contract: str, message: str, tmp_path: Path) -> None:
    # GIVEN a folder whose model.json lists what is none of its own
    layer = make(tmp_path / "layer", {"model.onnx": "old"})
    (tmp_path / "precious").write_text("keep")
    (layer / "model.json").write_text(contract)
    # WHEN a model is installed THEN nothing is removed
    with pytest.raises(ModelError, match=message):
        install(make(tmp_path / "new", {"model.onnx": "new"}), layer)
    assert (tmp_path / "precious").read_text() == "keep"
    assert (layer / "model.onnx").read_text() == "old"


def fail_to_rename(after: int) -> Callable[[Path, Path], Path]:
    rename, calls = Path.rename, iter(range(100))

    def fail(self: Path, target: Path) -> Path:
        if next(calls) == after:
            raise OSError(28, os.strerror(28))
        return rename(self, target)

    return fail


@pytest.mark.parametrize("after", [0, 1])
def test_a_failure_at_the_last_moment_leaves_the_old_model(
    after: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # GIVEN a disk that fails when the old folder, or the new one, is renamed
    layer = make(tmp_path / "layer", {"model.onnx": "old", "Makefile": "build:"})
    package = make(tmp_path / "new", {"model.onnx": "new"})
    monkeypatch.setattr(Path, "rename", fail_to_rename(after))
    # WHEN a model is installed
    with pytest.raises(OSError, match="No space left"):
        install(package, layer)
    # THEN the layer is what it was
    assert read(layer) == {"model.onnx": "old", "Makefile": "build:"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["layer", "new"]


def test_a_run_that_was_killed_between_the_renames_is_repaired(tmp_path: Path) -> None:
    # GIVEN what is left when the old folder was moved away and the new one not yet there
    make(tmp_path / ".layer.old", {"model.onnx": "old", "Makefile": "build:"})
    make(tmp_path / ".layer.new", {"model.onnx": "half"})
    # WHEN a model is installed
    install(make(tmp_path / "new", {"model.onnx": "new"}), tmp_path / "layer")
    # THEN the rest of the old folder is still there
    assert read(tmp_path / "layer") == {"model.onnx": "new", "Makefile": "build:"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["layer", "new"]
