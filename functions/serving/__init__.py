"""The core: loads one packaged ONNX model and predicts with it. Knows no HTTP and no AWS API.

manifest.py is the contract of the model and model.py runs it. tensors.py turns JSON and bytes into
arrays and back, table.py rows and columns into arrays, strict_json.py decodes what strangers send.
errors.py names what can go wrong, mistake.py tells whether a failure of the model is the caller's,
and telemetry.py writes logs and metrics.
"""
