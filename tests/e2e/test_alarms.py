"""Planted faults, and which of the template's alarms each of them sets off: these and no other.

The built function and its runtime layer serve a model that can be made to fail, on the local run. A
minute of its metrics lasts as long as a test wants; CloudWatch's rules decide over what they hold.
"""

import asyncio
import hashlib
import json
import math
import os
import signal
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from onnx import ModelProto, parser

from infra.cloudwatch.alarms import Metric, State, evaluate, read_alarm, read_data
from infra.local.functions import managed_runtime
from infra.local.platform import Platform, serve
from infra.local.stack import BuiltStack, Function, read_stack
from tests import local_aws
from tests.local_run import LocalRun
from tests.onnx_models import package
from tests.sam_template import PROJECT

BUILD = Path(__file__).parents[2] / ".aws-sam/build"
NAME = "serverless-onnx"
REGION = "eu-west-1"
INFER = "/v2/models/tiny/infer"
MINUTE = timedelta(minutes=1)
ENDLESS = 10**12  # rounds that no machine finishes while a test lasts
ALARMS = {
    "ReleaseServerErrorsAlarm",
    "ReleaseFunctionErrorsAlarm",
    "ReleaseLatencyAlarm",
    "ReleaseNonFiniteOutputsAlarm",
    "ErrorRateAlarm",
    "LatencyAlarm",
    "ThrottlesAlarm",
    "ConcurrencyAlarm",
    "ModelLoadFailuresAlarm",
}

# Lets the process exit when it is told to, in mid-request too, which no model can bring about.
EXIT_WHEN_TOLD = """
import os, signal, threading
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
exit_when_told = lambda: signal.sigwait({signal.SIGUSR1}) and os._exit(7)
threading.Thread(target=exit_when_told, daemon=True).start()
"""


def fallible() -> ModelProto:
    """y = table[index] + log(x) + 1, after as many matrix products of 128 x 128 as `rounds` says.

    It fails for an index that is not 0, 1 or 2, and is NaN for an x below 0.
    """
    model: ModelProto = parser.parse_model("""
        <ir_version: 8, opset_import: ["" : 17]>
        tiny (int64[1] index, float[1] x, int64[1] rounds) => (float[1] y) {
            table = Constant <value_floats = [1.0, 2.0, 3.0]> ()
            chosen = Gather (table, index)
            logarithm = Log (x)
            sizes = Constant <value_ints = [128, 128]> ()
            zeros = ConstantOfShape (sizes)
            unit = EyeLike (zeros)
            yes = Constant <value = bool {1}> ()
            product = Loop (rounds, yes, unit) <
                body = one_round (int64 i, bool on, float[128, 128] before)
                    => (bool again, float[128, 128] after) {
                    again = Identity (on)
                    after = MatMul (before, unit)
                }
            >
            one = ReduceMax <keepdims = 0> (product)
            sum = Add (chosen, logarithm)
            y = Add (sum, one)
        }
    """)
    return model


def list_alarms(stack: BuiltStack, version: str) -> dict[str, Mapping[str, Any]]:
    """Return the properties of the stack's alarms and of the nested one's, by logical id."""
    kind = "AWS::CloudWatch::Alarm"
    nested = stack.template["Resources"]["Monitoring"]["Properties"]
    given = stack.predict(version).resolve(nested)["Parameters"]
    monitoring = stack.nest("Monitoring", given)
    return {**stack.resources(kind, version), **monitoring.resources(kind, version)}


