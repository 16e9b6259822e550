"""The core: loads one packaged ONNX model and predicts with it. Knows no HTTP and no AWS API.

manifest.py is the contract of the model, model.py runs it, tensors.py turns JSON into arrays and
back, errors.py names what can go wrong and telemetry.py writes logs and metrics.
"""
