"""`infra model`: whether an ONNX file can be served, and the layer that serves it.

graph.py reads the file, samples.py its user's data, trial.py runs it as Lambda would, doctor.py
says what came of that, and package.py adds the model to the layer that the stack is built from.
"""