class Clock:
    """The time of the metrics, which stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 22, tzinfo=UTC)

    def __call__(self, _: float) -> float:
        return self.now.timestamp()


@dataclass(frozen=True)
class Service:
    """The local run of `function`, and what the tests do to it."""

    local: Platform
    client: httpx.AsyncClient
    clock: Clock
    function: Function
    logs: Path

    async def infer(self, index: int = 0, x: float = 1, rounds: int = 1) -> int:
        """Ask the model; return the status of the answer."""
        inputs = [
            {"name": name, "datatype": datatype, "shape": [1], "data": [value]}
            for name, datatype, value in (
                ("index", "INT64", index),
                ("x", "FP32", x),
                ("rounds", "INT64", rounds),
            )
        ]
        return (await self.client.post(INFER, json={"inputs": inputs})).status_code

    async def each_minute(self, minutes: int, do: Callable[[], Awaitable[Any]]) -> None:
        """Do the same in each of the next minutes."""
        for _ in range(minutes):
            await do()
            await self.local.flush()
            self.clock.now += MINUTE

    def ringing(self, version: str = "1", **parameters: str) -> set[str]:
        """Return the alarms that ring now, if `version` is the one that was deployed last."""
        read = partial(read_data, self.local.cloudwatch)
        alarms = list_alarms(read_stack(BUILD, NAME, REGION, parameters), version)
        assert alarms.keys() == ALARMS
        return {
            name
            for name, properties in alarms.items()
            if evaluate(read_alarm(name, properties), read, self.clock.now).state == State.ALARM
        }

    def count(self, metric: str, minutes: int) -> float:
        """Return the sum of one of our metrics over the last minutes."""
        wanted = Metric("ServerlessOnnx", metric, (("service", "serverless-onnx"),), "Sum", 60)
        start = self.clock.now - MINUTE * minutes
        read = read_data(self.local.cloudwatch, {"all": wanted}, start, self.clock.now)
        return sum(read["all"].values())

    @asynccontextmanager
    async def working(self) -> AsyncIterator[asyncio.Task[int]]:
        """Let the function work on a request until the block ends, or what it does ends that."""
        log = self.logs / "1.log"
        begun = log.read_text().count("START RequestId")
        answer = asyncio.create_task(self.infer(rounds=ENDLESS))
        while log.read_text().count("START RequestId") == begun:
            assert not answer.done()
            await asyncio.sleep(0.01)
        try:
            yield answer
        finally:
            self.end_environments(signal.SIGKILL)
            await answer

    def end_environments(self, number: signal.Signals) -> None:
        """Send a signal to the execution environments of the first version."""
        for environment in self.local.function.environments("1"):
            os.kill(environment.pid, number)

    @asynccontextmanager
    async def released(self, layer: Path, **changes: Any) -> AsyncIterator[str]:
        """Publish a version with another model layer; it has all traffic until the block ends."""
        function = replace(self.function, layers=(self.function.layers[0], layer), **changes)
        stack = read_stack(BUILD, NAME, REGION)
        version = await self.local.publish(stack.with_function(function))
        self._move_alias(version)
        try:
            yield version
        finally:
            self._move_alias("1")

    def _move_alias(self, version: str) -> None:
        client = local_aws.connect(self.local.cloud.variables(), "lambda")
        client.update_alias(
            FunctionName=self.function.name, Name=self.function.alias, FunctionVersion=version
        )


@pytest.fixture(scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Service]:
    """The local run of the fallible model, for all tests."""
    folder = tmp_path_factory.mktemp("alarms")
    layer = package(folder / "layer/model", fallible()).parent
    (layer / "python").mkdir()
    (layer / "python/sitecustomize.py").write_text(EXIT_WHEN_TOLD)
    stack, clock = read_stack(BUILD, NAME, REGION), Clock()
    function = replace(stack.function, layers=(stack.function.layers[0], layer))
    async with (
        serve(
            stack.with_function(function),
            python=await managed_runtime.prepare(PROJECT.managed_runtime),
            directory=folder / "run",
            concurrency=1,
            clock=clock,
            metric_delay=0,
            watch=False,
        ) as local,
        httpx.AsyncClient(base_url=local.url, timeout=60) as client,
    ):
        yield Service(local, client, clock, function, folder / "run/logs")


@pytest.fixture
async def service(running: Service) -> Service:
    """The local run, long after the test before."""
    await running.local.flush()
    running.clock.now += timedelta(hours=1)
    assert running.ringing() == set()
    return running


async def test_a_healthy_service(service: Service) -> None:
    async def use() -> None:
        for path in ("/v2/health/ready", "/v2/models/tiny", "/openapi.json"):
            assert (await service.client.get(path)).status_code == 200
        for _ in range(10):
            assert await service.infer() == 200

    await service.each_minute(6, use)

    assert service.ringing() == set()
    assert service.count("Rows", 6) == 60


async def test_a_model_that_raises(service: Service) -> None:
    async def fail() -> None:
        assert await service.infer(index=7) == 500

    await service.each_minute(3, fail)

    assert service.ringing() == {"ReleaseServerErrorsAlarm", "ErrorRateAlarm"}
    # A release that comes now is not blamed for it
    assert service.ringing("99") == {"ErrorRateAlarm"}
    # Once it is fixed the alarms stop
    await service.each_minute(15, service.infer)
    assert service.ringing() == set()


async def test_few_requests_may_fail(service: Service) -> None:
    async def use() -> None:
        for index, status in [(0, 200)] * 18 + [(7, 500)] * 2:
            assert await service.infer(index=index) == status

    await service.each_minute(3, use)

    assert service.ringing(MaxErrorPercent="10") == set()
    assert service.ringing(MaxErrorPercent="9") == {"ReleaseServerErrorsAlarm", "ErrorRateAlarm"}


async def test_a_slow_model(service: Service) -> None:
    await service.each_minute(5, partial(service.infer, rounds=2_000))

    assert service.ringing(LatencyObjectiveMs="5") == {"ReleaseLatencyAlarm", "LatencyAlarm"}


async def test_a_model_that_answers_nan(service: Service) -> None:
    async def fail() -> None:
        assert await service.infer(x=-1) == 500

    await service.each_minute(3, fail)

    assert service.ringing() == {
        "ReleaseNonFiniteOutputsAlarm",
        "ReleaseServerErrorsAlarm",
        "ErrorRateAlarm",
    }


async def test_a_model_that_may_answer_nan(service: Service, tmp_path: Path) -> None:
    async def ask() -> None:
        assert await service.infer(x=-1) == 200

    layer = package(tmp_path / "model", fallible(), non_finite_outputs="null").parent
    async with service.released(layer) as version:
        await service.each_minute(3, ask)

        assert service.ringing(version) == set()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGUSR1], ids=["killed", "exits"])
async def test_an_environment_that_ends_in_mid_request(
    service: Service, number: signal.Signals
) -> None:
    async def crash() -> None:
        async with service.working() as answer:
            service.end_environments(number)
            assert await answer == 500

    await service.each_minute(3, crash)

    assert service.ringing() == {"ReleaseFunctionErrorsAlarm", "ErrorRateAlarm"}
    assert "Runtime exited" in (service.logs / "1.log").read_text()  # as the alarm says


async def test_requests_that_time_out(service: Service, tmp_path: Path) -> None:
    async def wait() -> None:
        assert await service.infer(rounds=ENDLESS) == 500

    layer = package(tmp_path / "model", fallible()).parent
    async with service.released(layer, timeout_seconds=0.5) as version:
        await service.each_minute(3, wait)

        assert service.ringing(version) == {"ReleaseFunctionErrorsAlarm", "ErrorRateAlarm"}
        assert service.ringing("1") == {"ErrorRateAlarm"}
        assert "Task timed out" in (service.logs / f"{version}.log").read_text()


async def test_throttled_requests(service: Service) -> None:
    async def ask() -> None:
        assert await service.infer() == 503

    async with service.working():
        await service.each_minute(1, ask)

        assert service.ringing() == {"ThrottlesAlarm"}


async def test_concurrency_near_its_limit(service: Service) -> None:
    await service.each_minute(3, service.infer)

    assert service.ringing(MaxConcurrency="1") == {"ConcurrencyAlarm"}
    assert service.ringing(MaxConcurrency="2") == set()


async def test_a_model_that_does_not_load(service: Service, tmp_path: Path) -> None:
    async def fail() -> None:
        assert await service.infer() == 500

    # A version whose model.json describes another model than it has
    other = {"model.onnx": hashlib.sha256(b"another model").hexdigest()}
    layer = package(tmp_path / "model", fallible(), files=other).parent
    async with service.released(layer) as version:
        await service.each_minute(3, fail)

        operation = {"ErrorRateAlarm", "ModelLoadFailuresAlarm"}
        assert service.ringing(version) == {"ReleaseFunctionErrorsAlarm", *operation}
        assert service.ringing("1") == operation


def not_a_number() -> tuple[bytes, dict[str, str]]:
    """Return body and headers of a request whose x is NaN, which only a binary tensor can be."""
    x = {"datatype": "FP32", "shape": [1], "parameters": {"binary_data_size": 4}}
    one = {"datatype": "INT64", "shape": [1], "data": [1]}
    inputs = [{"name": "x", **x}, {"name": "index", **one}, {"name": "rounds", **one}]
    header = json.dumps({"inputs": inputs}).encode()
    return header + struct.pack("<f", math.nan), {
        "Inference-Header-Content-Length": str(len(header))
    }


async def test_a_flood_of_bad_input(service: Service) -> None:
    tensors: list[dict[str, Any]] = [
        {"name": "index", "datatype": "INT64", "shape": [1], "data": ["one"]},
        {"name": "index", "datatype": "FP32", "shape": [1], "data": [1]},
        {"name": "index", "datatype": "INT64", "shape": [1, 1], "data": [1]},
        {"name": "index", "datatype": "INT64", "shape": [2], "data": [1]},
        {"name": "other", "datatype": "INT64", "shape": [1], "data": [1]},
    ]
    bodies = ["", "{", "[]", *(json.dumps({"inputs": [tensor]}) for tensor in tensors)]
    requests: list[tuple[str, str | bytes, dict[str, str]]] = [
        *((path, body, {}) for path in (INFER, "/v2/models/other/infer") for body in bodies),
        (INFER, *not_a_number()),
    ]

    async def flood() -> None:
        for path, body, headers in requests * 3:
            answer = await service.client.post(path, content=body, headers=headers)
            assert 400 <= answer.status_code < 500, answer.text

    await service.each_minute(5, flood)

    assert service.ringing() == set()
    assert service.count("ClientErrors", 5) == 5 * 3 * len(requests)


def test_aws_tools_see_the_alarms_of_the_local_run(local_run: LocalRun) -> None:
    cloudwatch = local_aws.connect(local_run.variables, "cloudwatch")

    [page] = cloudwatch.get_paginator("describe_alarms").paginate()

    assert {alarm["AlarmName"] for alarm in page["MetricAlarms"]} == {
        properties["AlarmName"]
        for properties in list_alarms(read_stack(BUILD, NAME, REGION), "1").values()
    }
