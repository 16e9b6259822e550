"""`infra model`: can an ONNX file be served, and the layer that serves it.

graph/ reads the file and samples/ the user's data, each in a process with limits (isolation.py).
trial/ runs the model as Lambda would, and quality/ compares its answers with known outcomes.
doctor.py puts that together for `infra model check`; package.py writes the layer for
`infra model add`.
"""
