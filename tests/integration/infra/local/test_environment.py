"""Execution environments: what they see, how they fail, and that none outlives the local run."""

import asyncio
import os
import select
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from infra.local.errors import FunctionError
from infra.local.platform import Platform, serve
from infra.local.stack import read_stack
from tests.tiny_stack import Gate, Starter

ROOT = Path(__file__).parents[4]


def list_files(directory: Path) -> list[Path]:
    return sorted(directory.rglob("*"))


async def test_environment_has_only_what_lambda_sets(
    client: httpx.AsyncClient, local: Platform
) -> None:
    answer = (await client.get("/echo")).json()
    variables = answer["environment"]
    task, opt = variables["LAMBDA_TASK_ROOT"], f"{Path(variables['MODEL_DIR']).parent}"
    # THEN nothing of this process's environment is there
    assert set(variables) == {
        *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL"),
        *("AWS_DEFAULT_REGION", "AWS_EXECUTION_ENV", "AWS_REGION", "_HANDLER", "_X_AMZN_TRACE_ID"),
        *("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "AWS_LAMBDA_FUNCTION_NAME"),
        *("AWS_LAMBDA_FUNCTION_VERSION", "AWS_LAMBDA_INITIALIZATION_TYPE"),
        *("AWS_LAMBDA_LOG_FORMAT", "AWS_LAMBDA_LOG_GROUP_NAME", "AWS_LAMBDA_LOG_STREAM_NAME"),
        *("AWS_LAMBDA_RUNTIME_API", "LAMBDA_TASK_ROOT", "LD_LIBRARY_PATH", "PATH", "PYTHONPATH"),
        *("LANG", "LC_CTYPE", "LOCPATH", "TZ", "HOME", "TMPDIR"),
        *("GREETING", "VOLUME", "HOME_REGION", "MODEL_DIR"),
    }
    assert variables["AWS_LAMBDA_FUNCTION_NAME"] == "shop-InferenceFunction"
    assert variables["AWS_LAMBDA_FUNCTION_VERSION"] == "1"
    assert variables["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"] == "256"
    assert variables["AWS_LAMBDA_LOG_GROUP_NAME"] == "/aws/lambda/shop-inference"
    assert variables["AWS_REGION"] == variables["AWS_DEFAULT_REGION"] == "eu-west-1"
    assert variables["AWS_ENDPOINT_URL"] == local.aws_endpoint_url
    assert variables["HOME"] != os.environ.get("HOME")
    # AND it imports code, then layers, then the managed runtime; not the folder it started from
    assert answer["path"][:3] == [
        task,
        f"{opt}/python/lib/python3.13/site-packages",
        f"{opt}/python",
    ]
    assert str(ROOT / "infra" / "local") not in answer["path"]
    assert not any(".venv" in entry for entry in answer["path"])


@pytest.mark.parametrize("package", ["aiohttp", "onnx", "moto", "infra", "pytest"])
async def test_packages_of_this_machine_are_not_there(
    client: httpx.AsyncClient, package: str
) -> None:
    __import__(package)
    assert (await client.get(f"/import?name={package}")).status_code == 500


@pytest.mark.parametrize("package", ["boto3", "awslambdaric", "greeting", "json"])
async def test_packages_of_the_managed_runtime_and_of_the_layers_are_there(
    client: httpx.AsyncClient, package: str
) -> None:
    assert (await client.get(f"/import?name={package}")).status_code == 200


async def test_a_later_layer_wins(build: Path, start: Starter) -> None:
    handler = build / "InferenceFunction" / "app.py"
    code = handler.read_text().replace("import greeting", "import common, greeting")
    handler.write_text(code.replace("greeting.WORD", "common.LAYER"))
    local = await start()
    async with httpx.AsyncClient(base_url=local.url) as client:
        assert (await client.get("/echo")).json()["greeting"] == "model"


@pytest.mark.parametrize(("apply_on", "called"), [("PublishedVersions", ["A", "B"]), ("None", [])])
async def test_hooks_of_snapstart_are_called_where_it_is_on(
    build: Path, start: Starter, apply_on: str, called: list[str]
) -> None:
    # GIVEN a module that registers hooks
    template = (build / "template.yaml").read_text()
    switch = f"AutoPublishAlias: live\n      SnapStart: {{ApplyOn: {apply_on}}}"
    (build / "template.yaml").write_text(template.replace("AutoPublishAlias: live", switch))
    (build / "RuntimeLayer" / "python" / "greeting.py").write_text(
        "import snapshot_restore_py as hooks\n"
        "WORD = []\n"
        "hooks.register_after_restore(WORD.append, 'B')\n"
        "hooks.register_before_snapshot(WORD.append, 'A')\n"
    )
    # WHEN the function starts THEN the runtime client calls them, before its first request
    local = await start()
    async with httpx.AsyncClient(base_url=local.url) as client:
        assert (await client.get("/echo")).json()["greeting"] == called


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("rm greeting", r"Runtime\.ImportModuleError: .* No module named 'greeting'"),
        ("raise ValueError('digest differs')", "ValueError: digest differs"),
        ("def :", r"Runtime\.UserCodeSyntaxError: Syntax error in module 'app'"),
        ("import os; os._exit(3)", r"Runtime\.ExitError: .* exit status 3"),
        ("del handler", r"Runtime\.HandlerNotFound: Handler 'handler' missing on module 'app'"),
    ],
)
async def test_failed_initialisation_says_why(
    build: Path, start: Starter, damage: str, message: str
) -> None:
    # GIVEN a layer without a package that the code needs, or code that cannot be imported
    if damage == "rm greeting":
        (build / "RuntimeLayer" / "python" / "greeting.py").unlink()
    else:
        with (build / "InferenceFunction" / "app.py").open("a") as code:
            code.write(f"\n{damage}\n")
    # WHEN the local run starts THEN it fails as Lambda would
    with pytest.raises(FunctionError, match=message):
        await start()


