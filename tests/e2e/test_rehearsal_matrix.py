"""Bad releases, each caught before it hurts, and a good one that is promoted.

What `sam build` made serves a tiny model on the local run; each candidate is that build with one
thing in it broken by hand. One served stack takes all the releases, one after the other.
"""

import math
import os
import random
import re
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import ModelProto, numpy_helper, parser

from infra.local.stack import BuiltStack, read_stack
from infra.model.layer import read_contract, seal
from infra.rehearsal.canary import ServedStack, run_canary, serve_stack
from infra.rehearsal.candidate import copy_build
from infra.rehearsal.requests import RehearsalError, Requests, make_requests
from infra.rehearsal.result import Caught, RehearsalResult, Tally, tally
from tests.onnx_models import package

BUILD = Path(__file__).parents[2] / ".aws-sam/build"
MODEL = Path("ModelLayer/model")
PACKAGES = Path("RuntimeLayer/python")
HANDLER = Path("InferenceFunction/api/handler.py")
NAME, REGION = "serverless-onnx", "eu-west-1"
TYPE = "Canary10Percent5Minutes"
FAILING_CLIENT = "failing client"
MINUTE = 3  # seconds that a minute of the release takes
RATE, RATE_AT_THE_GATE = 80, 40  # requests a second

WEIGHTS = [0.5, -0.25, 0.125, 1.0]
GOLDEN = [[1.0, 2.0, 3.0, 4.0], [0.5, 0.25, 0.0, 1.0]]
# What customers send besides: of five requests the first feature is below 0 in one, above 1 in two.
ROWS = [[1.0, 1.0, 1.0, 1.0], [-1.0, 2.0, 1.0, 0.5], [2.0, 0.0, 1.0, 3.0], [4.0, 4.0, 2.0, 1.0]]

# Each model: scores = features . weights, and what goes wrong with it.
SCORES = "scores = MatMul (features, weights)"
RAISES_BELOW_ZERO = """
    table = Constant <value_floats = [0.0]> ()
    zero = Constant <value_ints = [0]> ()
    first = Gather <axis = 1> (features, zero)
    nothing = Constant <value_floats = [0.0]> ()
    is_below = Less (first, nothing)
    index = Cast <to = 7> (is_below)
    added = Gather (table, index)
    flat = Flatten (added)
    products = MatMul (features, weights)
    scores = Add (products, flat)
"""
RAISES_BELOW_ZERO_NAN_ABOVE_ONE = """
    table = Constant <value_floats = [0.0]> ()
    zero = Constant <value_ints = [0]> ()
    first = Gather <axis = 1> (features, zero)
    nothing = Constant <value_floats = [0.0]> ()
    is_below = Less (first, nothing)
    index = Cast <to = 7> (is_below)
    added = Gather (table, index)
    flat = Flatten (added)
    limit = Constant <value_floats = [1.0]> ()
    distance = Sub (limit, first)
    root = Sqrt (distance)
    spoilt = Sub (root, root)
    products = MatMul (features, weights)
    sum = Add (products, flat)
    scores = Add (sum, spoilt)
"""
NAN_ABOVE_ONE = """
    zero = Constant <value_ints = [0]> ()
    first = Gather <axis = 1> (features, zero)
    limit = Constant <value_floats = [1.0]> ()
    distance = Sub (limit, first)
    root = Sqrt (distance)
    nothing = Sub (root, root)
    products = MatMul (features, weights)
    scores = Add (products, nothing)
"""
NAN = """
    products = MatMul (features, weights)
    nothing = Sub (products, products)
    no_number = Div (nothing, nothing)
    scores = Add (products, no_number)
"""
SLOW = """
    sizes = Constant <value_ints = [128, 128]> ()
    zeros = ConstantOfShape (sizes)
    unit = EyeLike (zeros)
    elements = Size (features)
    hundreds = Constant <value = int64 {200}> ()
    rounds = Mul (elements, hundreds)
    yes = Constant <value = bool {1}> ()
    product = Loop (rounds, yes, unit) <
        body = one_round (int64 i, bool on, float[128, 128] before)
            => (bool again, float[128, 128] after) {
            again = Identity (on)
            after = MatMul (before, unit)
        }
    >
    one = ReduceMax <keepdims = 0> (product)
    products = MatMul (features, weights)
    scores = Mul (products, one)
"""

