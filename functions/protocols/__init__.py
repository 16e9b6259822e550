"""The protocols: bytes of a request in, bytes of an answer out. Imports the core and no lane.

open_inference.py and scoring.py are the two protocols; messages.py is what both have in common: a
request, a response and the statuses of errors. tensor_encodings.py reads and writes tensors, and
table.py reads rows and columns. strict_json.py decodes JSON from strangers, structure.py counts
what is in it, and compression.py packs bodies.
"""
