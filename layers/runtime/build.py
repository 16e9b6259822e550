"""Build the runtime layer: the locked packages for Lambda's platform, pruned and byte-compiled.

Uses only the standard library and pip, since it runs wherever `sam build` runs, on any machine.
"""

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

PYTHON = "3.13"
# Lambda's name of a processor: its name in wheel tags, and its number in an ELF header.
MACHINES = {"x86_64": ("x86_64", 62), "arm64": ("aarch64", 183)}
# Lambda's Python 3.13 runs on Amazon Linux 2023, which has glibc 2.34.
GLIBC_MINORS = range(34, 16, -1)
ANCHOR = re.compile(r"&architecture (\S+)")

# What no function loads, by path in the layer. The tests of the layers run without it.
UNUSED = (
    "bin",  # console scripts, with the path of the builder's Python in them
    "onnxruntime/capi/libonnxruntime.so*",  # a second copy of the engine, for programs in C
    "onnxruntime/backend",
    "onnxruntime/datasets",
    "onnxruntime/quantization",
    "onnxruntime/tools",
    "onnxruntime/transformers",
    # Requirements of the folders above, which a session on a CPU does not import.
    *("flatbuffers", "flatbuffers-*", "google", "packaging", "packaging-*", "protobuf-*"),
    # Tests, and compiled modules that only tests import.
    *("**/tests", "numpy/testing", "numpy/conftest.py", "numpy/_pyinstaller"),
    *("numpy/_core/_*_tests.*.so", "numpy/_core/_simd.*.so"),
    # Needed only to compile against a package, or to check types.
    *("numpy/f2py", "numpy/_core/include", "numpy/_core/lib", "numpy/random/lib"),
    *("**/_examples", "**/*.h", "**/*.pxd", "**/*.pyi", "**/*.pyx"),
    # pip's notes about this installation: wrong after pruning, and different on every machine.
    *("*.dist-info/RECORD", "*.dist-info/INSTALLER", "*.dist-info/REQUESTED"),
    "*.dist-info/direct_url.json",
)


class BuildError(Exception):
    """Raised when the layer cannot be built; the message is for the person who builds."""


def build(artifacts: Path) -> None:
    """Fill `artifacts`, which becomes /opt, with the packages of requirements.txt.

    Raises BuildError.
    """
    if not sys.version.startswith(f"{PYTHON}."):
        raise BuildError(f"Python {PYTHON} must write the .pyc files; this is {sys.version}")
    architecture = find_architecture(artifacts)
    packages = artifacts / "python"
    shutil.rmtree(packages, ignore_errors=True)
    install(packages, architecture)
    prune(packages)
    check_processor(packages, architecture)
    compile_packages(packages)
    print_sizes(packages, architecture)


def find_architecture(artifacts: Path) -> str:
    """Return ARCHITECTURE, or what the template above `artifacts` calls &architecture.

    `sam build` does not pass the processor on to a makefile. Raises BuildError if neither is set.
    """
    architecture = os.environ.get("ARCHITECTURE") or read_anchor(artifacts)
    if architecture not in MACHINES:
        raise BuildError(
            f"the architecture is {architecture!r}, expected {' or '.join(MACHINES)}: build below "
            "the template.yaml that has it as &architecture, or set ARCHITECTURE"
        )
    return architecture


def read_anchor(artifacts: Path) -> str | None:
    """Return the scalar that the nearest template.yaml above `artifacts` calls &architecture.

    The built template next to `artifacts` has no anchors any more and is passed over.
    """
    for folder in artifacts.resolve().parents:
        template = folder / "template.yaml"
        if template.is_file() and (anchor := ANCHOR.search(template.read_text("utf-8"))):
            return anchor[1]
    return None


def install(packages: Path, architecture: str) -> None:
    """Install the locked wheels for Lambda's platform, whatever this machine is."""
    machine, _ = MACHINES[architecture]
    abis = (f"cp{PYTHON.replace('.', '')}", "abi3", "none")
    platforms = (*(f"manylinux_2_{minor}" for minor in GLIBC_MINORS), "manylinux2014")
    failed, output = run_python(
        *("-m", "pip", "install", "--quiet", "--disable-pip-version-check"),
        *("--requirement", "requirements.txt", "--require-hashes", "--target", str(packages)),
        "--no-compile",  # pip's .pyc files depend on timestamps, which the zip loses
        "--no-deps",  # the lock is complete; resolving again would depend on this machine
        *("--only-binary", ":all:", "--implementation", "cp", "--python-version", PYTHON),
        *(f"--abi={abi}" for abi in abis),
        *(f"--platform={platform}_{machine}" for platform in platforms),
    )
    if failed:
        lines = output.splitlines()
        reason = next((line for line in lines[::-1] if line.startswith("ERROR")), lines[-1])
        raise BuildError(f"pip could not install the packages for {architecture}: {reason}")


def prune(packages: Path) -> None:
    """Remove what no function loads."""
    for pattern in UNUSED:
        for path in list(packages.glob(pattern)):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)


def check_processor(packages: Path, architecture: str) -> None:
    """Raise BuildError for a shared object of another processor, which Lambda could not import."""
    _, expected = MACHINES[architecture]
    for path in sorted(path for path in packages.rglob("*.so*") if ".so" in path.suffixes):
        with path.open("rb") as file:
            header = file.read(20)
        if header[:4] != b"\x7fELF" or int.from_bytes(header[18:20], "little") != expected:
            raise BuildError(
                f"{path.relative_to(packages)} is not a shared object for {architecture}"
            )


def compile_packages(packages: Path) -> None:
    """Write .pyc files that do not depend on timestamps, with the paths of /opt.

    A single bare interpreter writes them all: marshal marks constants that other code in the
    process refers to, so other loaded modules could change the bytes.
    """
    failed, output = run_python(
        *("-I", "-S", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash"),
        *("-s", str(packages.parent), "-p", "/opt", str(packages)),
    )
    if failed:
        raise BuildError(f"the packages do not compile: {output}")


def run_python(*arguments: str) -> tuple[bool, str]:
    """Run this Python; return whether it failed, and what it printed or its exit code."""
    process = subprocess.run(  # noqa: S603 - no shell, and only the arguments above
        [sys.executable, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    output = process.stdout.strip() or f"exit code {process.returncode}"
    return process.returncode != 0, output


def print_sizes(packages: Path, architecture: str) -> None:
    """Print the unzipped size of each package, largest first."""
    sizes: Counter[str] = Counter()
    for path in packages.rglob("*"):
        if path.is_file():
            parts = [part for part in path.relative_to(packages).parts if part != "__pycache__"]
            sizes[re.split(r"[-.]", parts[0])[0]] += path.stat().st_size
    print(f"Runtime layer for {architecture}, unzipped")
    for package, size in [*sizes.most_common(), ("total", sizes.total())]:
        print(f"  {package:<22}{size / 2**20:8.1f} MB")


def main() -> None:
    """Build into ARTIFACTS_DIR; a failure prints one line and exits with 1."""
    if "ARTIFACTS_DIR" not in os.environ:
        sys.exit(
            "RuntimeLayer: ARTIFACTS_DIR is not set; `sam build` sets it to the folder to fill"
        )
    try:
        build(Path(os.environ["ARTIFACTS_DIR"]))
    except BuildError as error:
        sys.exit(f"RuntimeLayer: {error}")


if __name__ == "__main__":
    main()