async def test_layer_without_numpy_fails_as_on_lambda(tmp_path: Path, managed_python: Path) -> None:
    # GIVEN this checkout's build, which `make test` has made, and its runtime layer without numpy
    stack = read_stack(ROOT / ".aws-sam" / "build", "shop", "eu-west-1")
    layer = tmp_path / "RuntimeLayer"
    ignored = shutil.ignore_patterns("numpy", "numpy.libs", "numpy-*")
    shutil.copytree(stack.function.layers[0], layer, ignore=ignored)
    function = replace(stack.function, layers=(layer, *stack.function.layers[1:]))
    # WHEN it is run, on a machine whose own Python has numpy THEN it fails all the same
    __import__("numpy")
    local = serve(
        stack.with_function(function), python=managed_python, directory=tmp_path / "local"
    )
    with pytest.raises(FunctionError, match=r"ImportModuleError: .* No module named 'numpy'"):
        await local.__aenter__()


async def test_endless_initialisation_is_given_up(
    build: Path, start: Starter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.local.functions.environment.INIT_SECONDS", 0.5)
    with (build / "InferenceFunction" / "app.py").open("a") as code:
        code.write("\nwhile True: time.sleep(1)\n")
    with pytest.raises(FunctionError, match=r"Sandbox\.Timedout: no init after 0\.5 s"):
        await start()


async def test_killing_an_environment_fails_its_request_alone(
    client: httpx.AsyncClient, local: Platform, gate: Gate
) -> None:
    # GIVEN two requests in flight, each in an environment of its own
    broken_request = asyncio.create_task(client.get(gate.path))
    await gate.arrival()
    other_request = asyncio.create_task(client.get(gate.path))
    waiting = await gate.arrival()
    first, second = local.function.environments("1")
    # WHEN the first one's process is killed
    os.kill(first.pid, signal.SIGKILL)
    broken = await broken_request
    # THEN its request has the answer of an HTTP API for a crashed function
    assert (broken.status_code, broken.text) == (500, '{"message":"Internal Server Error"}')
    # AND the other goes on, and the next is answered by a fresh environment
    fresh = (await client.get("/echo")).json()["pid"]
    waiting.close()
    assert (await other_request).json()["pid"] == second.pid
    assert fresh not in {first.pid, second.pid}


async def test_environment_killed_while_idle_is_replaced(
    client: httpx.AsyncClient, local: Platform
) -> None:
    [environment] = local.function.environments("1")
    await environment.stop()
    assert (await client.get("/echo")).json()["pid"] != environment.pid


@pytest.mark.parametrize("path", ["/take?mb=300", "/take?mb=300&wait="])
async def test_environment_that_takes_too_much_memory_is_killed(
    client: httpx.AsyncClient, tmp_path: Path, path: str
) -> None:
    # GIVEN a function with 256 MB
    pid = (await client.get("/take?mb=100")).json()["pid"]
    # WHEN it takes more, however short
    broken = await client.get(path)
    # THEN that request failed, the log tells why, and the next has a fresh environment
    assert (broken.status_code, broken.text) == (500, '{"message":"Internal Server Error"}')
    assert (await client.get("/echo")).json()["pid"] != pid
    log = (tmp_path / "local" / "logs" / "1.log").read_text()
    assert "Runtime.ExitError: Runtime exited with error: signal: killed" in log
    assert "\tMemory Size: 256 MB\tMax Memory Used: 256 MB" in log


async def test_initialisation_that_takes_too_much_memory_is_killed(
    build: Path, start: Starter
) -> None:
    with (build / "InferenceFunction" / "app.py").open("a") as code:
        code.write("\nTAKEN = b'x' * (300 << 20)\nwhile True: time.sleep(1)\n")
    with pytest.raises(FunctionError, match=r"Runtime\.ExitError: .* signal: killed"):
        await start()


async def test_environments_are_reused(client: httpx.AsyncClient) -> None:
    pids = {(await client.get("/echo")).json()["pid"] for _ in range(5)}
    assert len(pids) == 1


async def test_nothing_outlives_the_local_run(build: Path, start: Starter, gate: Gate) -> None:
    # GIVEN a function that has started a process of its own, and one in the middle of a request
    handler = build / "InferenceFunction" / "app.py"
    spawn = (
        "import subprocess\nCHILD = subprocess.Popen(['sleep', '600'])\nRELEASE = str(CHILD.pid)"
    )
    handler.write_text(handler.read_text().replace('RELEASE = "one"', spawn))
    local = await start()
    async with httpx.AsyncClient(base_url=local.url, timeout=30) as client:
        waiting = asyncio.create_task(client.get(gate.path))
        await gate.arrival()
        answer = (await client.get("/echo")).json()
        environments = local.function.environments("1")
        pids = [int(answer["release"]), *(environment.pid for environment in environments)]
        assert len(pids) == 3
        processes = [os.pidfd_open(pid) for pid in pids]
        # WHEN the local run stops
        await start.stop()
        # THEN no process is left, nor what they wrote into their HOME
        await asyncio.gather(waiting, return_exceptions=True)
    for process in processes:
        ended, _, _ = await asyncio.to_thread(select.select, [process], [], [], 30)
        assert ended == [process]
        os.close(process)
    assert not os.path.exists(answer["environment"]["HOME"])  # noqa: PTH110, ASYNC240 quick


async def test_log_shows_each_invocation(client: httpx.AsyncClient, tmp_path: Path) -> None:
    # GIVEN a cold and a warm request, one of which fails
    await client.get("/echo")
    await client.get("/raise")
    # THEN the version's log has the lines of Lambda
    log = (tmp_path / "local" / "logs" / "1.log").read_text()
    assert log.count("START RequestId: ") == log.count("END RequestId: ") == 2
    assert log.count("\tInit Duration: ") == 0  # the environment was started before
    assert "[ERROR] ValueError: no such customer" in log
    for name in ("Duration: ", "Billed Duration: ", "Memory Size: 256 MB", "Max Memory Used: "):
        assert log.count(f"\t{name}") == 2


async def test_function_cannot_change_the_build(client: httpx.AsyncClient, build: Path) -> None:
    before = list_files(build)
    task = Path((await client.get("/echo")).json()["environment"]["LAMBDA_TASK_ROOT"])
    shutil.rmtree(task)
    assert list_files(build) == before
