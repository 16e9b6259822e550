"""The clients of other servers, unmodified, against the local run."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from tritonclient import http as triton
from tritonclient.utils import InferenceServerException

from infra.local.functions import managed_runtime
from infra.local.platform import serve
from infra.local.stack import read_stack
from tests.example_model import NAME, write_checkout
from tests.local_run import start_local_run
from tests.onnx_models import identities, package
from tests.sam_template import PROJECT

ROOT = Path(__file__).parents[2]
CUSTOMERS = np.array([[2, 12.857142, 38.714287, 20.353333], [0, 0, 38.857143, 6.79]], np.float32)
PROBABILITIES = np.array([[0.5849215, 0.41507852], [0.91939735, 0.080602646]], np.float32)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of the example model."""
    checkout = write_checkout(tmp_path_factory.mktemp("example") / "checkout")
    with start_local_run(checkout) as run:
        yield run.url.removeprefix("http://")


@pytest.fixture
def client(address: str) -> Iterator[Any]:
    with triton.InferenceServerClient(address) as client:
        yield client


def customers(*, binary: bool) -> Any:
    tensor = triton.InferInput("features", list(CUSTOMERS.shape), "FP32")
    tensor.set_data_from_numpy(CUSTOMERS, binary_data=binary)
    return tensor


@pytest.mark.parametrize("compression", [None, "gzip", "deflate"])
@pytest.mark.parametrize("version", ["", "1"])
@pytest.mark.parametrize("binary_out", [True, False])
@pytest.mark.parametrize("binary_in", [True, False])
def test_tritonclient_predicts(
    client: Any, *, binary_in: bool, binary_out: bool, version: str, compression: str | None
) -> None:
    result = client.infer(
        NAME,
        [customers(binary=binary_in)],
        model_version=version,
        outputs=[triton.InferRequestedOutput("probabilities", binary_data=binary_out)],
        request_id="order-66",
        request_compression_algorithm=compression,
        response_compression_algorithm=compression,
    )

    np.testing.assert_allclose(result.as_numpy("probabilities"), PROBABILITIES, rtol=1e-6)
    assert result.get_response()["id"] == "order-66"


def test_tritonclient_gets_every_output_as_it_asks_by_default(client: Any) -> None:
    result = client.infer(NAME, [customers(binary=True)])

    assert result.as_numpy("label").tolist() == [0, 0]
    np.testing.assert_allclose(result.as_numpy("probabilities"), PROBABILITIES, rtol=1e-6)


def test_tritonclient_reads_health_metadata_and_repository(client: Any) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready(NAME)
    assert client.is_model_ready(NAME, "1")
    assert not client.is_model_ready(NAME, "2")
    assert "binary_tensor_data" in client.get_server_metadata()["extensions"]
    assert client.get_model_metadata(NAME)["inputs"] == [
        {
            "name": "features",
            "datatype": "FP32",
            "shape": [-1, 4],
            "features": ["repeat_purchases", "recency", "age", "mean_spend"],
        }
    ]
    assert client.get_model_repository_index() == [
        {"name": NAME, "version": "1", "state": "READY", "reason": ""}
    ]


def test_tritonclient_shows_our_errors(client: Any) -> None:
    wrong = triton.InferInput("features", [1, 3], "FP32")
    wrong.set_data_from_numpy(CUSTOMERS[:1, :3])

    with pytest.raises(InferenceServerException, match=r"expected shape \[-1, 4\]"):
        client.infer(NAME, [wrong])
    with pytest.raises(InferenceServerException, match="unknown model or version"):
        client.infer("other", [customers(binary=True)])
    with pytest.raises(InferenceServerException, match="unknown output; the model has: label"):
        client.infer(NAME, [customers(binary=True)], outputs=[triton.InferRequestedOutput("score")])


EVERY: dict[str, Any] = {
    "BOOL": np.array([[True], [False]]),
    "UINT8": np.array([[0], [255]], np.uint8),
    "UINT16": np.array([[0], [65535]], np.uint16),
    "UINT32": np.array([[0], [2**32 - 1]], np.uint32),
    "UINT64": np.array([[0], [2**64 - 1]], np.uint64),
    "INT8": np.array([[-128], [127]], np.int8),
    "INT16": np.array([[-32768], [32767]], np.int16),
    "INT32": np.array([[-(2**31)], [2**31 - 1]], np.int32),
    "INT64": np.array([[-(2**63)], [2**63 - 1]], np.int64),
    "FP16": np.array([[0.5], [-65504]], np.float16),
    "FP32": np.array([[0.1], [-3.4e38]], np.float32),
    "FP64": np.array([[0.1], [-1.7e308]]),
    "BYTES": np.array([["gr\u00fcn"], [""]], np.object_),
}
BFLOAT16 = {"BF16": np.array([[1.5], [-2]], ml_dtypes.bfloat16)}


@asynccontextmanager
async def served(folder: Path, model: Any) -> AsyncIterator[str]:
    """Serve another model with the built function and runtime layer."""
    stack = read_stack(ROOT / ".aws-sam/build", "serverless-onnx", "eu-west-1")
    package(folder / "layer/model", model)
    layers = (stack.function.layers[0], folder / "layer")
    async with serve(
        stack.with_function(replace(stack.function, layers=layers)),
        python=await managed_runtime.prepare(PROJECT.managed_runtime),
        directory=folder / "run",
    ) as local:
        yield local.url.removeprefix("http://")


@pytest.mark.parametrize("tensors", [EVERY, BFLOAT16], ids=["EVERY", "BF16"])
async def test_every_datatype_goes_through_tritonclient_and_comes_back(
    tmp_path: Path, tensors: dict[str, Any]
) -> None:
    # GIVEN a model with an input and an output of each datatype
    model = identities({datatype: [None, 1] for datatype in tensors})

    def exchange(address: str, *, binary: bool) -> dict[str, Any]:
        inputs = []
        for datatype, array in tensors.items():
            tensor = triton.InferInput(f"x_{datatype}", list(array.shape), datatype)
            json = not binary and datatype not in {"FP16", "BF16"}  # these it sends as bytes only
            inputs.append(tensor.set_data_from_numpy(array, binary_data=not json))
        outputs = [
            triton.InferRequestedOutput(f"y_{datatype}", binary or datatype in {"FP16", "BF16"})
            for datatype in tensors
        ]
        with triton.InferenceServerClient(address) as client:
            result = client.infer("tiny", inputs, outputs=outputs)
        return {datatype: result.as_numpy(f"y_{datatype}") for datatype in tensors}

    # WHEN they are sent as bytes and as JSON
    async with served(tmp_path, model) as address:
        for binary in (True, False):
            answers = await asyncio.to_thread(exchange, address, binary=binary)

            # THEN every value is what it was
            for datatype, array in tensors.items():
                answer = answers[datatype]
                if datatype == "BYTES":
                    answer = np.array([[_text(value)] for value in answer.ravel()], np.object_)
                assert answer.tolist() == array.tolist(), datatype


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
