"""The gate, asking the real handler: who passes it, who does not and why, and what is reported."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from gate import handler as gate
from infra.local.metrics import read_emf
from tests.deployments import GET, HOOK, REPORT, WaitingDeployment, app_spec
from tests.example_model import CONTRACT, FOLDER
from tests.lambda_versions import FUNCTION, CrashError, Event, Response, Versions
from tests.onnx_models import (
    gather,
    identities,
    identity,
    is_nan,
    logarithm,
    logistic,
    quotient,
    scaled,
)
from tests.sam_template import ROOT, parse, properties

NO_REPORT = ""  # for `run`: CodeDeploy asks, and gets no report
type Run = Callable[..., dict[str, Any]]

# Values that nothing else holds, to find them where they must not be.
SAMPLE = [[1234.5, 2345.5, 3456.5, 4567.5], [0.125, 0.25, 0.375, 0.5]]
GOLDEN: dict[str, Any] = {
    "inputs": {"features": SAMPLE},
    "outputs": {"scores": [[1.0], [0.524979]]},
    "relative_tolerance": 1e-4,
}
AT_REST: dict[str, Any] = {"golden": [GOLDEN]}
REFUSALS = 18  # malformed requests, and one more for a model that takes rows
PASSED = 1 + 1 + 1 + 1 + 1 + REFUSALS + 1 + 1  # start, identity, contract, golden, answers, ...


@pytest.fixture
def deployment(monkeypatch: pytest.MonkeyPatch) -> WaitingDeployment:
    """The deployment that asks the gate."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    return WaitingDeployment()


