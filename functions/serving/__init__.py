"""The core: loads one packaged ONNX model and predicts with it. Knows no HTTP, AWS or metrics.

manifest.py is the contract of the model and model.py runs it. tensors.py has the element types,
errors.py names what can go wrong, and mistake.py finds out whether a failure of the model is the
caller's. simplify.py is a command for those who package a model.
"""
