from pathlib import Path

import pytest
import yaml

from infra.artifacts import (
    BUDGET,
    LIMIT,
    MB,
    ArtifactError,
    Part,
    check,
    measure,
    read_function_packages,
)

X86_64, AARCH64 = 62, 183


def write(path: Path, content: bytes = b"", size: int | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(content)
        if size is not None:
            file.truncate(size)  # sparse: as large as it says, without the disk


def write_shared_object(path: Path, machine: int) -> None:
    write(path, b"\x7fELF" + bytes(14) + machine.to_bytes(2, "little") + bytes(44))


@pytest.fixture
def built(tmp_path: Path) -> Path:
    """A build folder as `sam build` leaves it: one function, two layers, no anchors, no tags."""
    function = {
        "CodeUri": "InferenceFunction",
        "Layers": [{"Ref": "RuntimeLayer"}, {"Ref": "ModelLayer"}],
    }
    template = {
        "Globals": {"Function": {"Architectures": ["x86_64"]}},
        "Resources": {
            "InferenceFunction": {"Type": "AWS::Serverless::Function", "Properties": function},
            "RuntimeLayer": {
                "Type": "AWS::Serverless::LayerVersion",
                "Properties": {"ContentUri": "RuntimeLayer"},
            },
            "ModelLayer": {
                "Type": "AWS::Serverless::LayerVersion",
                "Properties": {"ContentUri": "ModelLayer"},
            },
        },
    }
    (tmp_path / "template.yaml").write_text(yaml.safe_dump(template))
    write(tmp_path / "InferenceFunction/serving/model.py", size=300)
    write(tmp_path / "InferenceFunction/api/handler.py", size=100)
    packages = tmp_path / "RuntimeLayer/python"
    write_shared_object(packages / "numpy/_core/_multiarray_umath.so", X86_64)
    write_shared_object(packages / "numpy.libs/libopenblas.so.0", X86_64)
    write(packages / "numpy-2.5.5.dist-info/METADATA", size=1000)
    write(packages / "typing_extensions.py", size=20)
    write(packages / "__pycache__/typing_extensions.cpython-313.pyc", size=30)
    write(tmp_path / "ModelLayer/model/model.onnx", size=5000)
    write(tmp_path / "ModelLayer/model/weights/part.bin", size=7000)
    write(tmp_path / "ModelLayer/model/model.json", size=10)
    return tmp_path


def test_reads_a_function_with_its_layers_in_order(built: Path) -> None:
    # WHEN
    (package,) = read_function_packages(built)

    # THEN
    assert package.function == "InferenceFunction"
    assert package.architecture == "x86_64"
    assert [artifact.name for artifact in package.artifacts] == [
        "InferenceFunction",
        "RuntimeLayer",
        "ModelLayer",
    ]
    assert package.size == sum(
        path.stat().st_size
        for path in built.rglob("*")
        if path.is_file() and path.name != "template.yaml"
    )
    check(package)


def test_measures_packages_with_their_libraries_metadata_and_bytecode(built: Path) -> None:
    assert measure(built / "RuntimeLayer") == (
        Part("numpy", 64 + 64 + 1000),
        Part("typing_extensions", 50),
    )
    assert measure(built / "InferenceFunction") == (Part("serving", 300), Part("api", 100))


def test_measures_a_model_by_its_files(built: Path) -> None:
    assert measure(built / "ModelLayer") == (
        Part("weights/part.bin", 7000),
        Part("model.onnx", 5000),
        Part("model.json", 10),
    )


def test_budget_leaves_room_below_the_limit_of_lambda() -> None:
    assert LIMIT == 262_144_000
    assert BUDGET < LIMIT


@pytest.mark.parametrize(("excess", "accepted"), [(0, True), (1, False)])
def test_accepts_a_build_up_to_the_budget(built: Path, excess: int, *, accepted: bool) -> None:
    # GIVEN a model that fills the budget to the byte, or one byte more
    model = built / "ModelLayer/model/model.onnx"
    (package,) = read_function_packages(built)
    write(model, size=BUDGET - (package.size - 5000) + excess)

    # WHEN
    (package,) = read_function_packages(built)

    # THEN
    assert package.size == BUDGET + excess
    if accepted:
        check(package)
    else:
        with pytest.raises(ArtifactError, match="over the budget of 245 MB"):
            check(package)


def test_message_over_the_budget_names_the_largest_parts_and_a_remedy(built: Path) -> None:
    # GIVEN
    write(built / "ModelLayer/model/model.onnx", size=200 * MB)
    write(built / "RuntimeLayer/python/onnxruntime/engine.bin", size=90 * MB)
    (package,) = read_function_packages(built)

    # WHEN
    with pytest.raises(ArtifactError) as raised:
        check(package)

    # THEN
    message = str(raised.value)
    assert "\n" not in message
    assert "InferenceFunction and its layers are 290.0 MB unzipped" in message
    assert "model.onnx 200.0 MB (ModelLayer), onnxruntime 90.0 MB (RuntimeLayer)" in message
    assert "quantized model" in message


def test_refuses_a_shared_object_for_another_processor(built: Path) -> None:
    # GIVEN
    write_shared_object(built / "RuntimeLayer/python/numpy/linalg.so", AARCH64)
    (package,) = read_function_packages(built)

    # WHEN / THEN
    expected = r"RuntimeLayer: python/numpy/linalg\.so is built for arm64, the template says x86_64"
    with pytest.raises(ArtifactError, match=expected):
        check(package)


def test_refuses_a_shared_object_for_another_system(built: Path) -> None:
    # GIVEN the first bytes of a macOS library
    write(built / "RuntimeLayer/python/numpy/linalg.so", b"\xcf\xfa\xed\xfe" + bytes(28))
    (package,) = read_function_packages(built)

    # WHEN / THEN
    with pytest.raises(ArtifactError, match=r"linalg\.so is built for another system"):
        check(package)


def test_says_how_to_build_when_nothing_was_built(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="holds no build: run `sam build` first"):
        read_function_packages(tmp_path)


def test_says_which_folder_of_a_build_is_missing(built: Path) -> None:
    # GIVEN
    (built / "ModelLayer").rename(built / "Elsewhere")

    # WHEN / THEN
    with pytest.raises(ArtifactError, match="holds no ModelLayer: run `sam build` again"):
        read_function_packages(built)
