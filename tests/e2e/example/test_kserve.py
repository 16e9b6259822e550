"""The KServe SDK's REST client, unmodified, against the local run: `make test-kserve`."""

import numpy as np
import pytest

from tests.local_run import LocalRun

kserve = pytest.importorskip("kserve", reason="brings 300 MB; `make test-kserve` installs it")

MODEL = "purchase-propensity"
CUSTOMER = np.array([[2, 12.857142, 38.714287, 20.353333]], np.float32)


@pytest.mark.parametrize("binary", [True, False])
async def test_the_kserve_client_predicts_and_reads_health(
    local_run: LocalRun, *, binary: bool
) -> None:
    client = kserve.InferenceRESTClient(config=kserve.RESTConfig(protocol="v2"))
    tensor = kserve.InferInput("features", list(CUSTOMER.shape), "FP32")
    tensor.set_data_from_numpy(CUSTOMER, binary_data=binary)
    request = kserve.InferRequest(MODEL, [tensor], request_id="order-66")

    answer = await client.infer(local_run.url, request, model_name=MODEL)

    outputs = {output.name: output.as_numpy() for output in answer.outputs}
    np.testing.assert_allclose(outputs["probabilities"], [[0.5849215, 0.41507852]], rtol=1e-6)
    assert answer.id == "order-66"
    assert await client.is_server_live(local_run.url)
    assert await client.is_server_ready(local_run.url)
    assert await client.is_model_ready(local_run.url, MODEL)
    assert not await client.is_model_ready(local_run.url, "other")
    await client.close()
