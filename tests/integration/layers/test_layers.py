"""The three builds, run as `sam build` runs them: make, with ARTIFACTS_DIR set."""

import hashlib
import importlib.util
import json
import marshal
import math
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from samcli.lib.utils.hash import dir_checksum

from infra.artifacts import MB, read_processors
from layers.runtime.build import BuildError, check_processor, find_architecture
from tests.onnx_models import logistic, package

ROOT = Path(__file__).parents[3]
RUNTIME = ROOT / "layers/runtime"
HOST = {"x86_64": "x86_64", "aarch64": "arm64", "arm64": "arm64"}[platform.machine()]
MAKE = shutil.which("make") or "make"
UNCHECKED_HASH = 0b01  # PEP 552: by hash, and without a look at the source

type RunMake = Callable[..., subprocess.CompletedProcess[str]]

# What the function does with the layer, all of it: tensors, a session, both web parts, a metric.
INFERENCE = """
import json, sys
layer, model = sys.argv[1:]
sys.path.insert(0, layer)

import msgspec, numpy, onnxruntime
from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import single_metric
from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from mangum import Mangum

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

app = FastAPI()

@app.post("/infer")
async def infer(features: list[list[float]]) -> list[list[float]]:
    (scores,) = session.run(None, {"features": numpy.asarray(features, numpy.float32)})
    return scores.tolist()

event = {
    "version": "2.0", "routeKey": "ANY /{proxy+}", "rawPath": "/infer", "rawQueryString": "",
    "headers": {"content-type": "application/json"}, "isBase64Encoded": False,
    "requestContext": {"http": {"method": "POST", "path": "/infer", "sourceIp": "127.0.0.1"}},
    "body": json.dumps([[1, 2, 3, 4], [4, 3, 2, 1]]),
}
response = Mangum(app, lifespan="off")(event, None)
Logger(service="test").info("answered")
with single_metric("Requests", "Count", 1, namespace="Test") as metric:
    metric.add_dimension("service", "test")
standard = json.__file__.removesuffix("/json/__init__.py")
files = [getattr(module, "__file__", None) for module in list(sys.modules.values())]
print(json.dumps({
    "status": response["statusCode"],
    "scores": msgspec.json.decode(response["body"]),
    "openapi": sorted(app.openapi()["paths"]),
    "docs": get_swagger_ui_html(openapi_url="/", title="").status_code,
    "outside": [file for file in files if file and not file.startswith((layer, standard))],
}))
"""


