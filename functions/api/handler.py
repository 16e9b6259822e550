"""The Lambda entry point: loads the packaged model in the init phase, and answers with it."""

import gc

# Whatever is imported lives as long as the process. To look through it for garbage time and again
# would be a fifteenth of a cold start, and later a pause of some requests.
gc.disable()

import os
from pathlib import Path

from api.http_api import create_handler
from serving.errors import ServingError
from serving.model import MB_PER_VCPU, load_model
from telemetry import Metrics

FUNCTION_VERSION = os.environ.get("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")

try:
    handler = create_handler(
        load_model(
            Path(os.environ.get("MODEL_DIR", "/opt/model")),
            int(os.environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", MB_PER_VCPU)),
            FUNCTION_VERSION,
        )
    )
except ServingError:
    metrics = Metrics(FUNCTION_VERSION)
    metrics.record(ModelLoadFailures=1)
    metrics.flush()
    raise
finally:
    gc.freeze()
    gc.enable()
