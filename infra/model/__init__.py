"""`infra model`: whether an ONNX file can be served, and the layer that serves it.

graph.py reads the file and sample_file.py its user's data, each in a process with limits
(isolation.py). trial.py runs the model as Lambda would, doctor.py says what came of that, and
package.py adds the model to the layer that the stack is built from.
"""