@pytest.fixture(scope="session")
def run_make() -> RunMake:
    """Run a target with ARTIFACTS_DIR set; pip may only take the wheels in build/wheels."""

    def run(
        folder: Path, target: str, artifacts: Path, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        wheels = ROOT / "build/wheels" / environment.get("ARCHITECTURE", HOST)
        return subprocess.run(
            [MAKE, "--no-print-directory", "--directory", str(folder), f"build-{target}"],
            env={
                "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
                "PIP_CONFIG_FILE": os.devnull,
                "PIP_NO_INDEX": "1",
                "PIP_FIND_LINKS": str(wheels),
                "ARTIFACTS_DIR": str(artifacts),
            }
            | environment,
            capture_output=True,
            text=True,
            check=False,
        )

    return run


@pytest.fixture(scope="session")
def builds(
    run_make: RunMake, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[Path, str]]:
    """The runtime layer for each processor, and what its build printed."""
    built = {}
    for architecture in ("x86_64", "arm64"):
        assert (ROOT / "build/wheels" / architecture).is_dir(), "`make test` downloads the wheels"
        layer = tmp_path_factory.mktemp(architecture)
        make = run_make(RUNTIME, "RuntimeLayer", layer, ARCHITECTURE=architecture)
        assert make.returncode == 0, make.stderr
        built[architecture] = layer, make.stdout
    return built


@pytest.fixture(scope="session")
def runtime_layers(builds: dict[str, tuple[Path, str]]) -> dict[str, Path]:
    """The runtime layer for each processor."""
    return {architecture: layer for architecture, (layer, _) in builds.items()}


@pytest.fixture(scope="session")
def runtime_layer(runtime_layers: dict[str, Path]) -> Path:
    """The runtime layer that this machine's processor can run."""
    return runtime_layers[HOST]


def run_inference(packages: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run INFERENCE with the standard library and `packages`, and nothing else."""
    model = package(folder, logistic()) / "model.onnx"
    return subprocess.run(
        [sys.executable, "-I", "-S", "-c", INFERENCE, packages, model],
        env={"ORT_DISABLE_TELEMETRY": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


# The runtime layer.


def test_runtime_layer_runs_a_model_and_the_api_with_nothing_else(
    runtime_layer: Path, tmp_path: Path
) -> None:
    # WHEN
    process = run_inference(runtime_layer / "python", tmp_path)

    # THEN
    assert process.returncode == 0, process.stderr
    answer = json.loads(process.stdout.splitlines()[-1])
    assert answer["status"] == 200
    scores = [[1 / (1 + math.exp(-weighted))] for weighted in (0.8, 0.45)]
    assert answer["scores"] == [pytest.approx(score, rel=1e-6) for score in scores]
    assert answer["openapi"] == ["/infer"]
    assert answer["docs"] == 200
    assert answer["outside"] == []


def test_run_fails_without_a_package_that_the_layer_lacks(
    runtime_layer: Path, tmp_path: Path
) -> None:
    # GIVEN the layer without numpy
    packages = tmp_path / "python"
    packages.mkdir()
    for path in (runtime_layer / "python").iterdir():
        if not path.name.startswith("numpy"):
            (packages / path.name).symlink_to(path)

    # WHEN
    process = run_inference(packages, tmp_path / "model")

    # THEN
    assert process.returncode == 1
    assert "No module named 'numpy'" in process.stderr


def test_two_builds_have_the_same_digest(
    runtime_layer: Path, run_make: RunMake, tmp_path: Path
) -> None:
    # WHEN built again elsewhere, with other hashes of strings
    again = tmp_path / "a/longer/path"
    make = run_make(
        RUNTIME, "RuntimeLayer", again, ARCHITECTURE=HOST, PYTHONHASHSEED="7", LANG="C.UTF-8"
    )

    # THEN
    assert make.returncode == 0, make.stderr
    assert dir_checksum(str(again)) == dir_checksum(str(runtime_layer))


@pytest.mark.parametrize("architecture", ["x86_64", "arm64"])
def test_every_shared_object_has_the_architecture_of_the_layer(
    runtime_layers: dict[str, Path], architecture: str
) -> None:
    processors = [processor for _, processor in read_processors(runtime_layers[architecture])]
    assert len(processors) > 10
    assert set(processors) == {architecture}


@pytest.mark.parametrize("architecture", ["x86_64", "arm64"])
def test_layer_leaves_more_than_half_of_the_limit_to_the_model(
    runtime_layers: dict[str, Path], architecture: str
) -> None:
    files = [path for path in runtime_layers[architecture].rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 105 * MB


def test_bytecode_of_every_module_is_unchecked_and_names_opt(runtime_layer: Path) -> None:
    modules = list(runtime_layer.rglob("*.py"))
    assert len(modules) > 500
    for module in modules:
        bytecode = Path(importlib.util.cache_from_source(str(module))).read_bytes()
        assert bytecode[:4] == importlib.util.MAGIC_NUMBER
        assert int.from_bytes(bytecode[4:8], "little") == UNCHECKED_HASH
        code = marshal.loads(bytecode[16:])  # noqa: S302 - just written by the build
        assert code.co_filename == f"/opt/{module.relative_to(runtime_layer)}"


def test_layer_names_no_folder_of_the_builder(runtime_layer: Path) -> None:
    builder = (str(runtime_layer).encode(), sys.executable.encode())
    for path in runtime_layer.rglob("*"):
        content = path.read_bytes() if path.is_file() else b""
        assert not any(folder in content for folder in builder), path


def test_layer_holds_every_locked_package_that_is_loaded(runtime_layer: Path) -> None:
    # GIVEN
    requirements = (RUNTIME / "requirements.txt").read_text("utf-8")
    locked = {
        f"{name.replace('-', '_')}-{version}"
        for name, version in re.findall(r"^([\w.-]+)==([\w.]+)", requirements, re.MULTILINE)
    }

    # WHEN
    metadata = [path.parent for path in (runtime_layer / "python").glob("*.dist-info/METADATA")]

    # THEN only what onnxruntime's tools need is gone
    gone = locked - {path.name.removesuffix(".dist-info") for path in metadata}
    assert {name.split("-")[0] for name in gone} == {"flatbuffers", "packaging", "protobuf"}
    assert not any((path / "RECORD").exists() for path in metadata)


def test_layer_keeps_licences_and_entry_points(runtime_layer: Path) -> None:
    packages = runtime_layer / "python"
    assert list(packages.glob("numpy-*.dist-info/licenses/LICENSE.txt"))
    assert (packages / "onnxruntime/ThirdPartyNotices.txt").is_file()
    (entry_points,) = packages.glob("opentelemetry_api-*.dist-info/entry_points.txt")
    assert "contextvars_context" in entry_points.read_text("utf-8")


def test_build_prints_the_size_of_each_package(builds: dict[str, tuple[Path, str]]) -> None:
    lines = builds["arm64"][1].splitlines()
    assert lines[0] == "Runtime layer for arm64, unzipped"
    assert re.fullmatch(r"  numpy +\d+\.\d MB", lines[1])
    assert re.fullmatch(r"  total +\d+\.\d MB", lines[-1])


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"ARCHITECTURE": "riscv"}, "the architecture is 'riscv', expected x86_64 or arm64"),
        ({}, "build below the template.yaml that has it as &architecture, or set ARCHITECTURE"),
        (
            {"ARCHITECTURE": HOST, "PIP_FIND_LINKS": os.devnull},
            f"pip could not install the packages for {HOST}: ERROR: No matching distribution",
        ),
    ],
)
def test_failed_build_says_why_in_one_line(
    run_make: RunMake, tmp_path: Path, environment: dict[str, str], message: str
) -> None:
    make = run_make(RUNTIME, "RuntimeLayer", tmp_path, **environment)
    assert make.returncode != 0
    error, from_make = make.stderr.splitlines()
    assert error.startswith("RuntimeLayer: ")
    assert message in error
    assert from_make.startswith("make: ***")


def test_build_refuses_another_python(tmp_path: Path) -> None:
    # GIVEN an interpreter that says it is 3.12
    script = f"""
import runpy, sys
sys.version = "3.12.1 (main)"
runpy.run_path({str(RUNTIME / "build.py")!r}, run_name="__main__")
"""

    # WHEN
    process = subprocess.run(
        [sys.executable, "-c", script],
        env={"ARTIFACTS_DIR": str(tmp_path), "ARCHITECTURE": HOST},
        capture_output=True,
        text=True,
        check=False,
    )

    # THEN
    assert process.returncode == 1
    assert process.stderr.startswith("RuntimeLayer: Python 3.13 must write the .pyc files")


def test_build_refuses_a_shared_object_for_another_processor(
    runtime_layers: dict[str, Path],
) -> None:
    check_processor(runtime_layers["arm64"] / "python", "arm64")
    with pytest.raises(BuildError, match=r"\.so.* is not a shared object for x86_64"):
        check_processor(runtime_layers["arm64"] / "python", "x86_64")


def test_architecture_comes_from_the_anchor_above_the_build(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # GIVEN a project, and next to the artifacts the template of its last build, without anchors
    artifacts = tmp_path / ".aws-sam/build/RuntimeLayer"
    artifacts.mkdir(parents=True)
    (artifacts.parent / "template.yaml").write_text("Architectures: [x86_64]\n")
    (tmp_path / "template.yaml").write_text("Architectures:\n  - &architecture arm64\n")
    monkeypatch.delenv("ARCHITECTURE", raising=False)

    # WHEN / THEN
    assert find_architecture(artifacts) == "arm64"
    monkeypatch.setenv("ARCHITECTURE", "x86_64")
    assert find_architecture(artifacts) == "x86_64"


# The model layer.


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """layers/model with a tiny model in it."""
    folder = package(tmp_path / "layers/model", logistic())
    for name in ("Makefile", "build.py"):
        shutil.copy(ROOT / "layers/model" / name, folder)
    return folder


def list_files(model: Path, **files: str) -> None:
    manifest = json.loads((model / "model.json").read_text())
    manifest["files"] |= {name.replace("__", "/"): digest for name, digest in files.items()}
    (model / "model.json").write_text(json.dumps(manifest))


def test_model_layer_holds_model_json_and_the_files_it_lists(
    run_make: RunMake, model: Path, tmp_path: Path
) -> None:
    # GIVEN external data in a folder, and a file that model.json does not list
    (model / "weights").mkdir()
    (model / "weights/part").write_bytes(b"1")
    (model / "notes.txt").write_text("not for Lambda")
    list_files(
        model, weights__part="6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b"
    )

    # WHEN
    make = run_make(model, "ModelLayer", tmp_path / "built")

    # THEN
    assert make.returncode == 0, make.stderr
    files = [path for path in (tmp_path / "built").rglob("*") if path.is_file()]
    names = ("model.json", "model.onnx", "weights/part")
    assert sorted(files) == [tmp_path / "built/model" / name for name in names]
    for name in names:
        assert (tmp_path / "built/model" / name).read_bytes() == (model / name).read_bytes()


def test_model_layer_refuses_a_file_that_changed(
    run_make: RunMake, model: Path, tmp_path: Path
) -> None:
    # GIVEN
    listed = json.loads((model / "model.json").read_text())["files"]["model.onnx"]
    (model / "model.onnx").write_bytes(b"another model")
    actual = hashlib.sha256(b"another model").hexdigest()

    # WHEN
    make = run_make(model, "ModelLayer", tmp_path / "built")

    # THEN both digests are shown
    assert make.returncode != 0
    assert make.stderr.startswith(
        f"ModelLayer: model.onnx has the sha256 {actual}, but model.json says {listed}\n"
    )
    assert not (tmp_path / "built/model").exists()


def leave(model: Path) -> None:
    (model.parent / "secret").write_text("outside")
    list_files(model, **{"../secret": "0"})


def leave_by_an_absolute_path(model: Path) -> None:
    (model.parent / "secret").write_text("outside")
    list_files(model, **{str(model.parent / "secret"): "0"})


def link(model: Path) -> None:
    (model / "target").write_text("inside")
    (model / "linked").symlink_to(model / "target")
    list_files(model, linked="0")


def lose(model: Path) -> None:
    (model / "model.onnx").unlink()


def lose_manifest(model: Path) -> None:
    (model / "model.json").unlink()


def break_manifest(model: Path) -> None:
    (model / "model.json").write_text("{")


def list_nothing(model: Path) -> None:
    (model / "model.json").write_text('{"files": {}}')


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (leave, "file '../secret' is outside the folder of the model"),
        (leave_by_an_absolute_path, "is outside the folder of the model"),
        (link, "file 'linked' leads elsewhere"),
        (lose, "file 'model.onnx' is missing"),
        (lose_manifest, "model.json is missing"),
        (break_manifest, "model.json is not JSON"),
        (list_nothing, "files is {}, expected the sha256 of each file"),
    ],
)
def test_model_layer_refuses_a_damaged_package_in_one_line(
    run_make: RunMake,
    model: Path,
    tmp_path: Path,
    damage: Callable[[Path], None],
    message: str,
) -> None:
    # GIVEN
    damage(model)

    # WHEN
    make = run_make(model, "ModelLayer", tmp_path / "built")

    # THEN
    assert make.returncode != 0
    error, from_make = make.stderr.splitlines()
    assert error.startswith("ModelLayer: ")
    assert message in error
    assert from_make.startswith("make: ***")
    assert not (tmp_path / "built/model").exists()


# The functions.


@pytest.fixture
def functions(tmp_path: Path) -> Path:
    """A copy of functions/, to change."""
    return shutil.copytree(
        ROOT / "functions", tmp_path / "functions", ignore=shutil.ignore_patterns("__pycache__")
    )


@pytest.mark.parametrize(
    ("function", "package", "others"),
    [
        ("InferenceFunction", "api", {"protocols", "serving", "telemetry.py"}),
        ("GateFunction", "gate", {"serving", "telemetry.py"}),
    ],
)
def test_function_is_compiled_for_var_task(
    run_make: RunMake,
    functions: Path,
    tmp_path: Path,
    function: str,
    package: str,
    others: set[str],
) -> None:
    # WHEN
    make = run_make(functions, function, tmp_path / "built")

    # THEN
    assert make.returncode == 0, make.stderr
    modules = list((tmp_path / "built").rglob("*.py"))
    names = {path.name for path in (tmp_path / "built").iterdir()}
    assert names == {package, *others, "__pycache__"}
    assert tmp_path / "built" / package / "handler.py" in modules
    for module in modules:
        bytecode = Path(importlib.util.cache_from_source(str(module))).read_bytes()
        assert int.from_bytes(bytecode[4:8], "little") == UNCHECKED_HASH
        code = marshal.loads(bytecode[16:])  # noqa: S302 - just written by the build
        assert code.co_filename == f"/var/task/{module.relative_to(tmp_path / 'built')}"


@pytest.mark.parametrize(
    ("function", "neighbour"), [("InferenceFunction", "gate"), ("GateFunction", "api")]
)
def test_function_changes_only_with_its_own_code(
    run_make: RunMake, functions: Path, tmp_path: Path, function: str, neighbour: str
) -> None:
    def build(name: str) -> str:
        make = run_make(functions, function, tmp_path / name)
        assert make.returncode == 0, make.stderr
        return str(dir_checksum(str(tmp_path / name)))

    # GIVEN
    before = build("first")

    # WHEN a neighbour changes and stale bytecode appears
    (functions / neighbour / "handler.py").write_text("import serving\n")
    (functions / "serving/__pycache__").mkdir()
    (functions / "serving/__pycache__/model.cpython-313.pyc").write_bytes(b"stale")

    # THEN
    assert build("second") == before

    # WHEN the function's own code changes
    with (functions / "serving/model.py").open("a") as file:
        file.write("\nCHANGED = True\n")

    # THEN
    assert build("third") != before


def test_function_that_does_not_compile_is_not_built(
    run_make: RunMake, functions: Path, tmp_path: Path
) -> None:
    (functions / "api/handler.py").write_text("def handler(:\n")
    make = run_make(functions, "InferenceFunction", tmp_path / "built")
    assert make.returncode != 0
    assert "SyntaxError" in make.stdout
