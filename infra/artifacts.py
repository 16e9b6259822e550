"""What `sam build` made: its unzipped size by package, and its processor."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from infra.errors import OperatorError

MB = 2**20
# docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html: code and layers, unzipped.
LIMIT = 250 * MB
BUDGET = 245 * MB

# e_machine of an ELF header, by Lambda's name of the processor.
PROCESSORS = {62: "x86_64", 183: "arm64"}


class ArtifactError(OperatorError):
    """Raised when a build is missing, or when Lambda would refuse it or fail to load it."""


@dataclass(frozen=True)
class Part:
    """A Python package in a layer or function, or a file of a model."""

    name: str
    size: int  # bytes, unzipped


@dataclass(frozen=True)
class Artifact:
    """The built folder of a function or a layer."""

    name: str  # logical id in the template
    path: Path
    parts: tuple[Part, ...]  # largest first

    @property
    def size(self) -> int:
        """Bytes, unzipped."""
        return sum(part.size for part in self.parts)


@dataclass(frozen=True)
class FunctionPackage:
    """A function and its layers, which Lambda unpacks together and limits together."""

    function: str  # logical id in the template
    architecture: str  # x86_64 or arm64
    artifacts: tuple[Artifact, ...]  # the function's code, then its layers in the template's order

    @property
    def size(self) -> int:
        """Bytes, unzipped."""
        return sum(artifact.size for artifact in self.artifacts)


def read_function_packages(folder: Path) -> tuple[FunctionPackage, ...]:
    """Return each function of the built template in `folder`, such as `.aws-sam/build`.

    Raises ArtifactError if the template or a folder that it names is missing.
    """
    try:
        template = yaml.safe_load((folder / "template.yaml").read_text("utf-8"))
    except FileNotFoundError:
        raise ArtifactError(f"{folder} holds no build: run `sam build` first") from None
    resources = template["Resources"]
    defaults = template.get("Globals", {}).get("Function", {})
    return tuple(
        _read_function_package(folder, name, defaults | resource["Properties"], resources)
        for name, resource in resources.items()
        if resource["Type"] == "AWS::Serverless::Function"
    )


def check(package: FunctionPackage) -> None:
    """Raise ArtifactError if Lambda would refuse `package` or could not load it."""
    for artifact in package.artifacts:
        for path, processor in read_processors(artifact.path):
            if processor != package.architecture:
                raise ArtifactError(
                    f"{artifact.name}: {path.relative_to(artifact.path)} is built for {processor}, "
                    f"the template says {package.architecture}: run `sam build` again"
                )
    if package.size > BUDGET:
        parts = sorted(
            ((part, artifact) for artifact in package.artifacts for part in artifact.parts),
            key=lambda pair: -pair[0].size,
        )
        largest = ", ".join(
            f"{part.name} {part.size / MB:.1f} MB ({artifact.name})" for part, artifact in parts[:3]
        )
        raise ArtifactError(
            f"{package.function} and its layers are {package.size / MB:.1f} MB unzipped, over the "
            f"budget of {BUDGET // MB} MB (Lambda's limit is {LIMIT // MB} MB); the largest parts "
            f"are {largest}: take a smaller or quantized model, or drop a package"
        )


def to_dict(package: FunctionPackage) -> dict[str, Any]:
    """Return the sizes of a package in bytes, in the JSON form of `infra size --json`."""
    return {
        "function": package.function,
        "architecture": package.architecture,
        "bytes": package.size,
        "budget": BUDGET,
        "artifacts": [
            {
                "name": artifact.name,
                "bytes": artifact.size,
                "parts": {part.name: part.size for part in artifact.parts},
            }
            for artifact in package.artifacts
        ],
    }


def read_processors(folder: Path) -> Iterator[tuple[Path, str]]:
    """Yield each shared object below `folder`, and the processor that it is built for."""
    for path in sorted(folder.rglob("*.so*")):
        if ".so" in path.suffixes:
            with path.open("rb") as file:
                header = file.read(20)
            machine = int.from_bytes(header[18:20], "little")
            is_elf = header.startswith(b"\x7fELF")
            yield (
                path,
                PROCESSORS.get(machine, f"machine {machine}") if is_elf else "another system",
            )


def measure(folder: Path) -> tuple[Part, ...]:
    """Return the parts of a built folder, largest first."""
    sizes: Counter[str] = Counter()
    for path in folder.rglob("*"):
        if path.is_file():
            sizes[name_part(path.relative_to(folder))] += path.stat().st_size
    return tuple(Part(name, size) for name, size in sizes.most_common())


def _read_function_package(
    folder: Path, function: str, properties: dict[str, Any], resources: dict[str, Any]
) -> FunctionPackage:
    folders = {function: properties["CodeUri"]} | {
        layer["Ref"]: resources[layer["Ref"]]["Properties"]["ContentUri"]
        for layer in properties.get("Layers", [])
        if isinstance(layer, dict)  # a layer given by its ARN was not built here
    }
    for name, path in folders.items():
        if not (folder / path).is_dir():
            raise ArtifactError(f"{folder} holds no {name}: run `sam build` again")
    return FunctionPackage(
        function=function,
        architecture=properties.get("Architectures", ["x86_64"])[0],
        artifacts=tuple(
            Artifact(name, folder / path, measure(folder / path)) for name, path in folders.items()
        ),
    )


def name_part(path: Path) -> str:
    """Return the package that a file belongs to: numpy for numpy/, numpy.libs/ and dist-info."""
    in_package = [part for part in path.parts if part != "__pycache__"]
    match in_package:
        case ["python", package, *_]:
            return package.split("-")[0].split(".")[0]
        case ["model", *file] if file:
            return "/".join(file)
        case _:
            return in_package[0]
