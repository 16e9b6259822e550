"""The HTTPS lane: API Gateway events in, Open Inference Protocol answers out.

handler.py is the Lambda entry point. It answers inference requests straight from open_inference.py
and invocations.py, and every other route through the FastAPI application in app.py, which is
imported only then. responses.py is how both turn an error into an answer, openapi.py describes the
routes, compression.py packs bodies.
"""