ON_INFERENCE = """

_good_handler = handler


def handler(event, context):
    if event["requestContext"]["http"]["method"] == "POST":
        {statement}
    return _good_handler(event, context)
"""
CRASH = "import ctypes; ctypes.string_at(0)"
TAKE_MEMORY = "taken = b'x' * 2**31"  # 2 GiB; the template gives 1769 MB


def scoring(
    text: str = SCORES, weights: list[float] = WEIGHTS, name: str = "features"
) -> ModelProto:
    """Make a model of four features and one score."""
    model: ModelProto = parser.parse_model(f"""
        <ir_version: 8, opset_import: ["" : 17]>
        tiny (float[N, 4] {name}) => (float[N, 1] scores) {{ {text.replace("features", name)} }}
    """)
    column = np.array(weights, np.float32).reshape(4, 1)
    model.graph.initializer.append(numpy_helper.from_array(column, "weights"))
    return model


def put(build: Path, model: ModelProto, version: str, name: str = "features") -> None:
    """Package a model with golden samples, which are those of `WEIGHTS`."""
    answers = (np.array(GOLDEN) @ np.array(WEIGHTS)).reshape(-1, 1).tolist()
    golden = [{"inputs": {name: GOLDEN}, "outputs": {"scores": answers}}]
    shutil.rmtree(build / MODEL)
    package(build / MODEL, model, version=version, golden=golden)


def replace_model(build: Path, model: ModelProto) -> None:
    """Put another model into a packaged one, digest and all."""
    onnx.save(model, build / MODEL / "model.onnx")
    seal(read_contract(build / MODEL), build / MODEL)


def append(build: Path, statement: str) -> None:
    """Let the handler run a statement before each inference."""
    handler = build / HANDLER
    handler.write_text(handler.read_text() + ON_INFERENCE.format(statement=statement))
    for compiled in handler.parent.glob("__pycache__/handler.*"):
        compiled.unlink()


