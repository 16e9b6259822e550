"""The gate: tries a new version of the inference function before it gets a request.

handler.py is CodeDeploy's pre-traffic hook and always reports. checks.py is what a version must
pass, in order; contract.py, golden.py and requests.py are what it is held against and asked, and
invocation.py asks. Each refusal is one sentence (errors.py) without a value of a sample.
"""