@pytest.fixture
def run(versions: Versions, deployment: WaitingDeployment, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the hook for the newest version, as CodeDeploy does; it must report `status`.

    Without one it is run by hand, and nobody waits for a report.
    """

    def run(
        status: str | None = None,
        seconds: float = 180,
        folder: Path | None = None,
        **settings: str,
    ) -> dict[str, Any]:
        number = max(versions.versions, key=int, default="1")
        environment = {
            "INFERENCE_VERSION": f"{FUNCTION}:{number}",
            "MODEL_DIR": str(folder or versions.folder / number),
            "MAX_SLOWDOWN": "1000",  # these versions share two processors with other tests
            "MAX_ANSWER_CHANGE": "10",
            "ALLOW_CONTRACT_CHANGE": "false",
        }
        for name, value in (environment | settings).items():
            monkeypatch.setenv(name, value)
        clients = {"lambda": versions, "codedeploy": deployment.connect()}
        monkeypatch.setattr(boto3, "client", lambda service, **_: clients[service])
        context = SimpleNamespace(get_remaining_time_in_millis=lambda: seconds * 1000)
        if number != versions.live:  # nobody releases what serves
            deployment.info.setdefault("revision", app_spec(versions.live, number))
        before = [*deployment.reports]
        outcome = gate.handler({} if status is None else HOOK, context)
        assert deployment.reports == before + [status] * bool(status)
        return outcome

    return run


def fail_every_fifth(path: str) -> Any:
    count = iter(range(10**6))

    def fault(event: Event, answer: Callable[[], Response]) -> Response:
        if event["rawPath"] == path and next(count) % 5 == 4:
            return {"statusCode": 500, "body": '{"error": "internal error"}'}
        return answer()

    return fault


INFER = "/v2/models/tiny/infer"


# Those that pass.


def test_good_version_passes_every_check(versions: Versions, run: Run) -> None:
    # GIVEN
    versions.publish(logistic(), **AT_REST)
    versions.publish(logistic(), **AT_REST, version="2")

    # WHEN
    outcome = run("Succeeded")

    # THEN
    [change] = outcome.pop("answers")
    assert (change["colour"], change["rows"], change["largest"]) == ("green", 2, 0)
    [note] = outcome.pop("notes")
    assert note.startswith("rows drawn from the features' ranges: no comparison of answers: ")
    assert outcome == {"status": "Succeeded", "reason": "", "version": "2", "checks": PASSED}


def test_first_version_is_compared_with_no_other(versions: Versions, run: Run) -> None:
    # GIVEN the smoke test after the stack was created: nobody waits for a report
    versions.publish(logistic(), **AT_REST)

    # WHEN
    outcome = run()

    # THEN everything but contract, answers and latency is checked
    assert outcome["status"] == "Succeeded"
    assert outcome["checks"] == PASSED - 3
    assert {number for number, _ in versions.asked} == {"1"}


def test_way_back_is_never_barred(versions: Versions, run: Run) -> None:
    # GIVEN CloudFormation takes a stack back from version 2 to 1, which lacks an input of 2
    folder = versions.publish(identity("FP32", [None]))
    versions.publish(quotient(), name="other")
    versions.live = "2"

    # WHEN
    outcome = run("Succeeded", folder=folder, INFERENCE_VERSION=f"{FUNCTION}:1")

    # THEN
    assert outcome["status"] == "Succeeded"


def test_example_model_passes(versions: Versions, run: Run) -> None:
    # GIVEN the example, once more
    versions.start("1", FOLDER)
    versions.start("2", FOLDER)

    # WHEN
    outcome = run("Succeeded", folder=FOLDER)

    # THEN all of its golden requests were tried and measured
    golden = len(json.loads(CONTRACT.read_text())["golden"])
    assert golden > 1
    assert outcome["checks"] == PASSED + 2 * (golden - 1)


ZEROS: dict[str, Any] = {"golden": []}
SHAPES: dict[str, list[int | None]] = {
    "BOOL": [None, 2],
    "INT8": [3],
    "UINT64": [],
    "FP16": [None, None],
    "FP64": [2, 0],
    "BYTES": [None],
}
WITHOUT_JSON: dict[str, list[int | None]] = {"FP32": [None, 3], "BF16": [None], "INT16": [4]}
MIXED: dict[str, Any] = {
    "golden": [
        {
            "inputs": {
                "x_BOOL": [[True, False]],
                "x_INT8": [-128, 0, 127],
                "x_UINT64": 2**64 - 1,
                "x_FP16": [[0.5]],
                "x_FP64": [[], []],
                "x_BYTES": ["größer"],
            },
            "outputs": {
                "y_BOOL": [[True, False]],
                "y_INT8": [-128, 0, 127],
                "y_UINT64": 2**64 - 1,
                "y_FP16": [[0.5]],
                "y_FP64": [[], []],
                "y_BYTES": ["größer"],
            },
        }
    ]
}
OPTIONAL = [
    {"name": "x", "datatype": "FP32", "shape": [-1, 2]},
    {"name": "divisor", "datatype": "FP32", "shape": [1], "optional": True},
]
HALVED = {"inputs": {"x": [[1.0, 3.0]]}, "outputs": {"y": [[0.5, 1.5]]}}


@pytest.mark.parametrize(
    ("model", "fields"),
    [
        pytest.param(identity("BF16", [None, 4]), {}, id="an input without a JSON form"),
        pytest.param(identity("BYTES", [None]), {}, id="texts"),
        pytest.param(identity("FP32", []), {}, id="a scalar"),
        pytest.param(identity("INT64", [2, 3]), {}, id="no dynamic dimension"),
        pytest.param(identity("FP64", [None, 0]), {}, id="no elements"),
        pytest.param(identities(SHAPES), MIXED, id="many inputs"),
        pytest.param(identities(WITHOUT_JSON), ZEROS, id="many, without golden"),
        pytest.param(scaled(), {"inputs": OPTIONAL, "golden": [HALVED]}, id="optional input"),
        pytest.param(is_nan(), {}, id="takes what others refuse"),
    ],
)
def test_model_of_any_kind_passes(
    versions: Versions, run: Run, model: Any, fields: dict[str, Any]
) -> None:
    versions.publish(model, **fields)
    versions.publish(model, **fields)
    assert run("Succeeded")["reason"] == ""


def test_no_golden_request_is_said_in_the_log(
    versions: Versions, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    # GIVEN
    versions.publish(logistic())

    # WHEN
    run("Succeeded")

    # THEN
    assert "model.json has no golden request: no prediction was tried" in read_notes(caplog)


def test_golden_sample_asks_for_the_outputs_that_it_has(versions: Versions, run: Run) -> None:
    # GIVEN a model with one output more, which may be one that JSON cannot hold
    sample = {"inputs": {"x_FP32": [1.0], "x_BOOL": [True]}, "outputs": {"y_FP32": [1.0]}}
    versions.publish(identities({"FP32": [None], "BOOL": [None]}), golden=[sample])

    # WHEN
    assert run("Succeeded")["status"] == "Succeeded"

    # THEN
    wanted = [
        output["name"]
        for _, event in versions.asked
        if event.get("body", "").endswith("}")
        for output in json.loads(event["body"]).get("outputs", [])
    ]
    assert wanted == ["y_FP32", "no-such-name"]


# Those that do not.


def crash(_: Event, __: Callable[[], Response]) -> Response:
    raise CrashError("Runtime.ExitError", "RequestId: 1 Error: Runtime exited with error: signal")


def crash_with_a_body(event: Event, answer: Callable[[], Response]) -> Response:
    if "features" in event.get("body", ""):
        raise CrashError("Sandbox.Timedout", f"Task timed out: {event['body']}")
    return answer()


def answer_nonsense(event: Event, answer: Callable[[], Response]) -> Response:
    return answer() if event["rawPath"] != INFER else {"status": "good"}


def answer_other_json(event: Event, answer: Callable[[], Response]) -> Response:
    return answer() if event["rawPath"] != INFER else {"statusCode": 200, "body": "[]"}


def answer_unfittingly(_: Event, answer: Callable[[], Response]) -> Response:
    response = answer()
    return response | {"body": response["body"].replace('"shape":[2,1]', '"shape":[7,1]')}


def swallow_mistakes(_: Event, answer: Callable[[], Response]) -> Response:
    response = answer()
    return response | ({"statusCode": 500} if response["statusCode"] == 415 else {})


def hide_mistakes(_: Event, answer: Callable[[], Response]) -> Response:
    response = answer()
    return response | ({"body": "{}"} if response["statusCode"] == 405 else {})


def pose_as_another(_: Event, answer: Callable[[], Response]) -> Response:
    response = answer()
    return response | {
        "body": response["body"].replace('"function_version":"2"', '"function_version":"9"')
    }


def be_unready(event: Event, answer: Callable[[], Response]) -> Response:
    return {"statusCode": 503, "body": "{}"} if event["rawPath"].endswith("ready") else answer()


WRONG: dict[str, Any] = {"golden": [GOLDEN | {"outputs": {"scores": [[0.0], [0.524979]]}}]}
WIDER: dict[str, Any] = {"golden": [GOLDEN | {"outputs": {"scores": [[1.0, 0.524979]]}}]}
RENAMED = identity("FP32", [None, 4])
RENAMING: dict[str, Any] = {
    "golden": [{"inputs": {"x": [SAMPLE[0]]}, "outputs": {"y": [SAMPLE[0]]}}]
}


def read_notes(caplog: pytest.LogCaptureFixture) -> str:
    """Return what the last line of the log says was not checked."""
    return "; ".join(caplog.records[-1].__dict__["notes"])


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (crash, "version 2 gave no answer: Runtime.ExitError: RequestId: 1 Error: Runtime exited"),
        (crash_with_a_body, "version 2 gave no answer: Sandbox.Timedout; see its log"),
        (be_unready, "version 2 is not ready: status 503"),
        (pose_as_another, "GET /v2/models/tiny: function_version is 9, expected 2"),
        (answer_nonsense, "version 2 gave no HTTP response"),
        (answer_other_json, "golden[0]: the answer is not of the protocol's form"),
        (answer_unfittingly, "golden[0]: output 'scores' is no FP32 of the shape that it declares"),
        (swallow_mistakes, "an unknown encoding: status 500, expected 415"),
        (hide_mistakes, "a method that infers nothing: the answer's body is no error"),
        (fail_every_fifth(INFER), "status 500"),
    ],
)
def test_faulty_version_is_refused(
    versions: Versions, run: Run, caplog: pytest.LogCaptureFixture, fault: Any, reason: str
) -> None:
    # GIVEN
    versions.publish(logistic(), **AT_REST)
    versions.publish(logistic(), **AT_REST, fault=fault)

    # WHEN
    outcome = run("Failed")

    # THEN one line says why, without a value of the sample
    assert outcome["status"] == "Failed"
    assert reason in outcome["reason"]
    [line] = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert line == f"version 2 refused: {outcome['reason']}"
    assert not any(str(value) in line for row in SAMPLE for value in row)


@pytest.mark.parametrize(
    ("model", "fields", "reason"),
    [
        (
            logistic(),
            WRONG,
            "output 'scores': 1 of 2 elements differ from model.json by more than 0.0001 of the va",
        ),
        (logistic(), WIDER, "golden[0]: output 'scores' has the shape [2, 1], expected [1, 2]"),
        (
            logistic(),
            {"files": {"model.onnx": "0" * 64}},
            "version 2 gave no answer: ModelLoadError",
        ),
        (logistic(), {"golden": [GOLDEN | {"inputs": {"features": [["a"]]}}]}, "ManifestError"),
        (logistic(), {**AT_REST, "name": "other"}, "the model 'tiny' is called 'other' now"),
        (
            RENAMED,
            RENAMING,
            "'features' is gone; output 'scores' is gone; input 'x' is new and not optional (`inf",
        ),
    ],
)
def test_bad_model_is_refused(
    versions: Versions, run: Run, model: Any, fields: dict[str, Any], reason: str
) -> None:
    # GIVEN
    versions.publish(logistic(), **AT_REST)
    versions.publish(model, **fields)

    # WHEN
    outcome = run("Failed")

    # THEN
    assert outcome["status"] == "Failed"
    assert reason in outcome["reason"]


@pytest.mark.parametrize(
    ("model", "golden", "reason"),
    [
        (logarithm(), {"inputs": {"x": [-1.0]}, "outputs": {"y": [0.0]}}, "NaN or infinity"),
        (gather(), {"inputs": {"x": [99]}, "outputs": {"y": [1.0]}}, "the model failed"),
    ],
)
def test_model_that_fails_on_a_golden_sample_does_not_start_or_is_refused(
    versions: Versions, run: Run, model: Any, golden: dict[str, Any], reason: str
) -> None:
    # GIVEN a sample that is not the first, with which a version warms up
    good = {"inputs": {"x": [1]}, "outputs": {"y": [0.0 if reason.startswith("N") else 2.0]}}
    versions.publish(model, golden=[good, golden])

    # WHEN
    outcome = run("Failed")

    # THEN
    assert outcome["reason"].startswith("golden[1]: status 500, expected 200: ")
    assert reason in outcome["reason"]


# The contract.


def test_input_that_was_optional_must_stay_so(versions: Versions, run: Run) -> None:
    # GIVEN the model with and without a value of its own for one input
    versions.publish(scaled(), inputs=OPTIONAL)
    model = scaled()
    del model.graph.initializer[:]
    both = {"inputs": {"x": [[1.0, 3.0]], "divisor": [2.0]}, "outputs": {"y": [[0.5, 1.5]]}}
    versions.publish(model, golden=[both])

    # WHEN
    outcome = run("Failed")

    # THEN
    assert outcome["reason"].endswith(
        "callers of version 1: input 'divisor' was optional "
        "(`infra deploy --parameter AllowContractChange=true` releases it nevertheless)"
    )


def test_contract_may_change_when_that_is_allowed(
    versions: Versions, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    # GIVEN
    versions.publish(logistic(), **AT_REST)
    versions.publish(RENAMED, **RENAMING)

    # WHEN
    outcome = run("Succeeded", ALLOW_CONTRACT_CHANGE="true")

    # THEN
    assert outcome["checks"] == PASSED - 3
    assert "golden requests: no comparison of answers: version 1 has no input 'x'" in read_notes(
        caplog
    )
    assert "allowed to break callers of version 1: input 'features' is gone" in read_notes(caplog)
    assert "no latency of version 1: it does not answer golden[0]" in read_notes(caplog)


@pytest.mark.parametrize(
    "fault",
    [
        crash,
        answer_nonsense,
        answer_unfittingly,
        be_unready,
        fail_every_fifth(INFER),
        fail_every_fifth("/v2"),
    ],
)
def test_what_is_wrong_with_the_old_version_does_not_bar_its_fix(
    versions: Versions, run: Run, fault: Any
) -> None:
    versions.publish(logistic(), **AT_REST, fault=fault)
    versions.publish(logistic(), **AT_REST)
    assert run("Succeeded")["status"] == "Succeeded"


# Latency.


@pytest.mark.parametrize(
    ("before", "now", "passes"),
    [
        (20.0, 59.0, True),
        (20.0, 61.0, False),
        (2.0, 11.0, True),  # five times as long, but not noticeable
        (2.0, 13.0, False),
        (61.0, 20.0, True),
    ],
)
def test_version_that_is_much_slower_is_refused(
    versions: Versions, run: Run, before: float, now: float, *, passes: bool
) -> None:
    # GIVEN what Lambda reports of each
    versions.publish(logistic(), **AT_REST)
    versions.publish(logistic(), **AT_REST)
    versions.versions["1"].milliseconds = before
    versions.versions["2"].milliseconds = now

    # WHEN
    outcome = run("Succeeded" if passes else "Failed", MAX_SLOWDOWN="3")

    # THEN
    assert outcome["reason"] == (
        ""
        if passes
        else f"golden[0]: it takes {now} ms, version 1 takes {before} ms; at most 3 times as long "
        "is allowed (MaxSlowdown)"
    )


def test_latencies_are_compared_warm_and_in_turns(versions: Versions, run: Run) -> None:
    # GIVEN
    versions.publish(logistic(), **AT_REST)
    versions.publish(logistic(), **AT_REST)

    # WHEN
    run("Succeeded")

    # THEN
    assert "".join(number for number, _ in versions.asked).endswith("12" * 15)
    for call in versions.calls:
        assert call.keys() == {"FunctionName", "Qualifier", "Payload", "LogType"}
        assert (call["FunctionName"], call["LogType"]) == (FUNCTION, "Tail")
        assert call["Qualifier"] in {"1", "2"}


def test_slow_model_is_measured_less(
    versions: Versions,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    # GIVEN more golden samples than there is time to measure
    golden: dict[str, Any] = {"golden": [GOLDEN] * 5}
    versions.publish(logistic(), **golden)
    versions.publish(logistic(), **golden)
    clock = iter(range(10**6))
    monkeypatch.setattr("gate.checks.time", SimpleNamespace(monotonic=lambda: next(clock)))
    monkeypatch.setattr("gate.checks.SECONDS", 1)

    # WHEN
    run("Succeeded")

    # THEN the first is asked of both three times, and the others not
    assert "".join(number for number, _ in versions.asked).endswith("222" + "12" * 3)
    assert "no latencies of golden[1]: those before took long enough" in read_notes(caplog)


def test_unreported_latencies_are_not_compared(
    versions: Versions, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    # GIVEN a version that is cold each time
    def forget(_: Event, answer: Callable[[], Response]) -> Response:
        versions.versions["1"].cold = True
        return answer()

    versions.publish(logistic(), **AT_REST, fault=forget)
    versions.publish(logistic(), **AT_REST)

    # WHEN
    outcome = run("Succeeded")

    # THEN
    assert outcome["checks"] == PASSED - 1
    assert "no latencies of golden[0]: Lambda reported none" in read_notes(caplog)


# Whatever happens, it is reported.


def test_gives_up_in_time_to_report(versions: Versions, run: Run) -> None:
    # GIVEN a version that does not answer, asked through code that catches every Exception
    def hang(_: Event, __: Callable[[], Response]) -> Response:
        assert 100 < signal.getitimer(signal.ITIMER_REAL)[0] < 180 - gate.RESERVE
        signal.setitimer(signal.ITIMER_REAL, 0.01)  # as if that time were over
        while True:
            with contextlib.suppress(Exception):  # as botocore does
                time.sleep(60)

    versions.publish(logistic(), **AT_REST, fault=hang)

    # WHEN
    outcome = run("Failed", seconds=180)

    # THEN
    assert outcome["reason"] == "out of time: the checks take longer than the gate has"
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)


def test_reports_even_when_started_too_late(versions: Versions, run: Run) -> None:
    versions.publish(logistic(), **AT_REST)
    assert run("Failed", seconds=1)["reason"].startswith("out of time")


def run_without(module: str, folder: Path, **info: Any) -> dict[str, Any]:
    """Release version 2 by a gate that cannot import a module; see gate_without.py."""
    arguments = {"module": module, "folder": str(folder), "fields": AT_REST, "info": info}
    process = subprocess.run(
        [sys.executable, "-m", "tests.gate_without", json.dumps(arguments)],
        cwd=ROOT,
        env=os.environ
        | {
            "PYTHONPATH": str(ROOT / "functions"),
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
        },
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    result: dict[str, Any] = json.loads(process.stdout.splitlines()[-1])
    return result


@pytest.mark.parametrize(
    "package", ["numpy", "msgspec", "aws_lambda_powertools", "serving.manifest", "gate.checks"]
)
def test_missing_package_is_reported(package: str, tmp_path: Path) -> None:
    # WHEN; the logger it can do without
    result = run_without(package, tmp_path)
    optional = package == "aws_lambda_powertools"

    # THEN
    missing = "" if optional else f"import of {package} halted; None in sys.modules"
    assert result["outcome"]["reason"] == missing
    assert result["reports"] == ["Succeeded" if optional else "Failed"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "model.json is missing from the model layer"),
        ("{", "model.json: Input data was truncated"),
        ('{"schema": 1}', "model.json: Object missing required field `name`"),
    ],
)
def test_unreadable_contract_is_reported(
    versions: Versions, run: Run, text: str | None, reason: str
) -> None:
    # GIVEN
    path = versions.publish(logistic(), **AT_REST) / "model.json"
    path.unlink()
    if text is not None:
        path.write_text(text)

    # WHEN / THEN
    assert run("Failed")["reason"] == reason


DENIED: Any = {"Error": {"Code": "AccessDeniedException", "Message": "not authorized"}}


@pytest.mark.parametrize(
    ("operation", "error", "reason"),
    [
        (
            "get_alias",
            ClientError(DENIED, "GetAlias"),
            "(AccessDeniedException) when calling the G",
        ),
        (
            "invoke",
            ClientError(DENIED, "Invoke"),
            "(AccessDeniedException) when calling the Invoke",
        ),
        ("invoke", MemoryError(f"{SAMPLE}"), "the gate failed: MemoryError in test_gate.py:"),
        ("invoke", SystemExit(1), "the gate failed: SystemExit in test_gate.py:"),
    ],
)
def test_failure_of_the_gate_is_reported(
    versions: Versions,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    operation: str,
    error: BaseException,
    reason: str,
) -> None:
    # GIVEN
    def fail(**_: str) -> None:
        raise error

    versions.publish(logistic(), **AT_REST)
    monkeypatch.setattr(versions, operation, fail)

    # WHEN
    outcome = run("Failed")

    # THEN
    assert reason in outcome["reason"]
    assert str(SAMPLE[0][0]) not in outcome["reason"]


def test_wrong_setting_is_reported(versions: Versions, run: Run) -> None:
    versions.publish(logistic(), **AT_REST)
    outcome = run("Failed", MAX_SLOWDOWN="fast")
    assert outcome["reason"].startswith("the gate failed: ValueError in handler.py:")


def test_refused_report_is_logged_and_raised(
    versions: Versions, deployment: WaitingDeployment, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    # GIVEN a deployment that still waits, and CodeDeploy, which does not take the report
    versions.publish(logistic(), **AT_REST)
    deployment.refusals[REPORT] = "ThrottlingException"

    # WHEN Lambda gets the error, it runs the hook again
    with pytest.raises(ClientError, match="ThrottlingException"):
        run(NO_REPORT)

    # THEN
    assert "could not report Succeeded to CodeDeploy: An error occurred" in capsys.readouterr().out


@pytest.mark.parametrize("status", ["Stopped", "Failed", "Succeeded"])
def test_gate_that_is_late_asks_for_no_second_run(
    versions: Versions, deployment: WaitingDeployment, run: Run, capfd: Any, status: str
) -> None:
    # GIVEN a deployment that ends while the gate is at work
    def end(_: Event, answer: Callable[[], Response]) -> Response:
        deployment.info["status"] = status
        return answer()

    versions.publish(logistic(), **AT_REST, fault=end)

    # WHEN
    outcome = run(NO_REPORT)

    # THEN nothing is raised, and no error is in the log, where it would be taken for the reason
    assert outcome["status"] == "Succeeded"
    said = capfd.readouterr().out
    assert f"deployment d-A1B2C3D4E has ended as {status}, and gets no report" in said
    assert '"level": "ERROR"' not in said


def test_second_report_is_needed_by_nobody(
    versions: Versions, deployment: WaitingDeployment, run: Run, capfd: Any
) -> None:
    # GIVEN a hook that Lambda runs again though its first report got through
    versions.publish(logistic(), **AT_REST)
    deployment.reports.append("Succeeded")

    # WHEN / THEN
    assert run(NO_REPORT)["status"] == "Succeeded"
    assert '"level": "ERROR"' not in capfd.readouterr().out


@pytest.mark.parametrize("status", ["Stopped", "Failed", "Succeeded"])
def test_deployment_that_has_ended_is_left_alone(
    versions: Versions, deployment: WaitingDeployment, run: Run, capfd: Any, status: str
) -> None:
    # GIVEN
    versions.publish(logistic(), **AT_REST)
    deployment.info["status"] = status

    # WHEN Lambda runs the hook again after that THEN nothing is asked and nothing reported
    outcome = run(NO_REPORT)
    assert outcome["status"] == "Skipped"
    assert outcome["reason"] == f"deployment d-A1B2C3D4E has ended as {status}"
    assert versions.asked == []
    assert '"level": "ERROR"' not in capfd.readouterr().out


# A rollback is a deployment, too.


ROLLBACK = {"rollbackInfo": {"rollbackTriggeringDeploymentId": "d-1"}}


@pytest.mark.parametrize(
    "info",
    [
        # In whatever form its AppSpec is: AWS documents none for rollbacks.
        {"creator": "codeDeployRollback", "revision": app_spec("2", "1")},
        {"creator": "codeDeployRollback", "revision": app_spec("1", "2")},
        {"creator": "codeDeployRollback"},
        {"creator": "CloudFormationRollback", "revision": app_spec("2", "1")},
        {"creator": "CodeDeploy", **ROLLBACK},
        {"creator": "CloudFormation", "revision": app_spec("2", "1")},
        {"creator": "user", "revision": app_spec("2", "1")},  # to the version behind the alias
    ],
)
def test_rollback_passes_at_once(
    versions: Versions, deployment: WaitingDeployment, run: Run, info: dict[str, Any]
) -> None:
    # GIVEN version 2, which is bad
    versions.publish(logistic(), **AT_REST)
    versions.publish(logistic(), fault=crash, **AT_REST)

    # WHEN its release is taken back
    deployment.info |= info
    outcome = run("Succeeded")

    # THEN no version is asked
    assert (outcome["status"], outcome["checks"]) == ("Succeeded", 0)
    assert versions.asked == []


def test_rollback_needs_nothing_of_the_checks(tmp_path: Path) -> None:
    # GIVEN a layer that lacks what the checks need WHEN a release is taken back
    result = run_without("gate.checks", tmp_path, creator="codeDeployRollback")

    # THEN it passes, and no version is asked
    assert result["outcome"]["reason"] == ""
    assert (result["reports"], result["requests"]) == (["Succeeded"], 0)


def test_rollback_needs_no_answer_of_lambda(
    versions: Versions,
    deployment: WaitingDeployment,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(**_: str) -> None:
        raise ClientError(DENIED, "GetAlias")

    versions.publish(logistic(), **AT_REST)
    monkeypatch.setattr(versions, "get_alias", fail)
    deployment.info["creator"] = "codeDeployRollback"
    assert run("Succeeded")["checks"] == 0


@pytest.mark.parametrize("creator", ["user", "CloudFormation"])
def test_version_that_came_without_this_gate_is_refused(
    versions: Versions, deployment: WaitingDeployment, run: Run, creator: str
) -> None:
    # GIVEN three versions: the first serves, and the gate has the model.json of the third
    for _ in range(3):
        versions.publish(logistic(), **AT_REST)

    # WHEN a deployment releases the second, which was never served
    current = "3" if creator == "user" else "1"
    deployment.info |= {"creator": creator, "revision": app_spec(current, "2")}
    outcome = run("Failed")

    # THEN
    assert outcome["version"] == "2"
    assert outcome["reason"] == "this gate came with version 3 and cannot examine version 2"
    assert versions.asked == []


YAML = "version: 0.0\nresources:\n- fn:\n    properties:\n      currentversion: '1'\n      {}\n"


@pytest.mark.parametrize(
    "revision",
    [
        {},
        {"string": {"sha256": "ab"}},
        {"string": {"content": "{"}},
        {"string": {"content": YAML.format("targetversion: 1\n      targetversion: 7")}},
        {"string": {"content": YAML.format("targetversion: '2'")}},
        {"string": {"content": YAML.format('"TargetVersion" : 2')}},
        {"string": {"content": '{"TARGETVERSION":2,"CurrentVersion":"1"}'}},
    ],
)
def test_release_is_examined_in_whatever_form_it_is_described(
    versions: Versions, deployment: WaitingDeployment, run: Run, revision: Any
) -> None:
    versions.publish(logistic(), **AT_REST)
    versions.publish(logistic(), **AT_REST, version="2")
    deployment.info["revision"] = revision
    outcome = run("Succeeded")
    assert (outcome["status"], outcome["version"]) == ("Succeeded", "2")
    assert outcome["checks"] == PASSED


def test_deployment_that_cannot_be_read_is_examined(
    versions: Versions, deployment: WaitingDeployment, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    # GIVEN a role that may not read deployments
    versions.publish(logistic(), **AT_REST)
    deployment.refusals[GET] = "AccessDeniedException"

    # WHEN / THEN
    assert run("Succeeded")["status"] == "Succeeded"
    assert "deployment d-A1B2C3D4E cannot be read: An error occurred (AccessDen" in read_notes(
        caplog
    )


def test_report_is_tried_several_times_within_the_time_kept_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # GIVEN
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    config = gate.make_client("codedeploy", read_timeout=5).meta.config

    # THEN even if each try times out, with pauses of at most 1 and 2 s between them
    assert config.retries == {"mode": "standard", "total_max_attempts": 3}
    assert 3 * (config.connect_timeout + config.read_timeout) + 3 <= gate.RESERVE
    assert properties(parse(), "GateFunction")["Timeout"] > 2 * gate.RESERVE


# What customers and operators notice of the gate.


def test_the_gate_counts_in_nothing_but_its_own_report(
    versions: Versions,
    run: Run,
    http_event: Callable[..., Event],
    lambda_context: Any,
    capfd: pytest.CaptureFixture[str],
) -> None:
    # GIVEN two versions that have just started
    versions.publish(logistic(), **AT_REST)
    versions.publish(logistic(), **AT_REST)

    # WHEN the gate asks them
    run("Succeeded")

    # THEN none of its requests, of which many are malformed, is in a metric; each leaves a line
    printed = capfd.readouterr().out.splitlines()
    assert not any(read_emf(line) for line in printed)
    lines = [json.loads(line) for line in printed if '"lane"' in line]
    assert len(lines) == len(versions.asked)
    assert {line["lane"] for line in lines} == {"gate"}
    statuses = [line["status"] for line in lines]
    assert sum(400 <= status < 500 for status in statuses) > REFUSALS
    assert max(statuses) < 500

    # THEN a caller's next request is counted as if there had been no gate
    handler = versions.versions["2"].handler
    assert handler
    assert handler(http_event("GET", "/v2"), lambda_context)["statusCode"] == 200
    [record] = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert record["Requests"] == [1]
    assert not {"ClientErrors", "ColdStart", "RequestLatency"} & record.keys()


def test_lambda_counts_the_gate_for_no_alias(versions: Versions, run: Run) -> None:
    # GIVEN an alarm that watches what Lambda itself counts of the alias
    alarm = properties(parse(), "ReleaseFunctionErrorsAlarm")
    live = {"Name": "Resource", "Value": {"Fn::Sub": "${InferenceFunction}:live"}}
    series = [one["MetricStat"]["Metric"] for one in alarm["Metrics"] if "MetricStat" in one]
    assert series
    assert all(live in one["Dimensions"] for one in series)

    # WHEN
    versions.publish(logistic(), **AT_REST)
    versions.publish(logistic(), **AT_REST)
    run("Succeeded")

    # THEN the gate asks nothing by it
    assert all(call["Qualifier"].isdigit() for call in versions.calls)


def test_gate_measures_under_a_name_of_its_own() -> None:
    # Its own records, should it ever make any, must not be taken for those of what it tries.
    template = parse()
    names = [
        properties(template, name)["Environment"]["Variables"]["POWERTOOLS_SERVICE_NAME"]
        for name in ("InferenceFunction", "GateFunction")
    ]
    assert names == [{"Ref": "AWS::StackName"}, {"Fn::Sub": "${AWS::StackName}-gate"}]


def test_handler_imports_nothing_that_is_released_before_it_is_called() -> None:
    # GIVEN
    script = "import sys, gate.handler; print(*sorted({n.split('.')[0] for n in sys.modules}))"

    # WHEN
    process = subprocess.run(
        [sys.executable, "-S", "-c", script],
        env={"PYTHONPATH": str(ROOT / "functions")},
        capture_output=True,
        text=True,
        check=True,
    )

    # THEN
    imported = set(process.stdout.split())
    assert "gate" in imported
    assert imported <= sys.stdlib_module_names | {"gate", "__main__"}