def corrupt(build: Path) -> None:
    graph = build / MODEL / "model.onnx"
    content = bytearray(graph.read_bytes())
    content[len(content) // 2] ^= 0xFF
    graph.write_bytes(content)


def break_library(build: Path) -> None:
    """Let onnxruntime's shared library be one for the other processor."""
    place = build / PACKAGES / "onnxruntime"
    source = place.resolve()
    place.unlink()
    shutil.copytree(source, place, copy_function=os.link)
    [library] = (place / "capi").glob("onnxruntime_pybind11_state*.so")
    content = bytearray(library.read_bytes())
    content[18] = {62: 183, 183: 62}[content[18]]  # in its ELF header: x86_64 and arm64
    library.unlink()
    library.write_bytes(content)


@dataclass(frozen=True)
class Case:
    """A candidate: what is done to the build, where that must be caught and with which reason."""

    name: str
    change: Callable[[Path], None]
    caught: Caught
    reason: str
    share: float = 0  # of the requests to it that fail


GATE = [
    Case(
        "corrupted model",
        corrupt,
        Caught.GATE,
        r"version {new} gave no answer: ModelLoadError: model.onnx: model.json says sha256",
    ),
    Case(
        "wrong model with the same signature",
        lambda build: replace_model(build, scoring(weights=[0.5, -0.25, 0.125, 1.01])),
        Caught.GATE,
        r"golden\[0\]: output 'scores': 2 of 2 elements differ from model.json",
    ),
    Case(
        "renamed input",
        lambda build: put(build, scoring(name="columns"), "2", "columns"),
        Caught.GATE,
        "it would break callers of version {old}: input 'features' is gone; "
        "input 'columns' is new and not optional",
    ),
    Case(
        "NaN outputs",
        lambda build: replace_model(build, scoring(NAN)),
        Caught.GATE,
        "output 'scores' holds NaN or infinity",
    ),
    Case(
        "ten times slower",
        lambda build: put(build, scoring(SLOW), "2"),
        Caught.GATE,
        r"golden\[0\]: it takes [\d.]+ ms, version {old} takes [\d.]+ ms; at most 3 times",
    ),
    Case(
        "crash in native code",
        lambda build: append(build, CRASH),
        Caught.GATE,
        "version {new} gave no answer: Runtime.ExitError",
    ),
    Case(
        "memory over the limit",
        lambda build: append(build, TAKE_MEMORY),
        Caught.GATE,
        "version {new} gave no answer: Runtime.ExitError",
    ),
    Case(
        "import error in the layer",
        break_library,
        Caught.GATE,
        "version {new} gave no answer: Runtime.ImportModuleError",
    ),
    Case(
        "missing dependency",
        lambda build: (build / PACKAGES / "msgspec").unlink(),
        Caught.GATE,
        "No module named 'msgspec'",
    ),
]
CANARY = [
    Case(
        "raises on one request in five",
        lambda build: put(build, scoring(RAISES_BELOW_ZERO), "2"),
        Caught.CANARY,
        r"alarms are active: .*release-server-errors-v{new}\b",
        share=1 / 5,
    ),
    Case(
        "golden samples pass but real traffic fails",
        lambda build: put(build, scoring(NAN_ABOVE_ONE), "2"),
        Caught.CANARY,
        r"alarms are active: .*release-non-finite-v{new}\b",
        share=2 / 5,
    ),
]


@dataclass(frozen=True)
class Theatre:
    """The served stack, and the build that it was made of.

    `failing` is the share of the requests that fail in every version.
    """

    served: ServedStack
    build: Path
    requests: Requests
    failing: float = 0

    async def play(self, case: Case, folder: Path, rate: float) -> tuple[RehearsalResult, Tally]:
        """Release a candidate, and check what holds for all of them."""
        build = folder / "build"
        copy_links(self.build, build)
        case.change(build)
        function = read(build).function

        rehearsal = await run_canary(self.served, read(build), self.requests, rate=rate, margin=0.5)

        tallied = tally(rehearsal)
        assert rehearsal.caught is case.caught, rehearsal.reason
        assert len(rehearsal.answers) == rehearsal.sent > 0
        assert tallied.lost == 0
        assert tallied.versions.keys() == {rehearsal.old, rehearsal.new}
        old = tallied.versions[rehearsal.old]
        assert is_near(old.failed, old.answered, self.failing)
        live = rehearsal.new if rehearsal.is_promoted else rehearsal.old
        versions = self.served.local.versions
        assert versions.weights(function.name, function.alias) == {live: 1}
        return rehearsal, tallied


def read(build: Path) -> BuiltStack:
    return read_stack(build, NAME, REGION, {"DeploymentType": TYPE})


def copy_links(build: Path, to: Path) -> None:
    """Copy a build whose parts may be changed; of the packages only links, as they are large."""
    copy_build(build, to, {"InferenceFunction", "ModelLayer"})
    packages = list((build / PACKAGES).iterdir())
    (to / "RuntimeLayer").unlink()
    (to / PACKAGES).mkdir(parents=True)
    for one in packages:
        (to / PACKAGES / one.name).symlink_to(one.resolve())


@pytest.fixture(scope="module")
async def theatre(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    managed_python: Path,
) -> AsyncIterator[Theatre]:
    """The theatre of a good model, or of one that raises on one request in five in any version."""
    folder = tmp_path_factory.mktemp("matrix")
    if getattr(request, "param", None) == FAILING_CLIENT:
        opening = open_theatre(folder, managed_python, scoring(RAISES_BELOW_ZERO), failing=1 / 5)
    else:
        opening = open_theatre(folder, managed_python, scoring())
    async with opening as theatre:
        yield theatre


@asynccontextmanager
async def open_theatre(
    folder: Path, python: Path, model: ModelProto, failing: float = 0
) -> AsyncIterator[Theatre]:
    build = folder / "build"
    copy_links(BUILD, build)
    put(build, model, "1")
    contract = read_contract(build / MODEL)
    requests = make_requests(contract | {"golden": [*contract["golden"], *map(row, ROWS)]})
    rng = random.Random(5)  # noqa: S311 shares of traffic, no secrets
    opening = serve_stack(
        read(build), python=python, directory=folder / "run", minute=MINUTE, rng=rng
    )
    async with opening as served:
        yield Theatre(served, build, requests, failing)


def row(features: list[float]) -> dict[str, Any]:
    return {"inputs": {"features": [features]}}


@pytest.mark.parametrize("case", GATE, ids=lambda case: case.name)
async def test_the_gate_catches(theatre: Theatre, case: Case, tmp_path: Path) -> None:
    rehearsal, tallied = await theatre.play(case, tmp_path, RATE_AT_THE_GATE)

    # THEN no customer has seen the version
    assert tallied.versions[rehearsal.new].answered == 0
    assert tallied.failed == 0
    assert tallied.hurt == 0
    assert_reason(rehearsal, case)


@pytest.mark.parametrize("case", CANARY, ids=lambda case: case.name)
async def test_the_canary_catches(theatre: Theatre, case: Case, tmp_path: Path) -> None:
    rehearsal, tallied = await theatre.play(case, tmp_path, RATE)

    new = tallied.versions[rehearsal.new]
    assert is_near(new.failed, new.answered, case.share)
    # THEN few of all requests have failed, and none after the version was taken back
    assert 0 < tallied.failed < 0.06 * rehearsal.sent
    [back] = [event.time for event in rehearsal.events if event.kind == "rolled-back"]
    assert max(one.sent for one in rehearsal.answers if one.version == rehearsal.new) <= back
    assert tallied.alarm_seconds is not None
    assert tallied.rollback_seconds is not None
    assert_reason(rehearsal, case)


async def test_a_good_release_is_promoted(theatre: Theatre, tmp_path: Path) -> None:
    def change(build: Path) -> None:
        put(build, scoring(), "2")

    case = Case("good", change, Caught.NOWHERE, "")

    rehearsal, tallied = await theatre.play(case, tmp_path, RATE)

    assert rehearsal.reason == ""
    assert tallied.failed == 0
    last = max(rehearsal.answers, key=lambda one: one.sent)
    assert last.version == rehearsal.new
    # THEN it had a tenth of the requests until it had them all
    shifted, promoted = (
        next(event.time for event in rehearsal.events if event.kind == kind)
        for kind in ("shifted", "promoted")
    )
    canary = [one.version for one in rehearsal.answers if shifted < one.sent < promoted]
    assert is_near(canary.count(rehearsal.new), len(canary), 0.1)


@pytest.mark.parametrize("theatre", [FAILING_CLIENT], indirect=True)
async def test_a_client_that_fails_everywhere_takes_back_no_good_release(
    theatre: Theatre, tmp_path: Path
) -> None:
    case = Case(
        "good, next to a failing client",
        lambda build: put(build, scoring(RAISES_BELOW_ZERO), "2"),
        Caught.NOWHERE,
        "",
    )

    rehearsal, tallied = await theatre.play(case, tmp_path, RATE)

    assert rehearsal.reason == ""
    new = tallied.versions[rehearsal.new]
    assert is_near(new.failed, new.answered, 1 / 5)


@pytest.mark.parametrize("theatre", [FAILING_CLIENT], indirect=True)
async def test_a_client_that_fails_everywhere_hides_no_bad_release(
    theatre: Theatre, tmp_path: Path
) -> None:
    case = Case(
        "bad, next to a failing client",
        lambda build: put(build, scoring(RAISES_BELOW_ZERO_NAN_ABOVE_ONE), "3"),
        Caught.CANARY,
        r"alarms are active: .*release-(server-errors|non-finite)-v{new}\b",
    )

    rehearsal, tallied = await theatre.play(case, tmp_path, RATE)

    new = tallied.versions[rehearsal.new]
    assert is_near(new.failed, new.answered, 3 / 5)
    assert_reason(rehearsal, case)


async def test_a_load_that_the_current_model_refuses_is_an_error(theatre: Theatre) -> None:
    requests = Requests("/v2/models/tiny/infer", (b"{}",))

    with pytest.raises(RehearsalError, match="answers each request of the load with 400"):
        await run_canary(theatre.served, read(theatre.build), requests, margin=0.5)


def assert_reason(rehearsal: RehearsalResult, case: Case) -> None:
    expected = case.reason.format(new=rehearsal.new, old=rehearsal.old)
    assert re.search(expected, rehearsal.reason), rehearsal.reason


def is_near(found: int, of: int, share: float) -> bool:
    """Tell whether a binomial count is within five standard deviations."""
    return abs(found - of * share) <= 5 * math.sqrt(of * share * (1 - share))
